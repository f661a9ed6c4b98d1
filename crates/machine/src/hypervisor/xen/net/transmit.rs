//! Transmit ring: frames to the backend (Xen, public/io/netif.h).

use super::protocol::{EXTRA_GSO, EXTRA_INFO, Fault, MORE_DATA, Refusals};
use crate::hypervisor::xen::grant::{Access, Grant};
use crate::hypervisor::xen::hypercall::DomainId;
use crate::hypervisor::xen::ring::{OutOfMemory, Ring};
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Arena;
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU16;

const CHECKSUM_BLANK: u16 = 1 << 0;
const DATA_VALIDATED: u16 = 1 << 1;
/// An entry that carried extra information.
const STATUS_NONE: i16 = 1;
/// An entry says a frame's length in 16 bits.
const LONG_FRAME_BYTES_MAX: usize = u16::MAX as usize;
/// Pages that such a frame takes.
const RUN_PAGES: usize = LONG_FRAME_BYTES_MAX.div_ceil(PAGE_BYTES);
/// Single pages are a bit each of a 64-bit word.
const PAGES_MAX: usize = 64;
/// Runs for long frames are a bit each of a 16-bit word; more would not fit the ring.
const RUNS_MAX: usize = 15;

/// What is left to the backend, or to who receives the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The TCP or UDP checksum is not complete: it holds the pseudo-header's sum.
    pub checksum: bool,
    /// The frame is to be cut into segments of that many payload bytes.
    pub segment: Option<NonZeroU16>,
    /// The frame's IP version is 6.
    pub is_ipv6: bool,
}

/// The sending side: single pages for frames that fit one, runs of pages for long ones. All pages
/// stay granted, read-only, as long as the backend does.
#[derive(Debug)]
pub struct TransmitRing {
    ring: Ring<3, 1>,
    memory: Arena,
    grants: Vec<Grant>,
    domain: DomainId,
    /// Single pages come first, runs follow.
    pages: usize,
    runs: usize,
    /// Bit N: page N is free.
    free_pages: u64,
    /// Bit N: run N is free.
    free_runs: u16,
    /// How many requests of each run, or of each page, the backend has not answered: pages first.
    unanswered: Vec<u8>,
    refusals: Refusals,
}

impl TransmitRing {
    /// `pages` for frames of up to a page (at most 64) and `runs` for longer ones (at most 15, 64 KiB
    /// each), readable by `domain`.
    pub fn new(domain: DomainId, pages: usize, runs: usize) -> Result<Self, OutOfMemory> {
        let (pages, runs) = (pages.clamp(1, PAGES_MAX), runs.min(RUNS_MAX));
        let total = pages + runs * RUN_PAGES;
        let memory = Arena::allocate(total * PAGE_BYTES).ok_or(OutOfMemory)?;
        let grants: Option<Vec<Grant>> = (0..total).map(|_| Grant::allocate()).collect();
        let mut new = Self {
            ring: Ring::new(domain, 1)?,
            memory,
            domain,
            grants: grants.ok_or(OutOfMemory)?,
            pages,
            runs,
            free_pages: 0,
            free_runs: 0,
            unanswered: vec![0; pages + runs],
            refusals: Refusals::default(),
        };
        new.permit(domain);
        Ok(new)
    }

    /// Begins anew, with another backend. Frames on their way are lost.
    pub fn reset(&mut self, domain: DomainId) -> Result<(), OutOfMemory> {
        self.ring.reset(domain)?;
        self.permit(domain);
        Ok(())
    }

    /// Takes all pages back, as far as the backend has let go of them.
    pub fn end(&mut self) {
        self.ring.end();
        for grant in &self.grants {
            let _ = grant.end();
        }
        self.free_pages = 0;
        self.free_runs = 0;
    }

    /// By what the backend finds the ring.
    pub fn reference(&self) -> u32 {
        self.ring.reference()
    }

