//! Shared ring: a page with a frontend's indices (Xen, public/io/ring.h).

use super::protocol::{ENTRIES, Fault, OutOfMemory};
use crate::hypervisor::xen::grant::{Access, Grant};
use crate::hypervisor::xen::hypercall::DomainId;
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Coherent;
use core::sync::atomic::{AtomicU32, Ordering, fence};

const REQUEST_PRODUCER: usize = 0;
const REQUEST_EVENT: usize = 1;
const RESPONSE_PRODUCER: usize = 2;
const RESPONSE_EVENT: usize = 3;
const ENTRIES_START: usize = 16;

/// A page of entries of `WORDS` 32-bit words, each a request first and a response later.
#[derive(Debug)]
pub(super) struct Ring<const WORDS: usize> {
    page: &'static [AtomicU32],
    grant: Grant,
    physical: u64,
    /// Requests written so far.
    requests: u32,
    /// Those that the backend was shown.
    published: u32,
    /// Responses taken so far.
    responses: u32,
    /// Responses that the backend has been seen to have written.
    known: u32,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// An empty ring that `domain` may use.
    pub(super) fn new(domain: DomainId) -> Result<Self, OutOfMemory> {
        let grant = Grant::allocate().ok_or(OutOfMemory)?;
        let mut shared = Coherent::allocate(PAGE_BYTES).ok_or(OutOfMemory)?;
        let physical = shared.align(PAGE_BYTES);
        let page = shared.take_u32(PAGE_BYTES / 4);
        let mut ring =
            Self { page, grant, physical, requests: 0, published: 0, responses: 0, known: 0 };
        ring.start(domain);
        Ok(ring)
    }

    /// Makes the ring empty, for a new backend.
    pub(super) fn reset(&mut self, domain: DomainId) -> Result<(), OutOfMemory> {
        if self.grant.end().is_err() {
            // The old backend still has the page, and may have it for ever.
            *self = Self::new(domain)?;
        } else {
            self.start(domain);
        }
        Ok(())
    }

    /// Takes the page from the backend, if it has let go of it.
    pub(super) fn end(&self) {
        let _ = self.grant.end();
    }

    fn start(&mut self, domain: DomainId) {
        self.page.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.page[REQUEST_EVENT].store(1, Ordering::Relaxed);
        self.page[RESPONSE_EVENT].store(1, Ordering::Relaxed);
        (self.requests, self.published, self.responses, self.known) = (0, 0, 0, 0);
        // SAFETY: the page was leaked for this ring, which reaches it atomically only.
        unsafe { self.grant.permit(domain, self.physical, Access::ReadWrite) }
    }

    /// By what the backend finds the ring.
    pub(super) fn reference(&self) -> u32 {
        self.grant.reference()
    }

    /// Requests that were not answered yet.
    pub(super) fn in_flight(&self) -> u32 {
        self.requests.wrapping_sub(self.responses)
    }

    /// Requests that can be written now.
    pub(super) fn room(&self) -> u32 {
        ENTRIES - self.in_flight()
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
    pub(super) fn request(&mut self, entry: [u32; WORDS]) {
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
        self.page[REQUEST_PRODUCER].store(self.requests, Ordering::Release);
        fence(Ordering::SeqCst);
        let event = self.page[REQUEST_EVENT].load(Ordering::Relaxed);
        let new = self.requests.wrapping_sub(self.published);
        self.published = self.requests;
        self.requests.wrapping_sub(event) < new
    }

    /// How many responses wait, looking at the page when fewer than `enough` are known of.
    pub(super) fn waiting(&mut self, enough: u32) -> Result<u32, Fault> {
        let waiting = self.known.wrapping_sub(self.responses);
        if waiting >= enough {
            return Ok(waiting);
        }
        let produced = self.page[RESPONSE_PRODUCER].load(Ordering::Acquire);
        let waiting = produced.wrapping_sub(self.responses);
        // Also when the index has gone back: the difference is then larger still.
        if waiting > self.published.wrapping_sub(self.responses) {
            return Err(Fault::ResponseIndex);
        }
        self.known = produced;
        Ok(waiting)
    }

    /// The `nth` waiting response; read once, since the backend may change it.
    pub(super) fn response(&self, nth: u32) -> [u32; WORDS] {
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
        self.page[RESPONSE_EVENT].store(event, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.waiting(ignored + 1).is_ok_and(|waiting| waiting <= ignored)
    }

    fn entry(&self, number: u32) -> &[AtomicU32] {
        let start = ENTRIES_START + (number % ENTRIES) as usize * WORDS;
        &self.page[start..start + WORDS]
    }
}
