//! Bins: small blocks that were freed, kept for the next allocations of their sizes (segregated free lists).
//!
//! Each request and each call takes a few blocks of the same sizes as the one before, and frees them. talc takes some two
//! hundred instructions for both, since it joins what is free; a bin takes a tenth of that. A bin is short, so that
//! little memory is held that others could use, and all of it is given back before an allocation fails.

use core::alloc::Layout;
use core::array;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// What talc gives is a multiple of this, aligned to it, and the last word is talc's own. So all sizes of a bin take the
/// same of it, and each of its blocks serves them all.
const UNIT_BYTES: usize = 32;
const TAIL_BYTES: usize = 8;
/// Bins, for blocks of up to so many units: 504 bytes.
const BINS: usize = 16;
/// Blocks in a bin: 68 KiB in all of them.
const BLOCKS_MAX: u8 = 16;

/// What talc is asked for, by bin.
const LAYOUTS: [Layout; BINS] = {
    let mut layouts = [Layout::new::<()>(); BINS];
    let mut bin = 0;
    while bin < BINS {
        layouts[bin] =
            match Layout::from_size_align(UNIT_BYTES * (bin + 1) - TAIL_BYTES, UNIT_BYTES) {
                Ok(layout) => layout,
                Err(_) => panic!("a size and an alignment"),
            };
        bin += 1;
    }
    layouts
};

/// The bins. One CPU and no allocation in interrupts: loads and stores are enough.
pub(super) struct Bins {
    /// The first block of each, null if there is none.
    heads: [AtomicPtr<Free>; BINS],
    lengths: [AtomicU8; BINS],
}

/// The number of a bin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bin(usize);

/// A free block: its first word names the next one.
struct Free {
    next: *mut Free,
}

impl Bin {
    /// The one for blocks of this layout.
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let bin = layout.size().wrapping_add(TAIL_BYTES - 1) / UNIT_BYTES;
        (bin < BINS && layout.align() <= UNIT_BYTES).then_some(Self(bin))
    }

    /// What its blocks are, as the heap below has them.
    pub(super) fn layout(self) -> Layout {
        LAYOUTS[self.0]
    }
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self {
            heads: [const { AtomicPtr::new(ptr::null_mut()) }; BINS],
            lengths: [const { AtomicU8::new(0) }; BINS],
        }
    }

    /// A block out of a bin; null if that is empty.
    #[inline]
    pub(super) fn take(&self, bin: Bin) -> *mut u8 {
        let block = self.heads[bin.0].load(Ordering::Relaxed);
        if !block.is_null() {
            // SAFETY: what is in a bin is a free block, and its first word was written by `keep`.
            let next = unsafe { (*block).next };
            self.heads[bin.0].store(next, Ordering::Relaxed);
            let length = self.lengths[bin.0].load(Ordering::Relaxed);
            self.lengths[bin.0].store(length - 1, Ordering::Relaxed);
        }
        block.cast()
    }

    /// Puts a block into its bin; false if that is full.
    ///
    /// # Safety
    /// The block has the bin's layout, and nobody uses it any more unless this is false.
    #[inline]
    pub(super) unsafe fn keep(&self, bin: Bin, block: *mut u8) -> bool {
        let length = self.lengths[bin.0].load(Ordering::Relaxed);
        if length == BLOCKS_MAX {
            return false;
        }
        let block: *mut Free = block.cast();
        let next = self.heads[bin.0].load(Ordering::Relaxed);
        // SAFETY: the caller's block is free, aligned to a unit, and longer than a word.
        unsafe { block.write(Free { next }) };
        self.heads[bin.0].store(block, Ordering::Relaxed);
        self.lengths[bin.0].store(length + 1, Ordering::Relaxed);
        true
    }

    /// Takes all blocks out; whether there were any.
    pub(super) fn empty(&self, mut give_back: impl FnMut(*mut u8, Layout)) -> bool {
        let mut any = false;
        for bin in array::from_fn::<_, BINS, _>(Bin) {
            loop {
                let block = self.take(bin);
                if block.is_null() {
                    break;
                }
                any = true;
                give_back(block, bin.layout());
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize, align: usize) -> Layout {
        Layout::from_size_align(bytes, align).unwrap()
    }

    #[test]
    fn a_bin_has_the_sizes_that_take_as_many_units() {
        let bin = |bytes| Bin::of(layout(bytes, 8)).map(|bin| bin.0);
        assert_eq!(
            [bin(1), bin(24), bin(25), bin(56), bin(57)],
            [Some(0), Some(0), Some(1), Some(1), Some(2)]
        );
        assert_eq!([bin(504), bin(505), bin(1 << 40)], [Some(15), None, None]);
        assert!(Bin::of(layout(24, 32)).is_some());
        assert!(Bin::of(layout(24, 64)).is_none());
        for bytes in 1..=504 {
            assert!(Bin::of(layout(bytes, 1)).is_some_and(|bin| bin.layout().size() >= bytes));
        }
    }

    #[test]
    fn a_full_bin_takes_no_more_and_gives_the_last_first() {
        let bins = Bins::new();
        let bin = Bin::of(layout(40, 8)).unwrap();
        let mut blocks = [[0_u64; 8]; BLOCKS_MAX as usize + 1];
        let starts = blocks.each_mut().map(|block| block.as_mut_ptr().cast::<u8>());
        let (last, kept) = starts.split_last().unwrap();
        for start in kept {
            // SAFETY: a block of this test's, of that size.
            assert!(unsafe { bins.keep(bin, *start) });
        }
        // SAFETY: as above.
        assert!(!unsafe { bins.keep(bin, *last) });
        for start in kept.iter().rev() {
            assert_eq!(bins.take(bin), *start);
        }
        assert!(bins.take(bin).is_null());
        assert!(!bins.empty(|_, _| panic!("there is nothing in them")));
    }

    /// What was taken leaves room for as many again.
    #[test]
    fn a_bin_takes_again_as_many_as_it_gave() {
        let bins = Bins::new();
        let bin = Bin::of(layout(40, 8)).unwrap();
        let mut blocks = [[0_u64; 8]; BLOCKS_MAX as usize];
        let starts = blocks.each_mut().map(|block| block.as_mut_ptr().cast::<u8>());
        for _ in 0..3 {
            for start in starts {
                // SAFETY: a block of this test's, of that size.
                assert!(unsafe { bins.keep(bin, start) });
            }
            let mut count = 0;
            assert!(bins.empty(|_, layout| {
                assert_eq!((layout.size(), layout.align()), (56, 32));
                count += 1;
            }));
            assert_eq!(count, 16);
        }
    }
}
