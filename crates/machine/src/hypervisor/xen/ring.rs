//! Shared ring: pages with a frontend's indices and entries (Xen, public/io/ring.h).

use super::grant::{self, Access, Grant};
use super::hypercall::DomainId;
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Coherent;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering, fence};

const REQUEST_PRODUCER: usize = 0;
const REQUEST_EVENT: usize = 1;
const RESPONSE_PRODUCER: usize = 2;
const RESPONSE_EVENT: usize = 3;
const ENTRIES_START: usize = 16;

/// Entries that are a request of `REQUEST` 32-bit words first and a response of `RESPONSE` words later, each in as many words as
/// the longer of them needs.
#[derive(Debug)]
pub(super) struct Ring<const REQUEST: usize, const RESPONSE: usize> {
    words: &'static [AtomicU32],
    grants: Vec<Grant>,
    physical: u64,
    /// A power of two.
    entries: u32,
    /// Requests written so far.
    requests: u32,
    /// Those that the backend was shown.
    published: u32,
    /// Responses taken so far.
    responses: u32,
    /// Responses that the backend has been seen to have written.
    known: u32,
}

/// Memory or grants are short: ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// The backend says that it answered more requests than there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyResponses;

impl<const REQUEST: usize, const RESPONSE: usize> Ring<REQUEST, RESPONSE> {
    const ENTRY_WORDS: usize = if REQUEST > RESPONSE { REQUEST } else { RESPONSE };

    /// How many entries a ring of that many pages has: the largest power of two that fits.
    pub(super) const fn entries_of(pages: usize) -> u32 {
        1 << ((pages * PAGE_BYTES / 4 - ENTRIES_START) / Self::ENTRY_WORDS).ilog2()
    }

    /// An empty ring of that many pages that `domain` may use.
    pub(super) fn new(domain: DomainId, pages: usize) -> Result<Self, OutOfMemory> {
        let grants: Option<Vec<Grant>> = (0..pages).map(|_| Grant::allocate()).collect();
        let grants = grants.ok_or(OutOfMemory)?;
        let mut shared = Coherent::allocate(pages * PAGE_BYTES).ok_or(OutOfMemory)?;
        let physical = shared.align(PAGE_BYTES);
        let words = shared.take_u32(pages * PAGE_BYTES / 4);
        let entries = Self::entries_of(pages);
        let (requests, published, responses, known) = (0, 0, 0, 0);
        let mut ring =
            Self { words, grants, physical, entries, requests, published, responses, known };
        ring.start(domain);
        Ok(ring)
    }

    /// Makes the ring empty, for a new backend.
    pub(super) fn reset(&mut self, domain: DomainId) -> Result<(), OutOfMemory> {
        if self.end() {
            self.start(domain);
        } else {
            // The old backend still has the pages, and may have them for ever.
            *self = Self::new(domain, self.grants.len())?;
        }
        Ok(())
    }

    /// Takes the pages from the backend; whether it has let go of all of them.
    pub(super) fn end(&self) -> bool {
        grant::end_all(&self.grants)
    }

