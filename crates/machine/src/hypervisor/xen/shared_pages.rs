//! Shared pages: memory that two domains read and write at the same time. Its pages are this domain's, granted to the other
//! one, or the other one's, mapped here.
//!
//! Nothing gives a reference into them: what is there may change under whoever looks. A page that the other domain still has
//! is never used for anything else.

use super::event::restorations;
use super::grant::{self, Access, Grant};
use super::hypercall::DomainId;
pub use super::ring::OutOfMemory;
pub use super::window::MapError;
use super::window::{self, Frame};
use crate::memory::{PAGE_BYTES, Pages};
use alloc::vec::Vec;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Pages in a row, wherever each of them is.
///
/// Offsets are in bytes from the first one; words are aligned. An offset beyond the end is a mistake of the caller's and
/// panics. Dropping them takes them from the other domain; granted pages that it does not let go of stay its own for good:
/// whoever wants them back keeps this and calls [`end`](Self::end) again.
#[derive(Debug)]
pub struct SharedPages {
    pages: Vec<NonNull<u8>>,
    holder: Holder,
}

#[derive(Debug)]
enum Holder {
    /// The memory is this domain's.
    Granted { memory: Vec<Pages>, grants: Vec<Grant> },
    /// The memory is the other domain's.
    Mapped { domain: DomainId, frames: Vec<Frame>, restorations: u32 },
}

impl SharedPages {
    /// Zeroed pages of this domain's, which `domain` may read and write.
    ///
    /// # Errors
    /// Memory or grants are short.
    pub fn grant(domain: DomainId, count: usize) -> Result<Self, OutOfMemory> {
        let memory: Option<Vec<Pages>> = (0..count).map(|_| Pages::new(1, 1)).collect();
        let grants: Option<Vec<Grant>> = (0..count).map(|_| Grant::allocate()).collect();
        let (memory, grants) = (memory.ok_or(OutOfMemory)?, grants.ok_or(OutOfMemory)?);
        for (page, grant) in memory.iter().zip(&grants) {
            #[cfg(any(test, feature = "fake"))]
            crate::memory::dma::offer(page);
            // SAFETY: the page is this value's until the grant has ended, and is reached by copies and atomics alone.
            unsafe { grant.permit(domain, page.physical(), Access::ReadWrite) }
        }
        let pages = memory.iter().map(Pages::as_ptr).collect();
        Ok(Self { pages, holder: Holder::Granted { memory, grants } })
    }

    /// A page that `domain` has granted to this one.
    ///
    /// # Errors
    /// Xen refuses, or there is no room to map it to.
    pub fn map(domain: DomainId, reference: u32) -> Result<Self, MapError> {
        let (frames, restorations) = (Vec::new(), restorations());
        let holder = Holder::Mapped { domain, frames, restorations };
        let mut shared = Self { pages: Vec::new(), holder };
        shared.map_more(&[reference])?;
        Ok(shared)
    }

    /// Maps further pages of the same domain behind those that are mapped: all of them, or none.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Panics
    /// The memory is this domain's.
    pub fn map_more(&mut self, references: &[u32]) -> Result<(), MapError> {
        let Holder::Mapped { domain, frames, .. } = &mut self.holder else {
            panic!("pages that are granted are as many as at first");
        };
        let more = window::map(*domain, references)?;
        self.pages.extend(more.iter().map(Frame::start));
        frames.extend(more);
        Ok(())
    }