    /// What was refused so far.
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// The longest frame, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        if self.runs == 0 { PAGE_BYTES } else { LONG_FRAME_BYTES_MAX }
    }

    /// Frees what the backend has sent, and says whether a frame of the largest length fits now.
    pub fn ready(&mut self) -> Result<bool, Fault> {
        if !self.has_room() {
            self.reap()?;
        }
        Ok(self.has_room())
    }

    /// A buffer of `bytes` to fill, with what an earlier frame left in it; panics beyond the
    /// largest length or when [`TransmitRing::ready`] did not say there is room.
    pub fn buffer(&mut self, bytes: usize) -> &mut [u8] {
        let (place, length) = self.place(bytes);
        assert!(bytes <= length, "a frame longer than the longest");
        let offset = self.page_of(place) * PAGE_BYTES;
        // SAFETY: the page or run is free, so that no request names it; a backend that reads it all
        // the same may, and cannot write it.
        unsafe { self.memory.slice_mut(offset, bytes) }
    }

    /// Sends the `bytes` last filled; panics as [`TransmitRing::buffer`] does. The backend sees
    /// them after [`TransmitRing::publish`].
    pub fn send(&mut self, bytes: usize, offload: Offload) {
        let (place, length) = self.place(bytes);
        assert!(bytes <= length, "a frame longer than the longest");
        self.set_free(place, false);
        let first_page = self.page_of(place);
        let entries = bytes.div_ceil(PAGE_BYTES).max(1);
        self.unanswered[place] = entries as u8;
        let mut rest = bytes;
        for page in first_page..first_page + entries {
            let is_first = page == first_page;
            let here = rest.min(PAGE_BYTES);
            rest -= here;
            let more = if rest > 0 { MORE_DATA } else { 0 };
            let flags = more | if is_first { offload.flags() } else { 0 };
            // The first entry tells the length of the whole frame.
            let size = if is_first { bytes } else { here };
            let reference = self.grants[page].reference();
            let words = [reference, u32::from(flags) << 16, (size as u32) << 16 | page as u32];
            self.ring.request(words);
            if let Some(extra) = offload.extra().filter(|_| is_first) {
                self.ring.request(extra);
            }
        }
    }

    /// Shows the backend what was sent; whether it wants to be told.
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks for an event when half of what is on its way was sent. False when it has been.
    pub fn arm(&mut self) -> bool {
        self.ring.arm(self.ring.in_flight() / 2)
    }

    /// Whether frames are on their way.
    pub fn is_busy(&self) -> bool {
        self.ring.in_flight() > 0
    }

    /// Frees what the backend has sent.
    pub fn reap(&mut self) -> Result<(), Fault> {
        let waiting = self.ring.waiting(u32::MAX)?;
        for nth in 0..waiting {
            let [word, ..] = self.ring.response(nth);
            self.answered((word & 0xffff) as usize, (word >> 16) as i16);
        }
        self.ring.take(waiting);
        Ok(())
    }

    fn answered(&mut self, page: usize, status: i16) {
        if status == STATUS_NONE {
            return;
        }
        let place = match page.checked_sub(self.pages) {
            None => page,
            Some(page) => self.pages + page / RUN_PAGES,
        };
        match self.unanswered.get_mut(place) {
            Some(unanswered) if *unanswered > 0 => {
                *unanswered -= 1;
                let is_done = *unanswered == 0;
                self.refusals.statuses += u64::from(status != 0);
                if is_done {
                    self.set_free(place, true);
                }
            }
            _ => self.refusals.ids += 1,
        }
    }

    fn has_room(&self) -> bool {
        let entries = if self.runs == 0 { 1 } else { RUN_PAGES as u32 + 1 };
        self.free_pages != 0
            && (self.runs == 0 || self.free_runs != 0)
            && self.ring.room() >= entries
    }

    /// The free place for a frame, and how much it takes.
    fn place(&self, bytes: usize) -> (usize, usize) {
        if bytes <= PAGE_BYTES {
            assert!(self.free_pages != 0, "no room was promised");
            // The lowest: the same, warm memory serves again and again while traffic is light.
            (self.free_pages.trailing_zeros() as usize, PAGE_BYTES)
        } else {
            assert!(self.free_runs != 0, "no room was promised");
            let run = self.free_runs.trailing_zeros() as usize;
            (self.pages + run, LONG_FRAME_BYTES_MAX)
        }
    }

    fn page_of(&self, place: usize) -> usize {
        match place.checked_sub(self.pages) {
            None => place,
            Some(run) => self.pages + run * RUN_PAGES,
        }
    }

    fn set_free(&mut self, place: usize, is_free: bool) {
        match place.checked_sub(self.pages) {
            None if is_free => self.free_pages |= 1 << place,
            None => self.free_pages &= !(1 << place),
            Some(run) if is_free => self.free_runs |= 1 << run,
            Some(run) => self.free_runs &= !(1 << run),
        }
    }

    /// Grants every page, and frees each place whose pages no earlier backend has still.
    fn permit(&mut self, domain: DomainId) {
        for place in 0..self.pages + self.runs {
            let first = self.page_of(place);
            let pages = if place < self.pages { 1 } else { RUN_PAGES };
            let grants = &self.grants[first..first + pages];
            self.unanswered[place] = 0;
            let is_ours = grants.iter().all(|grant| grant.end().is_ok());
            if is_ours && domain != self.domain {
                // What one domain was sent is no other's to read.
                // SAFETY: the grants have ended: no backend has one of the pages.
                unsafe { self.memory.slice_mut(first * PAGE_BYTES, pages * PAGE_BYTES) }.fill(0);
            }
            if is_ours {
                for (page, grant) in (first..).zip(grants) {
                    let physical = self.memory.physical(page * PAGE_BYTES);
                    // SAFETY: the page is buffer memory of this ring, for frames to this domain.
                    unsafe { grant.permit(domain, physical, Access::Read) }
                }
            }
            self.set_free(place, is_ours);
        }
        self.domain = domain;
    }
}

impl Offload {
    fn flags(&self) -> u16 {
        let checksum = if self.checksum { CHECKSUM_BLANK | DATA_VALIDATED } else { 0 };
        checksum | if self.segment.is_some() { EXTRA_INFO } else { 0 }
    }

    /// `netif_extra_info` that asks for segmentation.
    fn extra(&self) -> Option<[u32; 3]> {
        const TCP4: u32 = 1;
        const TCP6: u32 = 2;
        let size = u32::from(self.segment?.get());
        let kind = if self.is_ipv6 { TCP6 } else { TCP4 };
        // Kind and flags, then size, type, padding and features.
        Some([u32::from(EXTRA_GSO) | size << 16, kind, 0])
    }
}

#[cfg(test)]
impl TransmitRing {
    /// The grant of a page.
    pub(super) fn page_reference(&self, page: usize) -> u32 {
        self.grants[page].reference()
    }
}
