//! Fake backend of a disk in a test process: it reaches what it was granted and nothing else.

pub use crate::hypervisor::xen::fake::{hold, is_granted};

use super::request::{DIRECT_PAGES_MAX, SECTOR_BYTES};
use crate::hypervisor::xen::fake::{read_page, ring_page, set_word, word, write_page};
use crate::memory::PAGE_BYTES;
use alloc::vec::Vec;

/// The other end of a disk's ring.
pub struct Backend {
    ring: u64,
    entries: u32,
    /// Requests taken so far.
    taken: u32,
    /// Responses given so far.
    answered: u32,
}

/// A request that a frontend made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// By what it is answered.
    pub id: u64,
    /// What is asked for.
    pub operation: u8,
    /// The disk's number.
    pub device: u16,
    /// Where.
    pub sector: u64,
    /// Its pages: grant, first and last sector.
    pub segments: Vec<(u32, u8, u8)>,
    /// The page that lists them, where there is one.
    pub list: Option<u32>,
}

impl Taken {
    /// How much data goes with it.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(|(_, first, last)| sectors(*first, *last) * SECTOR_BYTES).sum()
    }

    /// What it has written, if it writes.
    pub fn read(&self) -> Vec<u8> {
        let of_one = |&(reference, first, last): &(u32, u8, u8)| {
            let bytes = sectors(first, last) * SECTOR_BYTES;
            read_page(reference, usize::from(first) * SECTOR_BYTES, bytes)
        };
        self.segments.iter().flat_map(of_one).collect()
    }

    /// Gives it what it reads, as far as `bytes` go.
    pub fn write(&self, mut bytes: &[u8]) {
        for &(reference, first, last) in &self.segments {
            let here = bytes.len().min(sectors(first, last) * SECTOR_BYTES);
            write_page(reference, usize::from(first) * SECTOR_BYTES, &bytes[..here]);
            bytes = &bytes[here..];
        }
    }
}

fn sectors(first: u8, last: u8) -> usize {
    assert!(first <= last && usize::from(last) < PAGE_BYTES / SECTOR_BYTES);
    usize::from(last - first) + 1
}

impl Backend {
    /// Attaches to the ring whose pages have these grants.
    pub fn attach(references: &[u32]) -> Self {
        let pages: Vec<u64> = references.iter().map(|&reference| ring_page(reference)).collect();
        // A backend maps them in a row; here they are.
        assert!(pages.windows(2).all(|pair| pair[0] + PAGE_BYTES as u64 == pair[1]));
        let entries = 1 << ((pages.len() * PAGE_BYTES - 64) / 112).ilog2();
        Self { ring: pages[0], entries, taken: 0, answered: 0 }
    }

    /// How many requests wait to be taken.
    pub fn waiting(&self) -> u32 {
        word(self.ring, 0).wrapping_sub(self.taken)
    }

    /// The next request.
    pub fn take(&mut self) -> Option<Taken> {
        const INDIRECT: u8 = 6;
        if self.waiting() == 0 {
            return None;
        }
        let entry = self.entry(self.taken);
        self.taken = self.taken.wrapping_add(1);
        // It wants to be told of the next.
        set_word(self.ring, 1, self.taken.wrapping_add(1));
        let long = |at| u64::from(word(entry, at)) | u64::from(word(entry, at + 1)) << 32;
        let [kind, second, third, fourth] = word(entry, 0).to_le_bytes();
        let half = u16::from_le_bytes([third, fourth]);
        let (operation, device, segments, list) = if kind == INDIRECT {
            let list = word(entry, 7);
            (second, word(entry, 6) as u16, listed(list, usize::from(half)), Some(list))
        } else {
            let count = usize::from(second);
            assert!(count <= DIRECT_PAGES_MAX);
            let segments = (0..count).map(|at| segment(entry + 24 + 8 * at as u64)).collect();
            (kind, half, segments, None)
        };
        Some(Taken { id: long(2), operation, device, sector: long(4), segments, list })
    }

    /// Answers a request as it ought to be.
    pub fn answer(&mut self, request: &Taken, status: i16) {
        self.answer_raw(request.id, request.operation, status);
    }

    /// Answers anything with anything.
    pub fn answer_raw(&mut self, id: u64, operation: u8, status: i16) {
        let entry = self.entry(self.answered);
        set_word(entry, 0, id as u32);
        set_word(entry, 1, (id >> 32) as u32);
        set_word(entry, 2, u32::from(operation) | u32::from(status as u16) << 16);
        self.answered = self.answered.wrapping_add(1);
        set_word(self.ring, 2, self.answered);
    }

    /// Puts the index of responses anywhere.
    pub fn set_responses(&mut self, index: u32) {
        set_word(self.ring, 2, index);
    }

    /// Whether the frontend wants to be told of the last response.
    pub fn wants_event(&self) -> bool {
        word(self.ring, 3) == self.answered
    }

    fn entry(&self, number: u32) -> u64 {
        self.ring + 64 + u64::from(number % self.entries) * 112
    }
}

/// `blkif_request_segment`.
fn segment(at: u64) -> (u32, u8, u8) {
    let [first, last, ..] = word(at, 1).to_le_bytes();
    (word(at, 0), first, last)
}

fn listed(list: u32, count: usize) -> Vec<(u32, u8, u8)> {
    let page = read_page(list, 0, 8 * count);
    let of_one =
        |&[a, b, c, d, first, last, ..]: &[u8; 8]| (u32::from_le_bytes([a, b, c, d]), first, last);
    page.as_chunks::<8>().0.iter().map(of_one).collect()
}