    /// By what the other domain finds granted pages, in their order; none of mapped ones.
    pub fn references(&self) -> impl Iterator<Item = u32> + '_ {
        let grants = match &self.holder {
            Holder::Granted { grants, .. } => &grants[..],
            Holder::Mapped { .. } => &[],
        };
        grants.iter().map(Grant::reference)
    }

    /// Takes granted pages from the other domain, as far as it lets go; whether it has of all. Mapped ones are left to their
    /// owner when this is dropped.
    pub fn end(&mut self) -> bool {
        match &self.holder {
            Holder::Granted { grants, .. } => grant::end_all(grants),
            Holder::Mapped { .. } => true,
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES
    }

    /// A word of 32 bits, read once (acquire); 0 where nothing is any more, since this domain was restored.
    pub fn load_word(&self, offset: usize) -> u32 {
        self.word(offset).map_or(0, |word| u32::from_le(word.load(Ordering::Acquire)))
    }

    /// Writes a word of 32 bits (release).
    pub fn store_word(&self, offset: usize, value: u32) {
        if let Some(word) = self.word(offset) {
            word.store(value.to_le(), Ordering::Release);
        }
    }

    /// A byte, read once (acquire); 0 where nothing is any more.
    pub fn load_byte(&self, offset: usize) -> u8 {
        self.byte(offset).map_or(0, |byte| byte.load(Ordering::Acquire))
    }

    /// Writes a byte (release).
    pub fn store_byte(&self, offset: usize, value: u8) {
        if let Some(byte) = self.byte(offset) {
            byte.store(value, Ordering::Release);
        }
    }

    /// Sets bits of a byte in one step (sequentially consistent).
    pub fn set_bits(&self, offset: usize, bits: u8) {
        if let Some(byte) = self.byte(offset) {
            byte.fetch_or(bits, Ordering::SeqCst);
        }
    }

    /// Clears bits of a byte in one step; what the byte was.
    pub fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.byte(offset).map_or(0, |byte| byte.fetch_and(!bits, Ordering::SeqCst))
    }

    /// Copies bytes out; zeroes where nothing is any more.
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        if self.is_lost() {
            return into.fill(0);
        }
        let mut done = 0;
        while done < into.len() {
            let (from, count) = self.piece(offset + done, into.len() - done);
            let to = into[done..done + count].as_mut_ptr();
            // SAFETY: `piece` is within a page of this value's, `to` within a slice that is nobody else's. What another
            // domain writes there meanwhile is outside of this program, and comes as it is at the moment of the copy.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, count) }
            done += count;
        }
    }

    /// Copies bytes in.
    pub fn copy_in(&self, offset: usize, bytes: &[u8]) {
        if self.is_lost() {
            return;
        }
        let mut done = 0;
        while done < bytes.len() {
            let (to, count) = self.piece(offset + done, bytes.len() - done);
            let from = bytes[done..done + count].as_ptr();
            // SAFETY: as in `copy_out`. No reference into the page is ever made but to atomics.
            unsafe { ptr::copy_nonoverlapping(from, to.as_ptr(), count) }
            done += count;
        }
    }

    /// Whether nothing is mapped any more: a restored domain has none of what others granted to it.
    pub fn is_lost(&self) -> bool {
        matches!(self.holder, Holder::Mapped { restorations: then, .. } if then != restorations())
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        assert!(offset.is_multiple_of(4), "words are aligned");
        let (at, _) = self.piece(offset, 4);
        // SAFETY: an aligned word within a page of this value's, which is reached by atomics and copies alone.
        (!self.is_lost()).then(|| unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) })
    }

    fn byte(&self, offset: usize) -> Option<&AtomicU8> {
        let (at, _) = self.piece(offset, 1);
        // SAFETY: as in `word`.
        (!self.is_lost()).then(|| unsafe { AtomicU8::from_ptr(at.as_ptr()) })
    }

    /// Where an offset is, and how many of so many bytes from there on are on the same page.
    fn piece(&self, offset: usize, bytes: usize) -> (NonNull<u8>, usize) {
        let within = offset % PAGE_BYTES;
        let page = self.pages[offset / PAGE_BYTES];
        // SAFETY: within the page.
        (unsafe { page.add(within) }, bytes.min(PAGE_BYTES - within))
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        let has_ended = self.end();
        match &mut self.holder {
            Holder::Granted { memory, .. } => {
                #[cfg(any(test, feature = "fake"))]
                memory.iter().for_each(crate::memory::dma::withdraw);
                if !has_ended {
                    // The other domain has some of them: none may become anybody else's.
                    memory.drain(..).for_each(mem::forget);
                }
            }
            Holder::Mapped { frames, .. } => window::unmap(mem::take(frames)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::xen::event;

    /// Both ends of three pages, in one process.
    fn pair() -> (SharedPages, SharedPages) {
        let granted = SharedPages::grant(7, 3).unwrap();
        let references: Vec<u32> = granted.references().collect();
        let mut mapped = SharedPages::map(7, references[0]).unwrap();
        mapped.map_more(&references[1..]).unwrap();
        (granted, mapped)
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let _alone = event::restoring();
        let (granted, mapped) = pair();
        assert_eq!((granted.bytes(), mapped.bytes()), (12_288, 12_288));
        assert_eq!(mapped.references().count(), 0);
        granted.store_word(8, 0x0403_0201);
        let mut seen = [9; 6];
        mapped.copy_out(7, &mut seen);
        assert_eq!(seen, [0, 1, 2, 3, 4, 0]);
        // Over the edges of pages.
        let bytes: Vec<u8> = (0..8200).map(|nth| nth as u8).collect();
        mapped.copy_in(4090, &bytes[..8198]);
        let mut seen = alloc::vec![0; 8198];
        granted.copy_out(4090, &mut seen);
        assert_eq!(seen, bytes[..8198]);
        granted.set_bits(12_287, 5);
        assert_eq!(mapped.clear_bits(12_287, 4), bytes[8197] | 5);
        assert_eq!(granted.load_byte(12_287), (bytes[8197] | 5) & !4);
    }

    #[test]
    fn granted_pages_come_back_once_the_other_side_has_let_go() {
        let _alone = event::restoring();
        let (mut granted, mapped) = pair();
        assert!(!granted.end());
        drop(mapped);
        assert!(granted.end());
        let reference = granted.references().next().unwrap();
        assert!(matches!(SharedPages::map(7, reference), Err(MapError::Refused(_))));
    }

    #[test]
    fn further_pages_are_all_mapped_or_none() {
        let _alone = event::restoring();
        let granted = SharedPages::grant(7, 2).unwrap();
        let references: Vec<u32> = granted.references().collect();
        let mut mapped = SharedPages::map(7, references[0]).unwrap();
        let refused = mapped.map_more(&[references[1], u32::MAX]);
        assert!(matches!(refused, Err(MapError::Refused(_))));
        assert_eq!(mapped.bytes(), 4096);
        drop(mapped);
        let mut granted = granted;
        assert!(granted.end(), "the one that could be mapped is not any more");
    }

    #[test]
    fn a_restored_domain_touches_nothing_that_it_had_mapped() {
        let _alone = event::restoring();
        let (granted, mapped) = pair();
        granted.store_word(0, 7);
        event::restored();
        assert_eq!((mapped.load_word(0), mapped.load_byte(0)), (0, 0));
        mapped.store_word(0, 1);
        mapped.store_byte(0, 1);
        mapped.set_bits(0, 0xff);
        mapped.copy_in(0, b"x");
        let mut seen = [1; 2];
        mapped.copy_out(0, &mut seen);
        assert_eq!((seen, granted.load_word(0)), ([0, 0], 7));
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn there_is_nothing_behind_the_last_page() {
        SharedPages::grant(7, 1).unwrap().copy_out(4090, &mut [0; 7]);
    }

    /// Offsets are the caller's own: a mistake there ends the caller, and reaches nothing else.
    #[test]
    fn words_are_aligned_and_pages_of_ones_own_as_many_as_at_first() {
        let mistakes: [fn(&mut SharedPages); 6] = [
            |pages| {
                let _ = pages.load_word(2);
            },
            |pages| pages.store_word(4097, 0),
            |pages| pages.store_word(8192, 0),
            |pages| pages.set_bits(8192, 0),
            |pages| pages.copy_in(8191, &[0; 2]),
            |pages| {
                let _ = pages.map_more(&[]);
            },
        ];
        for (number, mistake) in mistakes.into_iter().enumerate() {
            let mut pages = SharedPages::grant(7, 2).unwrap();
            let end = core::panic::AssertUnwindSafe(|| mistake(&mut pages));
            assert!(std::panic::catch_unwind(end).is_err(), "{number}");
        }
        let pages = SharedPages::grant(7, 2).unwrap();
        pages.store_word(8188, 0x0403_0201);
        pages.store_byte(8191, 9);
        pages.set_bits(8190, 0x30);
        assert_eq!(pages.load_word(8188), 0x0933_0201);
        assert_eq!((pages.clear_bits(8190, 0x0f), pages.load_byte(8190)), (0x33, 0x30));
        pages.copy_in(4094, &[1, 2, 3, 4]);
        let mut seen = [9; 4];
        pages.copy_out(4094, &mut seen);
        assert_eq!((seen, pages.load_byte(4093), pages.load_byte(4098)), ([1, 2, 3, 4], 0, 0));
        pages.copy_in(8191, &[7]);
        assert_eq!((pages.load_byte(8191), pages.is_lost()), (7, false));
    }
}
