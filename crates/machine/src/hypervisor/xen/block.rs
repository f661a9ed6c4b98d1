//! Requests of a Xen disk: a ring, and the pages behind it (Xen, public/io/blkif.h).
//!
//! A request has a slot, which is some pages. They are granted while the backend has the request, and taken back before anybody
//! looks: what is read there is ordinary private memory. They are not kept granted (`feature-persistent`), which would spare the
//! backend to map them each time, since it could then change what is being read.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod request;
#[cfg(test)]
mod tests;

pub use super::ring::OutOfMemory;
pub use request::{DIRECT_PAGES_MAX, Request, SECTOR_BYTES};

use super::grant::{self, Access, Grant};
use super::hypercall::DomainId;
use super::ring::{Ring, TooManyResponses};
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Arena;
use alloc::vec::Vec;
use core::fmt;
use request::{REQUEST_WORDS, RESPONSE_WORDS, Response};

/// A disk's requests on their way.
#[derive(Debug)]
pub struct BlockRing {
    ring: Ring<REQUEST_WORDS, RESPONSE_WORDS>,
    memory: Arena,
    slots: Vec<Slot>,
    slot_pages: usize,
    request_bytes_max: usize,
    domain: DomainId,
    /// The disk's number, which goes with each request.
    device: u16,
    /// Requests made so far: no two have one name.
    made: u32,
}

/// How large a ring and its memory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pages of the ring: a power of two.
    pub ring_pages: usize,
    /// Requests at a time, as far as the ring takes so many.
    pub requests_max: usize,
    /// The longest request, at most 2 MiB. Beyond [`DIRECT_PAGES_MAX`] pages the backend has to know indirect segments.
    pub request_bytes_max: usize,
}

impl Shape {
    /// The pages of a ring for so many requests.
    pub fn ring_pages_for(requests_max: usize) -> usize {
        let mut pages = 1;
        while (Ring::<REQUEST_WORDS, RESPONSE_WORDS>::entries_of(pages) as usize) < requests_max {
            pages *= 2;
        }
        pages
    }
}

/// What a backend did that it must not. The disk is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answered more requests than there were.
    ResponseIndex,
    /// It answered a request that it does not have, or had answered.
    ResponseId,
    /// It answered something else than it was asked.
    ResponseOperation,
    /// It kept pages of a request that it had answered.
    KeptPages,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResponseIndex => "more answers than requests",
            Self::ResponseId => "an answer to no request",
            Self::ResponseOperation => "an answer to another kind of request",
            Self::KeptPages => "pages kept after the answer",
        })
    }
}

impl core::error::Error for Fault {}

impl From<TooManyResponses> for Fault {
    fn from(_: TooManyResponses) -> Self {
        Self::ResponseIndex
    }
}

/// Why a request failed. The others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The backend could not do it.
    Failed,
    /// The backend cannot do such a thing.
    Unsupported,
}

/// The old backend still has pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse;

/// The memory of one request at a time.
#[derive(Debug)]
struct Slot {
    /// Of the pages of data.
    grants: Vec<Grant>,
    /// Of the page that lists them, where a request itself has no room for so many.
    list: Option<Grant>,
    in_flight: Option<InFlight>,
}

/// A request that the backend has.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: u64,
    operation: u8,
    read_bytes: usize,
}

impl BlockRing {
    /// A ring and memory for a disk's requests, which `domain` may serve.
    ///
    /// # Errors
    /// Memory or grants are short.
    pub fn new(domain: DomainId, device: u16, shape: &Shape) -> Result<Self, OutOfMemory> {
        let data_pages = shape.request_bytes_max.div_ceil(PAGE_BYTES);
        assert!((1..=request::LIST_SEGMENTS).contains(&data_pages), "a page lists all others");
        let has_list = data_pages > DIRECT_PAGES_MAX;
        let slot_pages = data_pages + usize::from(has_list);
        let ring = Ring::new(domain, shape.ring_pages)?;
        let count = shape.requests_max.clamp(1, ring.entries() as usize);
        let memory = Arena::allocate(count * slot_pages * PAGE_BYTES).ok_or(OutOfMemory)?;
        let slots: Option<_> = (0..count).map(|_| Slot::new(data_pages, has_list)).collect();
        Ok(Self {
            ring,
            memory,
            slots: slots.ok_or(OutOfMemory)?,
            slot_pages,
            request_bytes_max: shape.request_bytes_max,
            domain,
            device,
            made: 0,
        })
    }

    /// Takes all from the backend, as far as it lets go. What it was asked for is forgotten.
    ///
    /// # Errors
    /// It still has some.
    pub fn end(&mut self) -> Result<(), InUse> {
        let mut all = self.ring.end();
        for slot in &mut self.slots {
            all &= slot.take_back();
        }
        if all { Ok(()) } else { Err(InUse) }
    }

    /// Begins anew, with another backend. What the old one was asked for is forgotten.
    ///
    /// # Errors
    /// The old one still has pages, and may have them for ever.
    pub fn reset(&mut self, domain: DomainId) -> Result<(), InUse> {
        self.end()?;
        self.ring.reset(domain).map_err(|_| InUse)?;
        if domain != self.domain {
            // What one domain was given or has written is no other's to read.
            let bytes = self.memory.bytes();
            // SAFETY: all grants have ended: no backend has a page.
            unsafe { self.memory.slice_mut(0, bytes) }.fill(0);
        }
        self.domain = domain;
        Ok(())
    }

