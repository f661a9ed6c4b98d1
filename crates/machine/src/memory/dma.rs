//! DMA memory: what devices read and write.
//!
//! It is taken once and never given back: a device may use an address it was told for as long as
//! it runs, and nothing proves that a broken one has stopped. What both sides touch at any time
//! (the rings) is reached as atomic integers only, what changes hands (the buffers) as slices,
//! under the contract of [`Mirror`] and [`Arena`].
//!
//! What a device only reads needs no memory of its own: a [`SharedBytes`] holds bytes that nobody changes
//! where they are. A device that reads on after it has returned them reads what this program keeps
//! there next, which it could have read anyway; it changes nothing.

#[cfg(any(test, feature = "fake"))]
pub(crate) mod host;

use crate::arch::page_tables;
#[cfg(any(test, feature = "fake"))]
use crate::image_layout;
use crate::memory::{PAGE_BYTES, Pages};
use bytes::Bytes;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// Gives pages to devices for good: where they find them, and where this program does.
pub(crate) fn leak(pages: Pages) -> (u64, NonNull<u8>) {
    let physical = pages.physical();
    #[cfg(any(test, feature = "fake"))]
    let bytes = pages.bytes();
    let start = pages.leak();
    #[cfg(any(test, feature = "fake"))]
    host::register(start, physical, bytes);
    (physical, start)
}

/// Lets a test's other domain reach pages, until [`withdraw`].
#[cfg(any(test, feature = "fake"))]
pub(crate) fn offer(pages: &Pages) {
    host::register(pages.as_ptr(), pages.physical(), pages.bytes());
}

/// They are reached no more.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn withdraw(pages: &Pages) {
    host::unregister(pages.physical());
}

/// Zeroed, physically contiguous memory that a device and this program use at the same time.
///
/// Hands out disjoint runs of atomic integers, front to back.
#[derive(Debug)]
pub(crate) struct Coherent {
    start: NonNull<u8>,
    physical: u64,
    bytes: usize,
    taken: usize,
}

impl Coherent {
    /// At least `bytes` of it; `None` when memory is short.
    pub(crate) fn allocate(bytes: usize) -> Option<Self> {
        let pages = Pages::new(bytes.div_ceil(PAGE_BYTES), 1)?;
        let bytes = pages.bytes();
        let (physical, start) = leak(pages);
        Some(Self { start, physical, bytes, taken: 0 })
    }

    /// Where the device finds what is handed out next, once aligned to `align` bytes (a power of
    /// two up to the page size).
    pub(crate) fn align(&mut self, align: usize) -> u64 {
        self.taken = self.taken.next_multiple_of(align);
        self.physical + self.taken as u64
    }

    /// The next `count` integers of two bytes.
    pub(crate) fn take_u16(&mut self, count: usize) -> &'static [AtomicU16] {
        let start = self.take::<AtomicU16>(count);
        // SAFETY: `take` gave this aligned, zeroed run of leaked memory to nobody else, and the
        // device's accesses are no more than a concurrent atomic writer's.
        unsafe { slice::from_raw_parts(start, count) }
    }

    /// The next `count` integers of four bytes.
    pub(crate) fn take_u32(&mut self, count: usize) -> &'static [AtomicU32] {
        let start = self.take::<AtomicU32>(count);
        // SAFETY: as in `take_u16`.
        unsafe { slice::from_raw_parts(start, count) }
    }

    /// The next `count` integers of eight bytes.
    pub(crate) fn take_u64(&mut self, count: usize) -> &'static [AtomicU64] {
        let start = self.take::<AtomicU64>(count);
        // SAFETY: as in `take_u16`.
        unsafe { slice::from_raw_parts(start, count) }
    }

    fn take<T>(&mut self, count: usize) -> *const T {
        let from = self.taken.next_multiple_of(align_of::<T>());
        let end = from + count * size_of::<T>();
        assert!(end <= self.bytes, "shared memory is as long as its parts");
        self.taken = end;
        self.start.as_ptr().wrapping_add(from).cast()
    }
}

/// Bytes that a device reads where they lie, and that are there as long as this is.
///
/// They are immutable and do not move: that is what [`Bytes`] promises. Static ones and those of the
/// heap are at their physical addresses, and so in one piece for the device, too.
#[derive(Debug)]
pub(crate) struct SharedBytes(Bytes);

