//! Receive ring: frames from the backend (Xen, public/io/netif.h).

use super::protocol::{
    ENTRIES, EXTRA_GSO, EXTRA_INFO, EXTRA_MORE, EXTRAS_MAX, FRAME_BYTES_MAX, FRAME_PAGES_MAX,
    Fault, MORE_DATA, Refusals,
};
use crate::hypervisor::xen::grant::{Access, Grant};
use crate::hypervisor::xen::hypercall::DomainId;
use crate::hypervisor::xen::ring::{OutOfMemory, Ring};
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Mirror;
use alloc::vec::Vec;
use core::ops::Range;

const DATA_VALIDATED: u16 = 1 << 0;
const CHECKSUM_BLANK: u16 = 1 << 1;
/// Entries that one frame takes at most.
const FRAME_ENTRIES_MAX: usize = FRAME_PAGES_MAX + 1 + EXTRAS_MAX;

/// The receiving side: a ring whose every request offers one page, always in the same order, all of
/// them slices of one mirrored region, so that a frame over several pages is one slice here.
#[derive(Debug)]
pub struct ReceiveRing {
    ring: Ring<2, 2>,
    memory: Mirror,
    grants: Vec<Grant>,
    domain: DomainId,
    /// Pages of the frame that is lent, which the backend has not.
    held: u32,
    frame: Range<usize>,
    /// Responses that wait for the rest of their frame.
    short: u32,
    refusals: Refusals,
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its length, in bytes.
    pub bytes: usize,
    /// Its checksums need no check: the backend did it, or the frame never was on a wire.
    pub is_sound: bool,
}

/// A part of a frame: where it lies in the pages from the frame's first on.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    start: usize,
    bytes: usize,
}

/// What the entries of one frame say.
struct Parts {
    parts: [Part; FRAME_PAGES_MAX + 1],
    count: usize,
    entries: u32,
    is_sound: bool,
    is_refused: bool,
}

impl ReceiveRing {
    /// Offers `pages` (a power of two up to 256, at least 32 for frames of 64 KiB) to `domain`.
    pub fn new(domain: DomainId, pages: u16) -> Result<Self, OutOfMemory> {
        let pages = (1_u32 << pages.max(1).ilog2()).min(ENTRIES) as usize;
        let memory = Mirror::allocate(pages * PAGE_BYTES).ok_or(OutOfMemory)?;
        let grants: Option<Vec<Grant>> = (0..pages).map(|_| Grant::allocate()).collect();
        let grants = grants.ok_or(OutOfMemory)?;
        let ring = Ring::new(domain, 1)?;
        let refusals = Refusals::default();
        let frame = 0..0;
        let mut new = Self { ring, memory, grants, domain, held: 0, frame, short: 0, refusals };
        new.offer_all();
        Ok(new)
    }

    /// Begins anew, with another backend.
    pub fn reset(&mut self, domain: DomainId) -> Result<(), OutOfMemory> {
        if self.grants.iter().any(|grant| grant.end().is_err()) {
            // The old backend still has pages, and may write to them for ever.
            *self = Self::new(domain, self.grants.len() as u16)?;
            return Ok(());
        }
        self.ring.reset(domain)?;
        if domain != self.domain {
            // What one domain has sent is no other's to read.
            let bytes = self.memory.bytes();
            // SAFETY: all grants have ended, so that no backend has a page, and no frame is held.
            unsafe { self.memory.slice_mut(0, bytes) }.fill(0);
        }
        self.domain = domain;
        self.offer_all();
        Ok(())
    }

    /// Takes all pages back, as far as the backend has let go of them.
    pub fn end(&mut self) {
        self.ring.end();
        for grant in &self.grants {
            let _ = grant.end();
        }
        (self.held, self.short, self.frame) = (0, 0, 0..0);
    }

    /// By what the backend finds the ring.
    pub fn reference(&self) -> u32 {
        self.ring.reference()
    }

