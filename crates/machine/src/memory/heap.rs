//! Heap: the global allocator of an image, over all of its RAM.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use spinning_top::RawSpinlock;
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
    talc: TalcLock<RawSpinlock, Manual>,
    /// Null while a panic uses it.
    reserve: AtomicPtr<u8>,
}

impl Heap {
    /// Without memory.
    #[expect(clippy::new_without_default, reason = "there is one, and it is static")]
    pub const fn new() -> Self {
        Self { talc: TalcLock::new(Manual), reserve: AtomicPtr::new(ptr::null_mut()) }
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

/// One CPU and no allocation in interrupts: load and store count right without a lock.
fn count(more: usize, less: usize) {
    let used = USED_BYTES.load(Ordering::Relaxed);
    USED_BYTES.store(used.wrapping_add(more).wrapping_sub(less), Ordering::Relaxed);
}

// SAFETY: everything is passed on to talc, which keeps the contract.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is as talc wants it.
        let start = unsafe { self.talc.alloc(layout) };
        if !start.is_null() {
            count(layout.size(), 0);
        }
        start
    }

    #[inline(never)]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller took it from `alloc` with this layout.
        unsafe { self.talc.dealloc(start, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller took it from `alloc` with this layout.
        let moved = unsafe { self.talc.realloc(start, layout, bytes) };
        if !moved.is_null() {
            count(bytes, layout.size());
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{PAGE_BYTES, Pages};

    #[test]
    fn what_is_in_use_is_not_claimed() {
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
}
