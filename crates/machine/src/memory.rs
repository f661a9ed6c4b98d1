//! All of RAM as one heap, and pages from it.
//!
//! RAM is identity-mapped, so that the address of heap memory is also its physical address: what
//! devices are told.

pub(crate) mod dma;

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

/// The page size, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// Physically contiguous pages, zeroed when taken and given back when dropped.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the pages belong to their owner alone, wherever it runs.
unsafe impl Send for Pages {}

impl Pages {
    /// `count` pages whose start is a multiple of `align_pages` pages (a power of two); `None` when
    /// memory is short or a number is out of range.
    pub fn new(count: usize, align_pages: usize) -> Option<Self> {
        let bytes = count.checked_mul(PAGE_BYTES).filter(|&bytes| bytes > 0)?;
        let align = align_pages.checked_mul(PAGE_BYTES)?;
        let layout = Layout::from_size_align(bytes, align).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Some(Self { start: NonNull::new(start)?, layout })
    }

    /// Where devices find them.
    pub fn physical(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Where this program finds them.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// How long they are, in bytes.
    pub fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// Keeps them for ever, for what hardware goes on reading.
    pub fn leak(self) -> NonNull<u8> {
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

/// Whether device registers may be there: no RAM, none of the machine's interrupt controllers, and
/// where page tables can map them.
pub(crate) fn is_for_devices(start: u64, end: u64) -> bool {
    const INTERRUPT_CONTROLLERS: (u64, u64) = (0xfec0_0000, 0xfef0_0000);
    let is_beside = |(low, high): (u64, u64)| end <= low || high <= start;
    start < end
        && end <= crate::arch::paging::FRESH_START
        && is_beside(INTERRUPT_CONTROLLERS)
        && ram().all(is_beside)
}

/// All of it, from and to.
#[cfg(feature = "runtime")]
fn ram() -> impl Iterator<Item = (u64, u64)> {
    let regions = crate::boot::start_info().regions().iter();
    regions.filter(|region| region.is_ram()).map(|region| (region.start, region.end()))
}

/// A process on a host maps no devices.
#[cfg(not(feature = "runtime"))]
fn ram() -> impl Iterator<Item = (u64, u64)> {
    core::iter::empty()
}

#[cfg(feature = "runtime")]
pub use heap::{Usage, usage};
#[cfg(feature = "runtime")]
pub(crate) use heap::{image_end, install, install_high, open_reserve, refill_reserve};

/// The global allocator and what it is made of.
#[cfg(feature = "runtime")]
mod heap {
    use crate::arch::pvh::StartInfo;
    use core::alloc::{GlobalAlloc, Layout};
    use core::ptr;
    use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
    use spinning_top::RawSpinlock;
    use talc::TalcLock;
    use talc::source::Manual;

    const HIGH: u64 = 1 << 32;
    /// Page 0 stays unmapped and unused.
    const LOWEST: u64 = 0x1000;

    #[global_allocator]
    static HEAP: Heap = Heap {
        talc: TalcLock::new(Manual),
        used_bytes: AtomicUsize::new(0),
        total_bytes: AtomicUsize::new(0),
        reserve: AtomicPtr::new(ptr::null_mut()),
    };

    /// Kept back so that a panic for want of memory finds enough for its message and its unwinding.
    const RESERVE: Layout = match Layout::from_size_align(16 << 10, 16) {
        Ok(layout) => layout,
        Err(_) => panic!("a size and an alignment"),
    };

    unsafe extern "C" {
        static image_start: u8;
        static symbols: u8;
    }

    /// How full the heap is.
    #[derive(Clone, Copy, Debug)]
    pub struct Usage {
        /// Bytes in live allocations.
        pub used_bytes: usize,
        /// Bytes that the heap was given: RAM without the image and the boot module.
        pub total_bytes: usize,
    }

    /// How full the heap is now.
    pub fn usage() -> Usage {
        Usage {
            used_bytes: HEAP.used_bytes.load(Ordering::Relaxed),
            total_bytes: HEAP.total_bytes.load(Ordering::Relaxed),
        }
    }

    /// One past the image's last byte, a multiple of the page size: the table of symbols is last.
    pub(crate) fn image_end() -> u64 {
        let bytes = crate::symbols::bytes().next_multiple_of(super::PAGE_BYTES);
        &raw const symbols as u64 + bytes as u64
    }

    /// Gives the heap all RAM below 4 GiB.
    ///
    /// # Safety
    /// Called once, before anything allocates, with the memory below 4 GiB identity-mapped.
    pub(crate) unsafe fn install(info: &StartInfo) {
        for region in info.regions().iter().filter(|region| region.is_ram()) {
            // SAFETY: mapped, and `claim` leaves out what is in use.
            unsafe { claim(region.start.max(LOWEST), region.end().min(HIGH), info) }
        }
        refill_reserve();
    }

    /// Gives the heap the RAM above 4 GiB.
    ///
    /// # Safety
    /// Called once, when that memory has been identity-mapped.
    pub(crate) unsafe fn install_high(info: &StartInfo) {
        for region in info.regions().iter().filter(|region| region.is_ram()) {
            // SAFETY: mapped, and `claim` leaves out what is in use.
            unsafe { claim(region.start.max(HIGH), region.end(), info) }
        }
    }

    /// Gives the reserve to the heap, for a panic that may be for want of memory.
    pub(crate) fn open_reserve() {
        let reserve = HEAP.reserve.swap(ptr::null_mut(), Ordering::Relaxed);
        if !reserve.is_null() {
            // SAFETY: `refill_reserve` took it with this layout, and the swap gave it away once.
            unsafe { HEAP.talc.dealloc(reserve, RESERVE) }
        }
    }

    /// Takes a reserve, if there is memory for it.
    pub(crate) fn refill_reserve() {
        if HEAP.reserve.load(Ordering::Relaxed).is_null() {
            // SAFETY: the layout's size is not zero.
            let reserve = unsafe { HEAP.talc.alloc(RESERVE) };
            HEAP.reserve.store(reserve, Ordering::Relaxed);
        }
    }

    /// Gives the heap what is free between `start` and `end`.
    ///
    /// # Safety
    /// The memory is RAM, mapped, and nobody's but the image's and the boot module's.
    unsafe fn claim(start: u64, end: u64, info: &StartInfo) {
        let image = (&raw const image_start as u64, image_end());
        let mut from = start;
        while from < end {
            // The nearest thing in use at or after `from` ends this free stretch.
            let in_use = [image, info.module_pages()].into_iter();
            let next = in_use.filter(|&(low, high)| low < high && high > from).min();
            let (low, high) = next.unwrap_or((end, end));
            if low > from {
                let bytes = (low.min(end) - from) as usize;
                // SAFETY: free by the search above, and claimed once.
                unsafe { HEAP.talc.lock().claim(from as *mut u8, bytes) };
                HEAP.total_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            from = high.max(low);
        }
    }

    struct Heap {
        talc: TalcLock<RawSpinlock, Manual>,
        used_bytes: AtomicUsize,
        total_bytes: AtomicUsize,
        /// Null while a panic uses it.
        reserve: AtomicPtr<u8>,
    }

    impl Heap {
        /// One CPU and no allocation in interrupts: load and store count right without a lock.
        fn count(&self, more: usize, less: usize) {
            let used = self.used_bytes.load(Ordering::Relaxed);
            self.used_bytes.store(used.wrapping_add(more).wrapping_sub(less), Ordering::Relaxed);
        }
    }

    // SAFETY: everything is passed on to talc, which keeps the contract.
    unsafe impl GlobalAlloc for Heap {
        #[inline(never)]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's layout is as talc wants it.
            let start = unsafe { self.talc.alloc(layout) };
            if !start.is_null() {
                self.count(layout.size(), 0);
            }
            start
        }

        #[inline(never)]
        unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
            self.count(0, layout.size());
            // SAFETY: the caller took it from `alloc` with this layout.
            unsafe { self.talc.dealloc(start, layout) }
        }

        #[inline(never)]
        unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
            // SAFETY: the caller took it from `alloc` with this layout.
            let moved = unsafe { self.talc.realloc(start, layout, bytes) };
            if !moved.is_null() {
                self.count(bytes, layout.size());
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
