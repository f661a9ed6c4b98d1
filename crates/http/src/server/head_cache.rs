//! Head cache: heads that come again are not parsed again.

use crate::request::{ParsedRequest, is_same};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use web::fields::Section;

/// The heads that a server's clients sent last, parsed, with what was answered to them.
///
/// Clients repeat themselves: one that polls, a proxy's health check, a browser that asks whether
/// its copy is still good. A head that comes again, byte for byte, means the same again: it ends
/// at its first empty line, so no other head begins like it. It is not parsed a second time, on
/// whichever connection it comes; and an answer that depends on nothing else
/// ([`Response::repeatable`](web::Response::repeatable)) is not made a third time.
///
/// A head's slot follows from a few of its bytes, and the last one there is the one known. So what
/// a client can bring about by its choice of heads is that others' are parsed.
#[derive(Debug)]
pub(super) struct HeadCache {
    slots: RefCell<Vec<Option<Rc<ParsedRequest>>>>,
    /// Buffers for the next head; nobody else has them.
    spare: RefCell<Option<Rc<ParsedRequest>>>,
}

/// Enough for what is asked again and again at one time; a few hundred bytes each.
const SLOTS: usize = 1 << SLOTS_BITS;
const SLOTS_BITS: u32 = 6;
/// Bytes at either end of the input that decide on the slot. At the beginning are method and path; at the end, unless
/// requests are pipelined, is what tells one client from another.
const SAMPLE_BYTES: usize = 32;

/// Heads whose buffers grew beyond this are not kept, bytes. Most are far smaller; a few large ones
/// must not pin memory for the server's life.
const RETAINED_BYTES_MAX: usize = 4096;
const RETAINED_FIELDS_MAX: usize = 128;

impl Default for HeadCache {
    fn default() -> Self {
        let slots = RefCell::new(alloc::vec![None; SLOTS]);
        Self { slots, spare: RefCell::default() }
    }
}

impl HeadCache {
    /// The request whose head `input` begins with, if it is known.
    pub(super) fn find(&self, input: &[u8]) -> Option<Rc<ParsedRequest>> {
        let slots = self.slots.borrow();
        let known = slots.get(slot_of(input)?)?.as_ref()?;
        let head = &*known.head.section().bytes;
        is_same(input.get(..head.len())?, head).then(|| known.clone())
    }

    /// An empty head, which nobody else has.
    pub(super) fn blank(&self) -> Rc<ParsedRequest> {
        let mut blank = self.spare.borrow_mut().take().unwrap_or_default();
        match Rc::get_mut(&mut blank).and_then(ParsedRequest::clear) {
            Some(()) => blank,
            None => Rc::default(),
        }
    }

    /// Remembers a request that `input` began with.
    pub(super) fn keep(&self, input: &[u8], request: Rc<ParsedRequest>) {
        if let Some(slot) = slot_of(input)
            && request.is_usual()
            && let Some(slot) = self.slots.borrow_mut().get_mut(slot)
            && let Some(forgotten) = slot.replace(request)
            && Rc::strong_count(&forgotten) == 1
        {
            *self.spare.borrow_mut() = Some(forgotten);
        }
    }

    /// Takes back buffers in which nothing was parsed.
    pub(super) fn take_back(&self, blank: Rc<ParsedRequest>) {
        *self.spare.borrow_mut() = Some(blank);
    }
}

impl ParsedRequest {
    /// Forgets all but the buffers; `None` if somebody still reads the head in them.
    fn clear(&mut self) -> Option<()> {
        self.head.parts_mut()?.section.clear();
        self.response.take();
        Some(())
    }

    /// Whether it is of a usual size, so that it may be kept.
    fn is_usual(&self) -> bool {
        let Section { bytes, fields } = self.head.section();
        bytes.capacity() <= RETAINED_BYTES_MAX && fields.capacity() <= RETAINED_FIELDS_MAX
    }
}

/// `None` for what is too short to be told from others.
fn slot_of(input: &[u8]) -> Option<usize> {
    let sum = mix(input.len() as u64, input.first_chunk()?);
    let sum = mix(sum, input.last_chunk()?);
    Some((sum >> (u64::BITS - SLOTS_BITS)) as usize)
}

fn mix(sum: u64, sample: &[u8; SAMPLE_BYTES]) -> u64 {
    sample.as_chunks::<8>().0.iter().fold(sum, |sum, word| {
        // Odd, and without a pattern: the golden ratio's bits.
        (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// The request that this was parsed to, in buffers of the cache's.
    fn keep(cache: &HeadCache, input: &[u8]) -> Rc<ParsedRequest> {
        let mut request = cache.blank();
        let buffers = Rc::get_mut(&mut request).unwrap();
        assert!(buffers.head.section().bytes.is_empty());
        buffers.head.parts_mut().unwrap().section.bytes.extend_from_slice(input);
        cache.keep(input, request.clone());
        request
    }

    #[test]
    fn buffers_of_what_is_forgotten_are_used_again_unless_somebody_reads_them() {
        let cache = HeadCache::default();
        let mut blank = cache.blank();
        let parts = Rc::get_mut(&mut blank).unwrap().head.parts_mut();
        parts.unwrap().section.bytes.reserve(1000);
        cache.take_back(blank);
        let blank = cache.blank();
        assert!(blank.head.section().bytes.capacity() >= 1000, "nothing was parsed in it");

        let input = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(30)).into_bytes();
        let first = Rc::as_ptr(&keep(&cache, &input));
        assert!(cache.find(&input).is_some());
        // The same again takes its slot, and leaves the first's buffers to the third.
        let second = keep(&cache, &input);
        assert_ne!(Rc::as_ptr(&second), first);
        let third = cache.blank();
        assert_eq!(Rc::as_ptr(&third), first);
        assert!(third.head.section().bytes.is_empty() && third.head.section().bytes.capacity() > 0);
        // Of the second's, which is still read, nobody else gets any.
        keep(&cache, &input);
        assert_ne!(Rc::as_ptr(&cache.blank()), Rc::as_ptr(&second));
        assert_eq!(second.head.section().bytes, input);
    }

    #[test]
    fn what_is_too_short_to_be_told_from_others_is_not_kept() {
        let cache = HeadCache::default();
        for (len, is_kept) in [(31, false), (32, true)] {
            let input = alloc::vec![b'x'; len];
            keep(&cache, &input);
            assert_eq!(cache.find(&input).is_some(), is_kept, "{len}");
        }
    }
}
