//! Memory that other machines read and write at the same time as this one.
//!
//! No reference into it is ever given out: words and bytes are reached as atomics, and runs of bytes are copied by assembly,
//! of which the compiler assumes nothing. What others do to it meanwhile is then no more than what a device does.

use crate::arch::memcpy;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A range of such memory, which is there as long as the machine runs. Clones are the same. Numbers in it are little-endian.
///
/// An access beyond its end, or to a word that is not aligned, panics: offsets are the caller's own.
#[derive(Clone, Debug)]
pub struct SharedRange {
    start: NonNull<u8>,
    bytes: usize,
}

impl SharedRange {
    /// A range of so many bytes.
    ///
    /// # Safety
    /// It is mapped for ever, readable and writable, aligned to four bytes, and nothing of this program reaches it otherwise.
    pub(crate) unsafe fn new(start: NonNull<u8>, bytes: usize) -> Self {
        Self { start, bytes }
    }

    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads a word; what was written before it elsewhere is seen afterwards (acquire).
    pub fn load_word(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes a word, after everything that was written before (release).
    pub fn store_word(&self, offset: usize, word: u32) {
        self.word(offset).store(word, Ordering::Release);
    }

    /// Writes a word if `current` is there; whether it was (sequentially consistent).
    pub fn compare_exchange(&self, offset: usize, current: u32, new: u32) -> bool {
        let word = self.word(offset);
        word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Reads a byte (acquire).
    pub fn load_byte(&self, offset: usize) -> u8 {
        self.byte(offset).load(Ordering::Acquire)
    }

    /// Writes a byte (release).
    pub fn store_byte(&self, offset: usize, byte: u8) {
        self.byte(offset).store(byte, Ordering::Release);
    }

    /// Sets bits of a byte; what it was (sequentially consistent).
    pub fn set_bits(&self, offset: usize, bits: u8) -> u8 {
        self.byte(offset).fetch_or(bits, Ordering::SeqCst)
    }

    /// Clears bits of a byte; what it was (sequentially consistent).
    pub fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.byte(offset).fetch_and(!bits, Ordering::SeqCst)
    }

    /// Copies bytes out: a mixture of what others write meanwhile.
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let from = self.place(offset, into.len(), 1);
        // SAFETY: in the range by the check; `into` is the caller's, and no part of it.
        unsafe { memcpy::copy(into.as_mut_ptr(), from, into.len()) }
    }

    /// Copies bytes in.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let to = self.place(offset, bytes.len(), 1);
        // SAFETY: in the range by the check; `bytes` is the caller's, and no part of it.
        unsafe { memcpy::copy(to, bytes.as_ptr(), bytes.len()) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        let place = self.place(offset, size_of::<u32>(), align_of::<AtomicU32>());
        // SAFETY: in the range and aligned by the check; everybody reaches it as an atomic, or copies bytes by assembly.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: in the range by the check; as for words.
        unsafe { AtomicU8::from_ptr(self.place(offset, 1, 1)) }
    }

    // A ring reads a dozen words for each message: with both lengths known the check is two comparisons.
    #[inline(always)]
    fn place(&self, offset: usize, bytes: usize, align: usize) -> *mut u8 {
        let fits = offset <= self.bytes && bytes <= self.bytes - offset;
        if !(fits && offset.is_multiple_of(align)) {
            out_of_range(offset, bytes);
        }
        self.start.as_ptr().wrapping_add(offset)
    }
}

#[cold]
fn out_of_range(offset: usize, bytes: usize) -> ! {
    panic!("{bytes} bytes of shared memory at {offset:#x}")
}

/// A range of this process' own, for tests.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn fake(bytes: usize) -> SharedRange {
    use crate::memory::{PAGE_BYTES, Pages};

    let pages = Pages::new(bytes.div_ceil(PAGE_BYTES), 1).expect("memory");
    // SAFETY: pages are aligned, and these are nobody's any more.
    unsafe { SharedRange::new(pages.leak(), bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_memory_and_numbers_are_little_endian() {
        let one = fake(64);
        let other = one.clone();
        one.store_word(8, 0x0403_0201);
        let mut seen = [9; 6];
        other.copy_out(7, &mut seen);
        assert_eq!(seen, [0, 1, 2, 3, 4, 0]);
        other.copy_in(60, &[0x10, 0x20, 0x30, 0x40]);
        assert_eq!(one.load_word(60), 0x4030_2010);
        assert!(!one.compare_exchange(60, 1, 2));
        assert!(one.compare_exchange(60, 0x4030_2010, 5));
        assert_eq!((other.set_bits(60, 8), other.clear_bits(60, 5)), (5, 13));
        assert_eq!(one.load_byte(60), 8);
        one.store_byte(63, 0x7f);
        assert_eq!(other.load_word(60), 0x7f00_0008);
        one.copy_out(64, &mut []);
    }

    #[test]
    fn nothing_beyond_the_end_is_reached() {
        let range = fake(64);
        let reaches: [fn(&SharedRange); 6] = [
            |range| {
                let _ = range.load_word(64);
            },
            |range| {
                let _ = range.load_word(62);
            },
            |range| {
                let _ = range.load_byte(64);
            },
            |range| range.copy_out(63, &mut [0; 2]),
            |range| range.copy_in(usize::MAX, &[0; 2]),
            |range| range.store_word(usize::MAX & !3, 0),
        ];
        for (number, reach) in reaches.into_iter().enumerate() {
            let range = range.clone();
            let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| reach(&range)));
            assert!(outcome.is_err(), "{number}");
        }
    }
}