    /// By what the backend finds the ring, page by page.
    pub fn references(&self) -> impl Iterator<Item = u32> {
        self.ring.references()
    }

    /// Requests at a time at most.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Requests that the backend has.
    pub fn in_flight(&self) -> usize {
        self.slots.iter().filter(|slot| slot.in_flight.is_some()).count()
    }

    /// Gives the backend a request, which it sees with [`publish`](Self::publish). The number of its slot, or `None` if none is
    /// free.
    ///
    /// # Panics
    /// The request is no whole sectors, or longer than the longest.
    pub fn submit(&mut self, request: Request<'_>) -> Option<usize> {
        let number = self.slots.iter().position(|slot| slot.in_flight.is_none())?;
        let bytes = request.bytes();
        let is_whole = bytes.is_multiple_of(SECTOR_BYTES) && bytes <= self.request_bytes_max;
        assert!(is_whole, "a request is some whole sectors");
        let at = number * self.slot_pages * PAGE_BYTES;
        let list_at = at + (self.slot_pages - 1) * PAGE_BYTES;
        let slot = &mut self.slots[number];
        if let Request::Write { data, .. } = request {
            // SAFETY: the slot is free: no backend has one of its pages.
            unsafe { self.memory.slice_mut(at, data.len()) }.copy_from_slice(data);
        }
        let id = u64::from(self.made) << 32 | number as u64;
        self.made = self.made.wrapping_add(1);
        let segments: Vec<_> = slot.segments(bytes).collect();
        let words = if segments.len() <= DIRECT_PAGES_MAX {
            request.direct(self.device, id, &segments)
        } else {
            let list = slot.list.as_ref().expect("a longest request of so many pages has a list");
            // SAFETY: as above.
            request::write_list(unsafe { self.memory.slice_mut(list_at, PAGE_BYTES) }, &segments);
            // SAFETY: the page is this slot's, and is left alone until it is taken back.
            unsafe { list.permit(self.domain, self.memory.physical(list_at), Access::Read) }
            request.indirect(self.device, id, segments.len(), list.reference())
        };
        let access = if request.is_read() { Access::ReadWrite } else { Access::Read };
        for (page, grant) in slot.grants[..segments.len()].iter().enumerate() {
            let physical = self.memory.physical(at + page * PAGE_BYTES);
            // SAFETY: the page is this slot's, and is left alone until it is taken back.
            unsafe { grant.permit(self.domain, physical, access) }
        }
        let read_bytes = if request.is_read() { bytes } else { 0 };
        slot.in_flight = Some(InFlight { id, operation: request.operation(), read_bytes });
        self.ring.request(words);
        Some(number)
    }

    /// Shows the backend the requests; whether it wants to be told.
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Takes up a request that the backend is done with, if there is one: `done` is told its slot and what came of it, with what
    /// was read. False if there is none.
    ///
    /// # Errors
    /// The backend broke the rules. The disk is to be given up.
    pub fn complete(
        &mut self,
        done: impl FnOnce(usize, Result<&[u8], RequestError>),
    ) -> Result<bool, Fault> {
        if self.ring.waiting(1)? == 0 {
            return Ok(false);
        }
        let response = Response::new(self.ring.response(0));
        self.ring.take(1);
        let number = response.id as u32 as usize;
        let slot = self.slots.get_mut(number).ok_or(Fault::ResponseId)?;
        let InFlight { id, operation, read_bytes } = slot.in_flight.ok_or(Fault::ResponseId)?;
        if id != response.id {
            return Err(Fault::ResponseId);
        }
        if operation != response.operation {
            return Err(Fault::ResponseOperation);
        }
        if !slot.take_back() {
            return Err(Fault::KeptPages);
        }
        let at = number * self.slot_pages * PAGE_BYTES;
        done(
            number,
            response.outcome().map(|()| {
                // SAFETY: `take_back` has ended the grants of all pages of the slot: no backend has one.
                &*unsafe { self.memory.slice_mut(at, read_bytes) }
            }),
        );
        Ok(true)
    }

    /// Asks for an event when a request is done. False when one is.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(0)
    }
}

impl Slot {
    fn new(data_pages: usize, has_list: bool) -> Option<Self> {
        let grants: Option<_> = (0..data_pages).map(|_| Grant::allocate()).collect();
        let list = if has_list { Some(Grant::allocate()?) } else { None };
        Some(Self { grants: grants?, list, in_flight: None })
    }

    /// Takes all pages from the backend; whether it has let go of all.
    fn take_back(&mut self) -> bool {
        let all = grant::end_all(self.grants.iter().chain(&self.list));
        if all {
            self.in_flight = None;
        }
        all
    }

    /// Which pages hold so many bytes, and how much of each.
    fn segments(&self, bytes: usize) -> impl Iterator<Item = request::Segment> {
        let pages = self.grants.iter().take(bytes.div_ceil(PAGE_BYTES)).enumerate();
        pages.map(move |(page, grant)| request::Segment {
            reference: grant.reference(),
            sectors: (bytes - page * PAGE_BYTES).min(PAGE_BYTES) / SECTOR_BYTES,
        })
    }
}