    /// What was refused so far.
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// Takes hold of the next whole frame, until [`ReceiveRing::recycle`]; `None` when there is
    /// none. Frames that are wrong are counted and skipped.
    pub fn accept(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            self.recycle();
            let Some(mut parts) = self.parse()? else {
                self.short = self.ring.waiting(0)?;
                return Ok(None);
            };
            self.short = 0;
            parts.is_refused |= !self.take_pages(parts.entries);
            if !parts.is_refused {
                let bytes = self.join(&parts);
                return Ok(Some(Frame { bytes, is_sound: parts.is_sound }));
            }
        }
    }

    /// The frame that is held, empty when there is none.
    pub fn bytes(&self) -> &[u8] {
        if self.frame.is_empty() {
            return &[];
        }
        // SAFETY: the frame lies in held pages, which `take_pages` took from the backend and only
        // `recycle` gives back, which needs `self` alone.
        unsafe { self.memory.slice(self.frame.start, self.frame.len()) }
    }

    /// As [`bytes`](Self::bytes), to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if self.frame.is_empty() {
            return &mut [];
        }
        // SAFETY: as in `bytes`: the pages are held, and `recycle` alone gives them back.
        unsafe { self.memory.slice_mut(self.frame.start, self.frame.len()) }
    }

    /// Offers the held pages anew. The backend sees them after [`ReceiveRing::publish`].
    pub fn recycle(&mut self) {
        for _ in 0..self.held {
            self.offer();
        }
        self.held = 0;
        self.frame = 0..0;
    }

    /// Shows the backend the pages that are offered; whether it wants to be told.
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks for an event at the next frame. False when there is one.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.short)
    }

    fn page_of(&self, number: u32) -> usize {
        number as usize % self.grants.len()
    }

    fn offer_all(&mut self) {
        for _ in 0..self.grants.len() {
            self.offer();
        }
    }

    /// Grants the next page and asks for a frame in it.
    fn offer(&mut self) {
        let page = self.page_of(self.ring.next_request());
        let grant = &self.grants[page];
        let physical = self.memory.physical(page * PAGE_BYTES);
        // SAFETY: the page is buffer memory of this ring, and nobody looks at it before
        // `take_pages` has taken it back.
        unsafe { grant.permit(self.domain, physical, Access::ReadWrite) }
        let reference = grant.reference();
        self.ring.request([page as u32, reference]);
    }

    /// Reads the entries of the next frame; `None` when not all are there.
    fn parse(&mut self) -> Result<Option<Parts>, Fault> {
        let waiting = self.ring.waiting(1)?;
        if waiting == 0 {
            return Ok(None);
        }
        let waiting = self.ring.waiting(FRAME_ENTRIES_MAX as u32).unwrap_or(waiting);
        let first = Response::new(self.ring.response(0));
        let mut parts = Parts {
            parts: [Part::default(); FRAME_PAGES_MAX + 1],
            count: 0,
            entries: 0,
            is_sound: first.flags & (DATA_VALIDATED | CHECKSUM_BLANK) != 0,
            is_refused: false,
        };
        let (mut response, mut bytes) = (first, 0);
        loop {
            bytes += self.check(&mut parts, &response);
            let has_extras = parts.entries == 1 && response.flags & EXTRA_INFO != 0;
            if has_extras && !self.skip_extras(&mut parts, waiting)? {
                return Ok(None);
            }
            if response.flags & MORE_DATA == 0 {
                break;
            }
            if parts.count == parts.parts.len() {
                return Err(Fault::FrameSlots);
            }
            if parts.entries == waiting {
                return Ok(None);
            }
            response = Response::new(self.ring.response(parts.entries));
        }
        if bytes > FRAME_BYTES_MAX {
            parts.is_refused = true;
            self.refusals.bounds += 1;
        }
        Ok(Some(parts))
    }

    /// Adds what one entry says, and gives its bytes; a wrong one refuses the frame.
    fn check(&mut self, parts: &mut Parts, response: &Response) -> usize {
        let number = self.ring.next_response().wrapping_add(parts.entries);
        let expected = self.page_of(number);
        let (offset, status) = (usize::from(response.offset), response.status);
        let refusals = &mut self.refusals;
        let reason = match usize::try_from(status) {
            _ if usize::from(response.id) != expected => Some(&mut refusals.ids),
            Err(_) => Some(&mut refusals.statuses),
            Ok(bytes) if offset + bytes > PAGE_BYTES => Some(&mut refusals.bounds),
            Ok(_) => None,
        };
        let bytes = usize::try_from(status).unwrap_or(0);
        if let Some(count) = reason {
            // Counted once for each frame.
            *count += u64::from(!parts.is_refused);
            parts.is_refused = true;
        }
        let start = parts.entries as usize * PAGE_BYTES + offset;
        parts.parts[parts.count] = Part { start, bytes };
        parts.count += 1;
        parts.entries += 1;
        bytes
    }

    /// Passes the entries of extra information; false when not all are there. Nothing in them is
    /// needed: a coalesced frame is taken whole.
    fn skip_extras(&mut self, parts: &mut Parts, waiting: u32) -> Result<bool, Fault> {
        for _ in 0..EXTRAS_MAX {
            if parts.entries == waiting {
                return Ok(false);
            }
            let [word, _] = self.ring.response(parts.entries);
            let [kind, flags, ..] = word.to_le_bytes();
            parts.entries += 1;
            if kind != EXTRA_GSO {
                self.refusals.extras += u64::from(!parts.is_refused);
                parts.is_refused = true;
            }
            if flags & EXTRA_MORE == 0 {
                return Ok(true);
            }
        }
        Err(Fault::FrameSlots)
    }

    /// Takes the pages of the next entries from the backend; false when it has one of them still.
    fn take_pages(&mut self, entries: u32) -> bool {
        let first = self.ring.next_response();
        let mut all = true;
        for nth in 0..entries {
            let page = self.page_of(first.wrapping_add(nth));
            all &= self.grants[page].end().is_ok();
        }
        self.refusals.held += u64::from(!all);
        self.ring.take(entries);
        self.held = entries;
        all
    }

    /// Makes the held frame one run of bytes, and gives its length. Backends fill pages to their
    /// ends, so that mostly there is nothing to do but to close the gap that extra information
    /// leaves after the first.
    fn join(&mut self, parts: &Parts) -> usize {
        let first_page = self.page_of(self.ring.next_response().wrapping_sub(self.held));
        let list = &parts.parts[..parts.count];
        let bytes = list.iter().map(|part| part.bytes).sum();
        let mut start = list[0].start;
        if list.windows(2).any(|pair| pair[0].start + pair[0].bytes != pair[1].start) {
            // SAFETY: the pages are held, so that the backend has none of them.
            let area = unsafe {
                let length = parts.entries as usize * PAGE_BYTES;
                self.memory.slice_mut(first_page * PAGE_BYTES, length)
            };
            start = close_gaps(area, list);
        }
        let start = first_page * PAGE_BYTES + start;
        // The first copy of the memory is where slices start.
        let start = start % self.memory.bytes();
        self.frame = start..start + bytes;
        bytes
    }
}

/// Moves parts together, and says where they begin.
fn close_gaps(area: &mut [u8], parts: &[Part]) -> usize {
    let [first, rest @ ..] = parts else { return 0 };
    let is_whole = rest.windows(2).all(|pair| pair[0].start + pair[0].bytes == pair[1].start);
    if let Some(second) = rest.first().filter(|_| is_whole) {
        let start = second.start - first.bytes;
        area.copy_within(first.start..first.start + first.bytes, start);
        return start;
    }
    let mut end = first.start + first.bytes;
    for part in rest {
        area.copy_within(part.start..part.start + part.bytes, end);
        end += part.bytes;
    }
    first.start
}

/// An entry that the backend wrote.
struct Response {
    id: u16,
    offset: u16,
    flags: u16,
    status: i16,
}

impl Response {
    fn new([low, high]: [u32; 2]) -> Self {
        Self {
            id: low as u16,
            offset: (low >> 16) as u16,
            flags: high as u16,
            status: (high >> 16) as i16,
        }
    }
}
