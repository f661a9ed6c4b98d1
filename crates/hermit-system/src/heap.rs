//! Heap: the kernel's, which is all memory that neither it nor the application is in.

use core::alloc::{GlobalAlloc, Layout};
use hermit_abi::{alloc, alloc_zeroed, dealloc, realloc};

#[global_allocator]
static HEAP: Heap = Heap;

struct Heap;

// SAFETY: the kernel's allocator keeps the contract; both sides mean the same by size and alignment.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size.
        unsafe { alloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size.
        unsafe { alloc_zeroed(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller took it from `alloc` with this layout.
        unsafe { dealloc(start, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's block and sizes.
        unsafe { realloc(start, layout.size(), layout.align(), bytes) }
    }
}
