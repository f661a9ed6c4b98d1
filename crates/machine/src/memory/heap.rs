//! Heap: the global allocator of an image, over all of its RAM.

mod bins;

use bins::{Bin, Bins};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use hermit_sync::RawOneShotMutex;
use talc::TalcLock;
use talc::source::Manual;

/// Kept back so that a panic for want of memory finds enough for its message and its unwinding.
const RESERVE: Layout = match Layout::from_size_align(16 << 10, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a size and an alignment"),
};

static USED_BYTES: AtomicUsize = AtomicUsize::new(0);
static TOTAL_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How full the heap is.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes in live allocations.
    pub used_bytes: usize,
    /// Bytes that the heap was given: RAM without the image and the boot module.
    pub total_bytes: usize,
}

/// How full the heap is now; zeros on a host, whose heap is another.
pub fn usage() -> Usage {
    Usage {
        used_bytes: USED_BYTES.load(Ordering::Relaxed),
        total_bytes: TOTAL_BYTES.load(Ordering::Relaxed),
    }
}

/// The allocator. There is one in an image, and [`usage`] tells of it.
pub struct Heap {
    talc: TalcLock<RawOneShotMutex, Manual>,
    /// Small blocks that were freed.
    bins: Bins,
    /// Null while a panic uses it.
    reserve: AtomicPtr<u8>,
}

impl Heap {
    /// Without memory.
    #[expect(clippy::new_without_default, reason = "there is one, and it is static")]
    pub const fn new() -> Self {
        Self {
            talc: TalcLock::new(Manual),
            bins: Bins::new(),
            reserve: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Gives the reserve to the heap, for a panic that may be for want of memory.
    pub fn open_reserve(&self) {
        let reserve = self.reserve.swap(ptr::null_mut(), Ordering::Relaxed);
        if !reserve.is_null() {
            // SAFETY: `refill_reserve` took it with this layout, and the swap gave it away once.
            unsafe { self.talc.dealloc(reserve, RESERVE) }
        }
    }

    /// Takes a reserve, if there is memory for it.
    pub fn refill_reserve(&self) {
        if self.reserve.load(Ordering::Relaxed).is_null() {
            // SAFETY: the layout's size is not zero.
            let reserve = unsafe { self.talc.alloc(RESERVE) };
            self.reserve.store(reserve, Ordering::Relaxed);
        }
    }

    /// Gives it what is free between two addresses, that is, in none of the ranges in use (which are
    /// from and to, or nothing).
    ///
    /// # Safety
    /// The memory is RAM, mapped, and nobody's but of those who use these ranges.
    pub(crate) unsafe fn claim(&self, start: u64, end: u64, in_use: [(u64, u64); 2]) {
        let mut from = start;
        while from < end {
            // The nearest thing in use at or after `from` ends this free stretch.
            let next = in_use.iter().filter(|&&(low, high)| low < high && high > from).min();
            let (low, high) = next.copied().unwrap_or((end, end));
            if low > from {
                let bytes = (low.min(end) - from) as usize;
                // SAFETY: free by the search above, and claimed once.
                unsafe { self.talc.lock().claim(from as *mut u8, bytes) };
                TOTAL_BYTES.fetch_add(bytes, Ordering::Relaxed);
            }
            from = high.max(low);
        }
    }
}

impl Heap {
    /// A block, out of its bin or of what talc has; null if there is none.
    ///
    /// # Safety
    /// The layout's size is not zero.
    #[inline]
    unsafe fn take(&self, layout: Layout) -> *mut u8 {
        let Some(bin) = Bin::of(layout) else {
            // SAFETY: the caller's layout.
            return unsafe { self.talc_alloc(layout) };
        };
        let block = self.bins.take(bin);
        if !block.is_null() {
            return block;
        }
        // SAFETY: a bin's layout has a size.
        unsafe { self.talc_alloc(bin.layout()) }
    }

    /// Gives a block to its bin, or back to talc.
    ///
    /// # Safety
    /// It came from [`take`](Self::take) with this layout, or one of the same bin, and nobody uses it any more.
    #[inline]
    unsafe fn give(&self, start: *mut u8, layout: Layout) {
        let Some(bin) = Bin::of(layout) else {
            // SAFETY: without a bin it is of this layout.
            return unsafe { self.talc.dealloc(start, layout) };
        };
        // SAFETY: all that has a bin is of that bin's layout.
        if !unsafe { self.bins.keep(bin, start) } {
            // SAFETY: as above, and the bin did not take it.
            unsafe { self.talc.dealloc(start, bin.layout()) }
        }
    }

    /// Of talc's; where that has none, all that is in bins is given back first.
    ///
    /// # Safety
    /// The layout's size is not zero.
    unsafe fn talc_alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is as talc wants it.
        let start = unsafe { self.talc.alloc(layout) };
        if !start.is_null() || !self.empty_bins() {
            return start;
        }
        // SAFETY: as above.
        unsafe { self.talc.alloc(layout) }
    }

    /// As [`talc_alloc`](Self::talc_alloc).
    ///
    /// # Safety
    /// As [`GlobalAlloc::realloc`]'s, of a block that has no bin.
    unsafe fn talc_realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's block and sizes.
        let moved = unsafe { self.talc.realloc(start, layout, bytes) };
        if !moved.is_null() || !self.empty_bins() {
            return moved;
        }
        // SAFETY: as above: where there is no memory, the block stays as it was.
        unsafe { self.talc.realloc(start, layout, bytes) }
    }

