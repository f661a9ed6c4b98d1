//! Fake backend in a test process: it reaches what it was granted and nothing else.

pub use crate::hypervisor::xen::fake::{hold, is_granted, read_page, write_page};

use super::protocol::{EXTRA_GSO, EXTRA_INFO, MORE_DATA};
use crate::hypervisor::xen::fake::{ring_page, set_word, word};
use crate::memory::PAGE_BYTES;
use alloc::vec::Vec;

/// The other end of a pair of rings.
pub struct Backend {
    receive: u64,
    transmit: u64,
    /// Requests taken so far, which is also responses given.
    received: u32,
    sent: u32,
}

/// A frame that a frontend sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The flags of its first entry.
    pub flags: u16,
    /// The payload bytes of each segment, if it is to be cut.
    pub segment: Option<u16>,
    /// By what its entries are answered.
    pub ids: Vec<u16>,
}

/// What a frontend offers to receive into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// By what it is answered.
    pub id: u16,
    /// The page's grant.
    pub reference: u32,
}

impl Backend {
    /// Attaches to the rings that these grants are for.
    pub fn attach(transmit: u32, receive: u32) -> Self {
        let (receive, transmit) = (ring_page(receive), ring_page(transmit));
        Self { receive, transmit, received: 0, sent: 0 }
    }

    /// Fills offers with a frame, page by page, with extra information when it is `coalesced`; whether the frontend wants an event
    /// for it.
    pub fn send(&mut self, frame: &[u8], flags: u16, coalesced: bool) -> bool {
        let mut chunks = frame.chunks(PAGE_BYTES).peekable();
        let mut is_first = true;
        while let Some(chunk) = chunks.next() {
            let offer = self.offer(0).expect("an offer");
            write_page(offer.reference, 0, chunk);
            let more = if chunks.peek().is_some() { MORE_DATA } else { 0 };
            let extra = if is_first && coalesced { EXTRA_INFO } else { 0 };
            let flags = more | extra | if is_first { flags } else { 0 };
            self.answer(offer.id, 0, flags, chunk.len() as i16);
            if extra != 0 {
                self.answer_raw([u32::from(EXTRA_GSO) | 1448 << 16, 1]);
            }
            is_first = false;
        }
        self.publish()
    }

    /// The `nth` offer that was not answered.
    pub fn offer(&self, nth: u32) -> Option<Offer> {
        let number = self.received.wrapping_add(nth);
        let offered = word(self.receive, 0).wrapping_sub(number);
        if offered == 0 || offered > 256 {
            return None;
        }
        let entry = self.receive + 64 + u64::from(number % 256) * 8;
        Some(Offer { id: word(entry, 0) as u16, reference: word(entry, 1) })
    }

    /// Answers the next offer with anything at all.
    pub fn answer(&mut self, id: u16, offset: u16, flags: u16, status: i16) {
        let low = u32::from(id) | u32::from(offset) << 16;
        self.answer_raw([low, u32::from(flags) | u32::from(status as u16) << 16]);
    }

    /// Answers the next offer with these words.
    pub fn answer_raw(&mut self, words: [u32; 2]) {
        let entry = self.receive + 64 + u64::from(self.received % 256) * 8;
        set_word(entry, 0, words[0]);
        set_word(entry, 1, words[1]);
        self.received = self.received.wrapping_add(1);
    }

    /// Shows the frontend the answers; whether it wants an event for them.
    pub fn publish(&mut self) -> bool {
        show(self.receive, self.received)
    }

    /// Asks for an event when the frontend offers another page.
    pub fn want_offers(&mut self) {
        set_word(self.receive, 1, word(self.receive, 0).wrapping_add(1));
    }

    /// Asks for an event when the frontend sends another frame.
    pub fn want_frames(&mut self) {
        set_word(self.transmit, 1, self.sent.wrapping_add(1));
    }

    /// Puts the index of answered offers anywhere.
    pub fn set_receive_responses(&mut self, index: u32) {
        set_word(self.receive, 2, index);
    }

    /// Puts the index of answered frames anywhere.
    pub fn set_transmit_responses(&mut self, index: u32) {
        set_word(self.transmit, 2, index);
    }

    /// The next frame that the frontend sent, not answered yet.
    pub fn take(&mut self) -> Option<Sent> {
        if word(self.transmit, 0) == self.sent {
            return None;
        }
        let mut sent = Sent::default();
        let mut total = None;
        loop {
            let [reference, low, high] = self.next_entry();
            let (offset, flags) = ((low & 0xffff) as usize, (low >> 16) as u16);
            let size = (high >> 16) as usize;
            let is_first = total.is_none();
            if is_first {
                sent.flags = flags;
                total = Some(size);
            }
            sent.ids.push(high as u16);
            if is_first && flags & EXTRA_INFO != 0 {
                let [extra, ..] = self.next_entry();
                assert_eq!(extra as u8, EXTRA_GSO);
                sent.segment = Some((extra >> 16) as u16);
            }
            let more = flags & MORE_DATA != 0;
            let here = if is_first && more { PAGE_BYTES - offset } else { size };
            sent.bytes.extend(read_page(reference, offset, here));
            if !more {
                assert_eq!(Some(sent.bytes.len()), total, "the first entry tells the length");
                return Some(sent);
            }
        }
    }

    /// Answers a frame's entries; whether the frontend wants an event for one of them.
    pub fn complete(&mut self, sent: &Sent) -> bool {
        let mut is_wanted = false;
        for &id in &sent.ids {
            is_wanted |= self.answer_sent(id, 0);
        }
        if sent.segment.is_some() {
            is_wanted |= self.answer_sent(0xdead, 1);
        }
        is_wanted
    }

    /// Answers anything with anything; whether the frontend wants an event for it.
    pub fn answer_sent(&mut self, id: u16, status: i16) -> bool {
        let answered = word(self.transmit, 2);
        let entry = self.transmit + 64 + u64::from(answered % 256) * 12;
        set_word(entry, 0, u32::from(id) | u32::from(status as u16) << 16);
        show(self.transmit, answered.wrapping_add(1))
    }

    fn next_entry(&mut self) -> [u32; 3] {
        assert_ne!(word(self.transmit, 0), self.sent, "a frame's entries come together");
        let entry = self.transmit + 64 + u64::from(self.sent % 256) * 12;
        self.sent = self.sent.wrapping_add(1);
        core::array::from_fn(|nth| word(entry, nth))
    }
}

/// Puts a ring's index of responses, and says whether its frontend wants an event for them (public/io/ring.h).
fn show(ring: u64, responses: u32) -> bool {
    let before = word(ring, 2);
    set_word(ring, 2, responses);
    responses.wrapping_sub(word(ring, 3)) < responses.wrapping_sub(before)
}
