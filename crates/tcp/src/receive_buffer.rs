//! Receive buffer: bytes in order until the application takes them, and those ahead of a gap.

use crate::memory::{Buffer, Memory, Purpose};
use crate::options::SackBlocks;
use crate::queue::Queue;
use crate::reassembly::Reassembly;
use crate::sequence::SeqNumber;
use alloc::boxed::Box;
use bytes::{Buf, Bytes, BytesMut};

/// The data of a received segment.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Bytes that are somebody else's: they are copied.
    Slice(&'a [u8]),
    /// Bytes that are handed over, in memory of their own: they are kept where they are, unless they are few for so
    /// much memory.
    Page(BytesMut),
}

impl Payload<'_> {
    /// No data.
    pub const NONE: Self = Self::Slice(&[]);

    /// How many bytes it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// It has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Page(page) => page,
        }
    }

    /// It is a page, most of which is not wasted.
    pub(crate) fn is_page_worth_keeping(&self) -> bool {
        matches!(self, Self::Page(page) if page.capacity() / 4 <= page.len())
    }

    /// Drops bytes at the front and keeps so many of the rest.
    pub(crate) fn trim(&mut self, from: usize, len: usize) {
        match self {
            Self::Slice(bytes) => *bytes = bytes.get(from..from + len).unwrap_or_default(),
            Self::Page(page) => {
                page.advance(from.min(page.len()));
                page.truncate(len);
            }
        }
    }
}

/// A piece of received data.
#[derive(Debug)]
pub(crate) enum Chunk {
    Copied(Buffer),
    /// With what it counts for in the budget.
    Page(BytesMut, u32),
}

impl Chunk {
    /// Counts a page in the budget; `None` when that is used up.
    pub(crate) fn page(page: BytesMut, purpose: Purpose, memory: &mut Memory) -> Option<Self> {
        // A page of a card is worth its capacity, whatever part of it the segment needs.
        let cost = page.capacity();
        memory.hold(cost, purpose).then(|| Self::Page(page, cost as u32))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Copied(buffer) => buffer.len(),
            Self::Page(page, _) => page.len(),
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Copied(buffer) => buffer.bytes_mut(),
            Self::Page(page, _) => page,
        }
    }

    /// Appends what fits of `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Copied(buffer) => buffer.append(bytes),
            Self::Page(..) => 0,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Copied(buffer) => buffer.advance(count),
            Self::Page(page, _) => page.advance(count.min(page.len())),
        }
    }

    /// What is behind the first bytes, of which there must be more.
    pub(crate) fn without_front(mut self, count: usize) -> Self {
        self.advance(count);
        self
    }

    pub(crate) fn give(self, memory: &mut Memory) {
        match self {
            Self::Copied(buffer) => memory.give(buffer),
            Self::Page(_, cost) => memory.release(cost as usize),
        }
    }

    fn into_bytes(self, memory: &mut Memory) -> Bytes {
        match self {
            Self::Copied(buffer) => {
                memory.release(buffer.capacity());
                buffer.into_bytes()
            }
            Self::Page(page, cost) => {
                memory.release(cost as usize);
                page.freeze()
            }
        }
    }
}

/// What the peer sent and nobody has taken.
#[derive(Debug)]
pub(crate) struct ReceiveBuffer {
    chunks: Queue<Chunk>,
    len: u32,
    reassembly: Option<Box<Reassembly>>,
}

impl ReceiveBuffer {
    pub(crate) const EMPTY: Self = Self { chunks: Queue::EMPTY, len: 0, reassembly: None };

    /// Bytes in order.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Nothing waits for a gap to be filled.
    #[inline]
    pub(crate) fn is_in_order(&self) -> bool {
        self.reassembly.is_none()
    }

    /// Bytes that wait for a gap to be filled.
    pub(crate) fn out_of_order_bytes(&self) -> u32 {
        self.reassembly.as_ref().map_or(0, |reassembly| reassembly.bytes())
    }

    /// The first bytes, as many as are in one piece.
    #[inline]
    pub(crate) fn front_mut(&mut self) -> &mut [u8] {
        self.chunks.front_mut().map_or(&mut [], Chunk::bytes_mut)
    }

    /// The application has taken so many bytes, at most those of [`front_mut`](Self::front_mut).
    #[inline]
    pub(crate) fn consume(&mut self, count: usize, memory: &mut Memory) -> u32 {
        let Some(chunk) = self.chunks.front_mut() else { return 0 };
        let count = count.min(chunk.len());
        chunk.advance(count);
        self.len -= count as u32;
        if chunk.len() == 0
            && let Some(chunk) = self.chunks.pop_front()
        {
            chunk.give(memory);
        }
        count as u32
    }