    #[cold]
    fn empty_bins(&self) -> bool {
        // SAFETY: what was in a bin has its layout, and nobody uses it.
        self.bins.empty(|block, layout| unsafe { self.talc.dealloc(block, layout) })
    }
}

/// One CPU and no allocation in interrupts: load and store count right without a lock.
fn count(more: usize, less: usize) {
    let used = USED_BYTES.load(Ordering::Relaxed);
    USED_BYTES.store(used.wrapping_add(more).wrapping_sub(less), Ordering::Relaxed);
}

// SAFETY: a block is talc's, which keeps the contract, or one that was given back with a layout of the same bin.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size.
        let start = unsafe { self.take(layout) };
        if !start.is_null() {
            count(layout.size(), 0);
        }
        start
    }

    #[inline(never)]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller took it from `alloc` with this layout.
        unsafe { self.give(start, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's size, rounded up to the alignment, is no more than `isize::MAX`.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        let (bin, wanted_bin) = (Bin::of(layout), Bin::of(wanted));
        let moved = if bin.is_some() && bin == wanted_bin {
            start
        } else if bin.is_none() && wanted_bin.is_none() {
            // SAFETY: the caller's block and sizes, and it is talc's.
            unsafe { self.talc_realloc(start, layout, bytes) }
        } else {
            // SAFETY: the caller's block and sizes.
            unsafe { self.move_to(start, layout, wanted) }
        };
        if !moved.is_null() {
            count(bytes, layout.size());
        }
        moved
    }
}