impl SharedBytes {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let shared = Self(bytes);
        #[cfg(any(test, feature = "fake"))]
        host::share(shared.physical(), shared.bytes());
        let is_host = cfg!(any(test, feature = "fake"));
        assert!(
            is_host || page_tables::is_identity(shared.physical()),
            "only rings are mapped elsewhere"
        );
        shared
    }

    /// Where the device finds the first byte.
    pub(crate) fn physical(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// How many there are.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

#[cfg(any(test, feature = "fake"))]
impl Drop for SharedBytes {
    fn drop(&mut self) {
        host::take_back(self.physical(), self.bytes());
    }
}

/// Physically contiguous buffer memory.
#[derive(Debug)]
pub(crate) struct Arena {
    start: NonNull<u8>,
    physical: u64,
    bytes: usize,
}

// SAFETY: the memory belongs to the arena alone, wherever it runs.
unsafe impl Send for Arena {}

impl Arena {
    /// At least `bytes` of it; `None` when memory is short.
    pub(crate) fn allocate(bytes: usize) -> Option<Self> {
        let pages = Pages::new(bytes.div_ceil(PAGE_BYTES), 1)?;
        let bytes = pages.bytes();
        let (physical, start) = leak(pages);
        Some(Self { start, physical, bytes })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the device finds the byte at `offset`.
    pub(crate) fn physical(&self, offset: usize) -> u64 {
        self.physical + offset as u64
    }

    /// A range of it; panics when it is out of bounds.
    ///
    /// # Safety
    /// The device holds no part of the range: none was offered to it without being returned since.
    pub(crate) unsafe fn slice_mut(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset);
        let start = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: in bounds, and `self` lends what the caller vouches for.
        unsafe { slice::from_raw_parts_mut(start, bytes) }
    }
}

/// Physically contiguous buffer memory that appears twice in a row in the address space, so that
/// any run of bytes up to its whole length is one slice, also where it wraps around.
#[derive(Debug)]
pub(crate) struct Mirror {
    start: NonNull<u8>,
    physical: u64,
    bytes: usize,
}

// SAFETY: the memory belongs to the mirror alone, wherever it runs.
unsafe impl Send for Mirror {}

impl Mirror {
    /// `bytes` of it, rounded up to whole pages; `None` when memory is short.
    pub(crate) fn allocate(bytes: usize) -> Option<Self> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        #[cfg(any(test, feature = "fake"))]
        if image_layout::running().is_none() {
            let (start, physical) = host::map_twice(bytes)?;
            return Some(Self { start, physical, bytes });
        }
        let pages = Pages::new(bytes / PAGE_BYTES, 1)?;
        let physical = pages.physical();
        pages.leak();
        // SAFETY: the pages have just been leaked to this mirror, which uses no other way.
        let start = unsafe { page_tables::map_twice(physical, bytes) }?;
        Some(Self { start, physical, bytes })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the device finds the byte at `offset`.
    pub(crate) fn physical(&self, offset: usize) -> u64 {
        self.physical + offset as u64
    }

    /// A range that starts in the first copy and may end in the second; panics when it is longer
    /// than the memory or starts beyond it.
    ///
    /// # Safety
    /// The device holds no part of the range: none was offered to it without being returned since.
    pub(crate) unsafe fn slice(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset < self.bytes && bytes <= self.bytes);
        let start = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: in bounds of the two copies, and `self` lends what the caller vouches for.
        unsafe { slice::from_raw_parts(start, bytes) }
    }

    /// As [`Mirror::slice`], to be written.
    ///
    /// # Safety
    /// As for [`Mirror::slice`].
    pub(crate) unsafe fn slice_mut(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        assert!(offset < self.bytes && bytes <= self.bytes);
        let start = self.start.as_ptr().wrapping_add(offset);
        // SAFETY: in bounds of the two copies and at most as long as one, so that no byte is in it
        // twice; `self` lends what the caller vouches for.
        unsafe { slice::from_raw_parts_mut(start, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering;

    #[test]
    fn shared_runs_are_disjoint_and_zero() {
        let mut shared = Coherent::allocate(4096).unwrap();
        let first = shared.take_u16(3);
        let second = shared.take_u32(2);
        let third = shared.take_u64(1);
        first[2].store(0xffff, Ordering::Relaxed);
        third[0].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(second.iter().map(|word| word.load(Ordering::Relaxed)).sum::<u32>(), 0);
        assert_eq!(shared.align(64) % 64, 0);
    }

    #[test]
    #[should_panic(expected = "as long as its parts")]
    fn shared_does_not_hand_out_more_than_it_has() {
        Coherent::allocate(4096).unwrap().take_u64(513);
    }

    #[test]
    fn a_mirror_is_contiguous_across_its_end() {
        let mirror = Mirror::allocate(8192).unwrap();
        host::write(mirror.physical(8190), &[1, 2]);
        host::write(mirror.physical(0), &[3, 4]);
        // SAFETY: no device has been given any of it.
        assert_eq!(unsafe { mirror.slice(8190, 4) }, [1, 2, 3, 4]);
    }

    #[test]
    #[should_panic(expected = "bytes <= self.bytes")]
    fn a_mirror_lends_no_byte_twice() {
        let mirror = Mirror::allocate(4096).unwrap();
        // SAFETY: no device has been given any of it.
        unsafe { mirror.slice(0, 4097) };
    }

    #[test]
    #[should_panic(expected = "self.bytes - offset")]
    fn an_arena_lends_no_byte_beyond_its_end() {
        let mut arena = Arena::allocate(4096).unwrap();
        // SAFETY: no device has been given any of it.
        unsafe { arena.slice_mut(1, 4096) };
    }
}