    /// Hands the first piece over, with its memory.
    pub(crate) fn take(&mut self, memory: &mut Memory) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len() as u32;
        Some(chunk.into_bytes(memory))
    }

    /// Adds bytes behind those in order; how many there was memory for.
    #[inline]
    pub(crate) fn append(&mut self, payload: Payload<'_>, memory: &mut Memory) -> u32 {
        let keeps = payload.is_page_worth_keeping();
        let taken = match payload {
            Payload::Slice(bytes) => self.copy(bytes, memory),
            Payload::Page(page) if !keeps => self.copy(&page, memory),
            Payload::Page(page) => {
                let len = page.len() as u32;
                match Chunk::page(page, Purpose::InOrder, memory) {
                    Some(chunk) => {
                        self.chunks.push_back(chunk);
                        len
                    }
                    None => 0,
                }
            }
        };
        self.len += taken;
        taken
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8], memory: &mut Memory) -> u32 {
        let mut taken = self.chunks.back_mut().map_or(0, |chunk| chunk.append(bytes));
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let wanted = rest.len().max(self.len as usize + taken);
            let Some(mut buffer) = memory.take(wanted, Purpose::InOrder) else { break };
            taken += buffer.append(rest);
            self.chunks.push_back(Chunk::Copied(buffer));
        }
        taken as u32
    }

    /// Keeps bytes that are ahead of `next`, the number expected next; how many of them were new, and what
    /// part was there already.
    pub(crate) fn keep(
        &mut self,
        seq: SeqNumber,
        payload: Payload<'_>,
        ranges_max: usize,
        memory: &mut Memory,
    ) -> Kept {
        let reassembly = self.reassembly.get_or_insert_with(Box::default);
        let kept = reassembly.insert(seq, payload, ranges_max, memory);
        if reassembly.is_empty() {
            self.reassembly = None;
        }
        kept
    }

    /// Moves what follows `next` without a gap to the bytes in order; the number expected next then.
    pub(crate) fn join(&mut self, next: SeqNumber, memory: &mut Memory) -> SeqNumber {
        let Some(reassembly) = &mut self.reassembly else { return next };
        let mut at = next;
        while let Some(chunk) = reassembly.pop(at, memory) {
            at = at + chunk.len() as u32;
            self.len += chunk.len() as u32;
            self.chunks.push_back(chunk);
        }
        if reassembly.is_empty() {
            self.reassembly = None;
        }
        at
    }

    /// Drops what is ahead of a gap: the peer has to send it again (RFC 2018 section 8 lets).
    pub(crate) fn drop_out_of_order(&mut self, memory: &mut Memory) {
        if let Some(mut reassembly) = self.reassembly.take() {
            reassembly.clear(memory);
        }
    }

    /// The ranges ahead of a gap, the newest first (RFC 2018 section 4).
    pub(crate) fn sack_blocks(&self, blocks: &mut SackBlocks, max: usize) {
        if let Some(reassembly) = &self.reassembly {
            reassembly.sack_blocks(blocks, max);
        }
    }

    /// Gives all memory back.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        while let Some(chunk) = self.chunks.pop_front() {
            chunk.give(memory);
        }
        self.len = 0;
        self.drop_out_of_order(memory);
    }
}

/// What became of bytes ahead of a gap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Bytes that were new and are kept.
    pub(crate) new: u32,
    /// The first part that was there already (RFC 2883 section 4).
    pub(crate) duplicate: Option<(SeqNumber, SeqNumber)>,
    /// Bytes without memory or beyond the number of ranges.
    pub(crate) dropped: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn all(buffer: &mut ReceiveBuffer, memory: &mut Memory) -> Vec<u8> {
        let mut bytes = Vec::new();
        while buffer.len() > 0 {
            bytes.extend_from_slice(buffer.front_mut());
            let count = buffer.front_mut().len();
            buffer.consume(count, memory);
        }
        bytes
    }

    #[test]
    fn bytes_in_order_share_memory_and_give_it_back() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        assert_eq!(buffer.append(Payload::Slice(b"one "), &mut memory), 4);
        assert_eq!(buffer.append(Payload::Slice(b"two"), &mut memory), 3);
        assert_eq!(buffer.front_mut(), b"one two");
        assert_eq!(memory.held_bytes(), 2 << 10);
        assert_eq!(all(&mut buffer, &mut memory), b"one two");
        assert_eq!(memory.held_bytes(), 0);
    }

    #[test]
    fn pages_are_handed_on_where_they_are() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        let page = BytesMut::from(&b"page"[..]);
        let place = page.as_ptr();
        buffer.append(Payload::Page(page), &mut memory);
        assert!(memory.held_bytes() >= 4);
        let taken = buffer.take(&mut memory).unwrap();
        assert_eq!((&taken[..], taken.as_ptr()), (&b"page"[..], place));
        assert_eq!((memory.held_bytes(), buffer.len()), (0, 0));
    }

    #[test]
    fn a_page_that_is_mostly_empty_is_copied() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        let mut page = BytesMut::with_capacity(64 << 10);
        page.extend_from_slice(b"few");
        buffer.append(Payload::Page(page), &mut memory);
        assert_eq!(
            (memory.held_bytes(), buffer.front_mut()),
            (2 << 10, &mut [b'f', b'e', b'w'][..])
        );
        buffer.clear(&mut memory);
    }

    #[test]
    fn what_was_ahead_follows_when_the_gap_is_filled() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        let kept = buffer.keep(SeqNumber(3), Payload::Slice(b"defg"), 9, &mut memory);
        assert_eq!((kept.new, buffer.out_of_order_bytes(), buffer.len()), (4, 4, 0));
        buffer.append(Payload::Slice(b"abc"), &mut memory);
        assert_eq!(buffer.join(SeqNumber(3), &mut memory), SeqNumber(7));
        assert!(buffer.is_in_order());
        assert_eq!(all(&mut buffer, &mut memory), b"abcdefg");
        assert_eq!(memory.held_bytes(), 0);
    }

    #[test]
    fn what_has_no_memory_is_not_taken() {
        let mut memory = Memory::new(3 << 10);
        let mut buffer = ReceiveBuffer::EMPTY;
        assert_eq!(buffer.append(Payload::Slice(&[1; 2_048]), &mut memory), 2_048);
        assert_eq!(buffer.append(Payload::Slice(&[1; 10]), &mut memory), 0);
        buffer.clear(&mut memory);
        assert_eq!(memory.held_bytes(), 0);
    }
}