impl Heap {
    /// Another block with the same contents, as far as both are long; the old one is given up. Null, with the old one as
    /// it was, if there is none.
    ///
    /// # Safety
    /// As [`GlobalAlloc::realloc`]'s.
    unsafe fn move_to(&self, start: *mut u8, layout: Layout, wanted: Layout) -> *mut u8 {
        // SAFETY: the caller's size is not zero.
        let moved = unsafe { self.take(wanted) };
        if !moved.is_null() {
            let bytes = layout.size().min(wanted.size());
            // SAFETY: both are that long, and the new one is another.
            unsafe { ptr::copy_nonoverlapping(start, moved, bytes) };
            // SAFETY: the caller took it with this layout, and gives it up.
            unsafe { self.give(start, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{PAGE_BYTES, Pages};
    use spinning_top::Spinlock;
    use spinning_top::guard::SpinlockGuard;

    /// [`usage`] counts the blocks of all heaps, so that one test at a time has one.
    fn alone() -> SpinlockGuard<'static, ()> {
        static ALONE: Spinlock<()> = Spinlock::new(());
        ALONE.lock()
    }

    #[test]
    fn what_is_in_use_is_not_claimed() {
        let _alone = alone();
        const PAGE: u64 = PAGE_BYTES as u64;
        let pages = Pages::new(64, 1).unwrap();
        let (start, end) = (pages.physical(), pages.physical() + 64 * PAGE);
        pages.leak();
        let heap = Heap::new();
        let in_use = [(start + 32 * PAGE, start + 40 * PAGE), (start - PAGE, start + PAGE)];
        // SAFETY: leaked above, for this heap.
        unsafe { heap.claim(start, end, in_use) };
        assert_eq!(usage().total_bytes, 55 * PAGE_BYTES);
        let layout = Layout::from_size_align(PAGE_BYTES, 16).unwrap();
        let mut taken = 0;
        loop {
            // SAFETY: the layout's size is not zero.
            let at = unsafe { heap.alloc(layout) } as u64;
            if at == 0 {
                break;
            }
            taken += 1;
            let is_free = |&(low, high): &(u64, u64)| at + PAGE <= low || high <= at;
            assert!(start <= at && at + PAGE <= end && in_use.iter().all(is_free));
        }
        assert!(taken >= 50, "{taken} pages");
    }

    /// A heap of so many pages that [`usage`] does not tell of.
    fn heap_of(pages: usize) -> Heap {
        let heap = Heap::new();
        let pages_of_it = Pages::new(pages, 1).unwrap();
        let start = pages_of_it.physical() as *mut u8;
        pages_of_it.leak();
        // SAFETY: leaked above, for this heap.
        unsafe { heap.talc.lock().claim(start, pages * PAGE_BYTES) };
        heap
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).unwrap()
    }

    fn take(heap: &Heap, bytes: usize) -> *mut u8 {
        // SAFETY: the tests' sizes are not zero.
        unsafe { heap.alloc(layout(bytes)) }
    }

    fn free(heap: &Heap, block: *mut u8, bytes: usize) {
        // SAFETY: the tests free what they took, with its size.
        unsafe { heap.dealloc(block, layout(bytes)) }
    }

    fn resize(heap: &Heap, block: *mut u8, before: usize, bytes: usize) -> *mut u8 {
        // SAFETY: the tests resize what they took, with its size.
        unsafe { heap.realloc(block, layout(before), bytes) }
    }

    #[test]
    fn a_small_block_is_the_next_of_its_size() {
        let _alone = alone();
        let heap = heap_of(4);
        let (first, other) = (take(&heap, 100), take(&heap, 100));
        free(&heap, first, 100);
        assert_ne!(take(&heap, 200), first);
        assert_eq!(take(&heap, 90), first);
        assert_ne!(take(&heap, 100), other);
    }

    #[test]
    fn what_is_kept_is_given_back_before_an_allocation_fails() {
        let _alone = alone();
        let heap = heap_of(4);
        let fits = |bytes: &usize| {
            let block = take(&heap, *bytes);
            if !block.is_null() {
                free(&heap, block, *bytes);
            }
            !block.is_null()
        };
        let most = (1..4 * PAGE_BYTES).rev().find(fits).unwrap();
        let mut blocks = alloc::vec::Vec::new();
        loop {
            let block = take(&heap, 100);
            if block.is_null() {
                break;
            }
            blocks.push(block);
        }
        assert!(blocks.len() > 50);
        blocks.into_iter().for_each(|block| free(&heap, block, 100));
        assert!(fits(&most));
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_contents() {
        let _alone = alone();
        let heap = heap_of(4);
        let mut block = take(&heap, 8);
        // SAFETY: it is that long.
        unsafe { block.cast::<u64>().write(0x0123_4567_89ab_cdef) };
        let mut before = 8;
        for bytes in [24, 25, 500, 505, 3000, 700, 504, 30, 8] {
            block = resize(&heap, block, before, bytes);
            // SAFETY: it is as long at least.
            let read = unsafe { block.cast::<u64>().read() };
            assert_eq!(read, 0x0123_4567_89ab_cdef, "{bytes} bytes");
            before = bytes;
        }
        assert!(resize(&heap, block, before, 5 * PAGE_BYTES).is_null());
        // SAFETY: as above.
        let read = unsafe { block.cast::<u64>().read() };
        assert_eq!(read, 0x0123_4567_89ab_cdef);
    }

    #[test]
    fn what_is_used_is_counted_in_the_bytes_that_were_asked_for() {
        let _alone = alone();
        let heap = heap_of(4);
        let before = usage().used_bytes;
        let used = || usage().used_bytes.wrapping_sub(before);
        let (small, large) = (take(&heap, 100), take(&heap, 3000));
        assert_eq!(used(), 3100);
        let small = resize(&heap, small, 100, 90);
        assert_eq!(used(), 3090, "in the same bin");
        let small = resize(&heap, small, 90, 400);
        assert_eq!(used(), 3400, "in another");
        assert!(resize(&heap, large, 3000, 5 * PAGE_BYTES).is_null());
        assert!(take(&heap, 5 * PAGE_BYTES).is_null());
        assert_eq!(used(), 3400, "what failed takes nothing");
        let large = resize(&heap, large, 3000, 2000);
        assert_eq!(used(), 2400);
        free(&heap, small, 400);
        free(&heap, large, 2000);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_panic_finds_the_reserve_once() {
        let _alone = alone();
        const BLOCK_BYTES: usize = 10 << 10;
        let heap = heap_of(8);
        heap.open_reserve();
        heap.refill_reserve();
        heap.refill_reserve();
        let rest = take(&heap, BLOCK_BYTES);
        assert!(
            !rest.is_null() && take(&heap, BLOCK_BYTES).is_null(),
            "16 of 32 KiB are kept back"
        );
        heap.open_reserve();
        heap.open_reserve();
        let of_reserve = take(&heap, BLOCK_BYTES);
        assert!(!of_reserve.is_null());
        heap.refill_reserve();
        heap.open_reserve();
        free(&heap, rest, BLOCK_BYTES);
        free(&heap, of_reserve, BLOCK_BYTES);
        heap.refill_reserve();
        assert!(take(&heap, 17 << 10).is_null(), "it is kept back again");
    }
}