    fn start(&mut self, domain: DomainId) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.words[REQUEST_EVENT].store(1, Ordering::Relaxed);
        self.words[RESPONSE_EVENT].store(1, Ordering::Relaxed);
        (self.requests, self.published, self.responses, self.known) = (0, 0, 0, 0);
        for (page, grant) in (0..).zip(&self.grants) {
            let physical = self.physical + page * PAGE_BYTES as u64;
            // SAFETY: the page was leaked for this ring, which reaches it atomically only.
            unsafe { grant.permit(domain, physical, Access::ReadWrite) }
        }
    }

    /// By what the backend finds the ring, page by page.
    pub(super) fn references(&self) -> impl Iterator<Item = u32> {
        self.grants.iter().map(Grant::reference)
    }

    /// By what the backend finds the first page.
    pub(super) fn reference(&self) -> u32 {
        self.grants[0].reference()
    }

    /// How many requests it takes.
    pub(super) fn entries(&self) -> u32 {
        self.entries
    }

    /// Requests that were not answered yet.
    pub(super) fn in_flight(&self) -> u32 {
        self.requests.wrapping_sub(self.responses)
    }

    /// Requests that can be written now.
    pub(super) fn room(&self) -> u32 {
        self.entries - self.in_flight()
    }

    /// The number of the next request, counted without end.
    pub(super) fn next_request(&self) -> u32 {
        self.requests
    }

    /// The number of the next response.
    pub(super) fn next_response(&self) -> u32 {
        self.responses
    }

    /// Writes a request, for which there must be room. The backend sees it when it is published.
    pub(super) fn request(&mut self, entry: [u32; REQUEST]) {
        debug_assert!(self.room() > 0);
        for (slot, word) in self.entry(self.requests).iter().zip(entry) {
            slot.store(word, Ordering::Relaxed);
        }
        self.requests = self.requests.wrapping_add(1);
    }

    /// Shows the backend what was written; whether it wants to be told.
    pub(super) fn publish(&mut self) -> bool {
        if self.published == self.requests {
            return false;
        }
        self.words[REQUEST_PRODUCER].store(self.requests, Ordering::Release);
        fence(Ordering::SeqCst);
        let event = self.words[REQUEST_EVENT].load(Ordering::Relaxed);
        let new = self.requests.wrapping_sub(self.published);
        self.published = self.requests;
        self.requests.wrapping_sub(event) < new
    }

    /// How many responses wait, looking at the page when fewer than `enough` are known of.
    pub(super) fn waiting(&mut self, enough: u32) -> Result<u32, TooManyResponses> {
        let waiting = self.known.wrapping_sub(self.responses);
        if waiting >= enough {
            return Ok(waiting);
        }
        let produced = self.words[RESPONSE_PRODUCER].load(Ordering::Acquire);
        let waiting = produced.wrapping_sub(self.responses);
        // Also when the index has gone back: the difference is then larger still.
        if waiting > self.published.wrapping_sub(self.responses) {
            return Err(TooManyResponses);
        }
        self.known = produced;
        Ok(waiting)
    }

    /// The `nth` waiting response; read once, since the backend may change it.
    pub(super) fn response(&self, nth: u32) -> [u32; RESPONSE] {
        let entry = self.entry(self.responses.wrapping_add(nth));
        core::array::from_fn(|word| entry[word].load(Ordering::Relaxed))
    }

    /// Takes `count` waiting responses off the ring.
    pub(super) fn take(&mut self, count: u32) {
        self.responses = self.responses.wrapping_add(count);
    }

    /// Asks for an event when more than `ignored` responses wait. False when they do.
    pub(super) fn arm(&mut self, ignored: u32) -> bool {
        let event = self.responses.wrapping_add(ignored).wrapping_add(1);
        self.words[RESPONSE_EVENT].store(event, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.waiting(ignored + 1).is_ok_and(|waiting| waiting <= ignored)
    }

    fn entry(&self, number: u32) -> &[AtomicU32] {
        let index = (number & (self.entries - 1)) as usize;
        let start = ENTRIES_START + index * Self::ENTRY_WORDS;
        &self.words[start..start + Self::ENTRY_WORDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// public/io/ring.h: the largest power of two that fits beside the indices. Those of a disk are 112 bytes long, and Linux
    /// has 32 of them on a page.
    #[test]
    fn a_ring_has_as_many_entries_as_the_other_side_thinks() {
        assert_eq!([1, 2, 4, 8, 16].map(Ring::<28, 3>::entries_of), [32, 64, 128, 256, 512]);
        assert_eq!((Ring::<2, 2>::entries_of(1), Ring::<3, 1>::entries_of(1)), (256, 256));
    }

    /// Words of public/io/ring.h: producer and event of requests, the same of responses.
    fn set(ring: &Ring<2, 1>, word: usize, value: u32) {
        ring.words[word].store(value, Ordering::Relaxed);
    }

    fn words<const COUNT: usize>(ring: &Ring<2, 1>, at: usize) -> [u32; COUNT] {
        core::array::from_fn(|word| ring.words[at + word].load(Ordering::Relaxed))
    }

    /// A ring of 256 entries of which all counts are so far.
    fn ring_at(count: u32) -> Ring<2, 1> {
        let mut ring = Ring::new(7, 1).unwrap();
        (ring.requests, ring.published, ring.responses, ring.known) = (count, count, count, count);
        set(&ring, REQUEST_PRODUCER, count);
        set(&ring, RESPONSE_PRODUCER, count);
        ring
    }

    #[test]
    fn requests_are_written_in_order_and_seen_when_published() {
        for start in [0, 510, u32::MAX - 1] {
            let mut ring = ring_at(start);
            assert_eq!((ring.entries(), ring.room(), ring.in_flight()), (256, 256, 0));
            for nth in 0..3 {
                assert_eq!(ring.next_request(), start.wrapping_add(nth));
                ring.request([nth, 0x100 + nth]);
            }
            assert_eq!((ring.room(), ring.in_flight()), (253, 3));
            for nth in 0..3 {
                let slot = start.wrapping_add(nth) % 256;
                assert_eq!(words(&ring, 16 + 2 * slot as usize), [nth, 0x100 + nth]);
            }
            assert_eq!(words(&ring, 0), [start], "nothing is shown yet");
            ring.publish();
            assert_eq!(words(&ring, 0), [start.wrapping_add(3)]);
            assert!(!ring.publish(), "there is nothing new");
        }
    }

    /// public/io/ring.h, `RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`: when the index passes the event.
    #[test]
    fn a_backend_is_told_when_it_wants_to_be() {
        for (event, is_told) in [(9, false), (10, false), (11, true), (12, true), (13, false)] {
            for start in [0, u32::MAX - 10] {
                let mut ring = ring_at(start.wrapping_add(10));
                set(&ring, REQUEST_EVENT, start.wrapping_add(event));
                ring.request([0; 2]);
                ring.request([0; 2]);
                assert_eq!(ring.publish(), is_told, "{event} from {start}");
            }
        }
    }

    #[test]
    fn responses_are_no_more_than_the_requests_that_were_shown() {
        for start in [0, u32::MAX - 1] {
            let mut ring = ring_at(start);
            for _ in 0..3 {
                ring.request([0; 2]);
            }
            set(&ring, RESPONSE_PRODUCER, start.wrapping_add(1));
            assert_eq!(ring.waiting(1), Err(TooManyResponses), "none was shown");
            ring.publish();
            assert_eq!(ring.waiting(1), Ok(1));
            set(&ring, RESPONSE_PRODUCER, start.wrapping_add(3));
            assert_eq!((ring.waiting(1), ring.waiting(2)), (Ok(1), Ok(3)));
            for nth in 0..3 {
                let slot = start.wrapping_add(nth) % 256;
                set(&ring, 16 + 2 * slot as usize, 70 + nth);
            }
            assert_eq!((ring.response(0), ring.response(2)), ([70], [72]));
            ring.take(2);
            assert_eq!((ring.next_response(), ring.response(0)), (start.wrapping_add(2), [72]));
            assert_eq!((ring.in_flight(), ring.room(), ring.waiting(1)), (1, 255, Ok(1)));
            for lie in [start.wrapping_add(4), start.wrapping_add(1), start ^ 1 << 31] {
                set(&ring, RESPONSE_PRODUCER, lie);
                assert_eq!(ring.waiting(2), Err(TooManyResponses), "{lie:#x}");
            }
        }
    }

    #[test]
    fn an_event_is_asked_for_behind_the_responses_that_are_ignored() {
        let mut ring = ring_at(u32::MAX);
        for _ in 0..4 {
            ring.request([0; 2]);
        }
        ring.publish();
        assert!(ring.arm(0));
        assert_eq!(words(&ring, RESPONSE_EVENT), [0]);
        set(&ring, RESPONSE_PRODUCER, 0);
        assert!(!ring.arm(0) && ring.arm(1));
        assert_eq!(words(&ring, RESPONSE_EVENT), [1]);
        set(&ring, RESPONSE_PRODUCER, 1);
        assert!(!ring.arm(1) && ring.arm(2));
        set(&ring, RESPONSE_PRODUCER, 9);
        assert!(!ring.arm(2), "what is wrong is looked at");
    }

    #[test]
    fn a_new_backend_finds_an_empty_ring_on_pages_that_nobody_else_has() {
        let mut ring = Ring::<2, 1>::new(7, 2).unwrap();
        let references = |ring: &Ring<2, 1>| ring.references().collect::<Vec<_>>();
        let before = references(&ring);
        assert_eq!((before.len(), before[0]), (2, ring.reference()));
        let pages = before.iter().map(|&reference| grant::fake::look_up(reference));
        let expected = [0, 4096].map(|at| Some((ring.physical + at, true)));
        assert!(pages.eq(expected), "both pages may be written");
        ring.request([1, 2]);
        ring.publish();
        ring.reset(3).unwrap();
        assert_eq!((references(&ring), ring.in_flight()), (before.clone(), 0));
        assert_eq!(words(&ring, 0), [0, 1, 0, 1]);
        assert_eq!(words(&ring, 16), [0, 0], "what one backend was asked is no other's to read");
        grant::fake::hold(before[1], true);
        assert!(!ring.end());
        ring.reset(3).unwrap();
        let after = references(&ring);
        assert_eq!(after.len(), 2);
        assert!(after.iter().all(|reference| !before.contains(reference)));
        assert!(ring.end());
    }
}
