//! Memory: all of RAM as one heap, and pages from it.
//!
//! RAM is identity-mapped, so that the address of heap memory is also its physical address: what
//! devices are told.

pub(crate) mod dma;
mod heap;
pub(crate) mod shared;

pub use heap::{Heap, Usage, usage};

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

/// The page size, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// Physically contiguous pages, zeroed when taken and given back when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the pages belong to their owner alone, wherever it runs.
unsafe impl Send for Pages {}

impl Pages {
    /// `count` pages whose start is a multiple of `align_pages` pages (a power of two); `None` when
    /// memory is short or a number is out of range.
    pub(crate) fn new(count: usize, align_pages: usize) -> Option<Self> {
        let bytes = count.checked_mul(PAGE_BYTES).filter(|&bytes| bytes > 0)?;
        let align = align_pages.checked_mul(PAGE_BYTES)?;
        let layout = Layout::from_size_align(bytes, align).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, layout })
    }

    /// Where devices find them.
    pub(crate) fn physical(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Where this program finds them.
    pub(crate) fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// How long they are, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// Keeps them for ever, for what hardware goes on reading.
    pub(crate) fn leak(self) -> NonNull<u8> {
        let start = self.start;
        core::mem::forget(self);
        start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: taken in `new` with this layout, and owned alone until here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::alloc::GlobalAlloc;
    use core::cell::Cell;
    use std::alloc::System;
    use std::thread_local;

    thread_local! {
        /// Blocks at multiples of [`ALIGN_PAGES`] that the thread has taken and not given back.
        static BLOCKS: Cell<isize> = const { Cell::new(0) };
    }

    /// No other test wants such.
    const ALIGN_PAGES: usize = 32;

    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    fn count(layout: Layout, change: isize) {
        if layout.align() == ALIGN_PAGES * PAGE_BYTES {
            BLOCKS.set(BLOCKS.get() + change);
        }
    }

    // SAFETY: that of the system.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout, 1);
            // SAFETY: the caller's duty.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
            count(layout, -1);
            // SAFETY: the caller's duty.
            unsafe { System.dealloc(start, layout) }
        }
    }

    #[test]
    fn pages_are_given_back_when_dropped_unless_they_are_kept_for_ever() {
        let pages = [1, 2].map(|count| Pages::new(count, ALIGN_PAGES).unwrap());
        assert_eq!(BLOCKS.get(), 2);
        let [first, second] = pages;
        drop(first);
        assert_eq!(BLOCKS.get(), 1);
        second.leak();
        assert_eq!(BLOCKS.get(), 1);
    }

    #[test]
    fn pages_are_aligned_and_zeroed() {
        let pages = Pages::new(3, 4).unwrap();
        assert_eq!(pages.physical() % (4 * PAGE_BYTES as u64), 0);
        assert_eq!(pages.bytes(), 3 * PAGE_BYTES);
        let inside = pages.as_ptr().as_ptr().wrapping_add(5000);
        // SAFETY: the pages are this test's own.
        assert_eq!(unsafe { inside.read() }, 0);
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert!(Pages::new(0, 1).is_none());
        assert!(Pages::new(1, 3).is_none());
        assert!(Pages::new(usize::MAX, 1).is_none());
        assert!(Pages::new(1, usize::MAX).is_none());
    }
}
