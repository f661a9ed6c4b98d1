//! Receive buffer: bytes in order until the application takes them, and those ahead of a gap.

use crate::memory::{Buffer, Memory, Purpose};
use crate::options::SackBlocks;
use crate::queue::Queue;
use crate::reassembly::Reassembly;
use crate::sequence::SeqNumber;
use alloc::boxed::Box;
use core::mem;
use core::ops::Range;

/// The data of a received segment.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Bytes that are somebody else's: they are copied.
    Slice(&'a [u8]),
    /// Bytes that are handed over with the memory that they are in, where they stay.
    Page(Buffer),
}

impl<'a> Payload<'a> {
    /// No data.
    pub const NONE: Self = Self::Slice(&[]);

    /// The bytes in `range` of a device's `page`. If they fill a good part of it, it is taken over, and
    /// [another](Memory::page) put in its place. A page counts as a whole in the budget.
    #[inline]
    pub fn of_page(page: &'a mut Box<[u8]>, range: Range<usize>, memory: &mut Memory) -> Self {
        if range.len() >= page.len() / 4 {
            Self::Page(Buffer::around(mem::replace(page, memory.page()), range))
        } else {
            Self::Slice(page.get(range).unwrap_or_default())
        }
    }

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
            Self::Page(page) => page.bytes(),
        }
    }

    /// Drops bytes at the front and keeps so many of the rest.
    pub(crate) fn trim(&mut self, from: usize, len: usize) {
        match self {
            Self::Slice(bytes) => *bytes = bytes.get(from..from + len).unwrap_or_default(),
            Self::Page(page) => {
                page.advance(from);
                page.truncate(len);
            }
        }
    }
}

/// What the peer sent and nobody has taken.
#[derive(Debug)]
pub(crate) struct ReceiveBuffer {
    chunks: Queue<Buffer>,
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

    /// Bytes of memory that it holds, for bytes out of order too.
    pub(crate) fn held_bytes(&self) -> usize {
        let out_of_order = self.reassembly.as_ref().map_or(0, |reassembly| reassembly.held_bytes());
        self.chunks.iter().map(Buffer::capacity).sum::<usize>() + out_of_order
    }

    /// The first bytes, as many as are in one piece.
    #[inline]
    pub(crate) fn front_mut(&mut self) -> &mut [u8] {
        self.chunks.front_mut().map_or(&mut [], Buffer::bytes_mut)
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
            memory.give(chunk);
        }
        count as u32
    }

    /// Adds bytes behind those in order; how many there was memory for.
    #[inline]
    pub(crate) fn append(&mut self, payload: Payload<'_>, memory: &mut Memory) -> u32 {
        let taken = match payload {
            Payload::Slice(bytes) => self.copy(bytes, memory),
            Payload::Page(page) => self.put_page(page, memory),
        };
        self.len += taken;
        taken
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8], memory: &mut Memory) -> u32 {
        let mut taken = self.chunks.back_mut().map_or(0, |chunk| chunk.append(bytes));
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let wanted = rest.len().max(self.len as usize + taken);
            let is_first = self.len as usize + taken == 0;
            let Some(mut buffer) = memory.take_in_order(wanted, is_first) else { break };
            taken += buffer.append(rest);
            self.chunks.push_back(buffer);
        }
        taken as u32
    }

    /// While memory is short, bytes are copied into as little of it as they need.
    fn put_page(&mut self, page: Buffer, memory: &mut Memory) -> u32 {
        let len = page.len() as u32;
        if !memory.is_scarce() && memory.hold(page.capacity(), Purpose::InOrder) {
            self.chunks.push_back(page);
            return len;
        }
        let taken = self.copy(page.bytes(), memory);
        memory.keep(page.into_memory());
        taken
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
            memory.give(chunk);
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
    use crate::memory::PAGE_BYTES;
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

    /// A page with so many bytes in the middle of it.
    fn page(count: usize) -> Box<[u8]> {
        let mut page = std::vec![0; PAGE_BYTES].into_boxed_slice();
        page[66..][..count].fill(7);
        page
    }

    #[test]
    fn pages_are_read_where_they_are_and_received_into_again() {
        let mut memory = Memory::new(4 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        let (mut page, count) = (page(60_000), 60_000);
        let place = page[66..].as_ptr();
        let payload = Payload::of_page(&mut page, 66..66 + count, &mut memory);
        buffer.append(payload, &mut memory);
        assert_eq!((page.len(), page[66]), (PAGE_BYTES, 0));
        assert_eq!((memory.held_bytes(), buffer.len()), (PAGE_BYTES, count as u32));
        assert_eq!((buffer.front_mut().as_ptr(), buffer.front_mut().len()), (place, count));
        assert_eq!(all(&mut buffer, &mut memory), std::vec![7; count]);
        assert_eq!((memory.held_bytes(), memory.page()[66..].as_ptr()), (0, place));
    }

    #[test]
    fn a_page_that_is_mostly_empty_is_copied() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        let mut page = page(3);
        let payload = Payload::of_page(&mut page, 66..69, &mut memory);
        buffer.append(payload, &mut memory);
        assert_eq!(page[66], 7);
        assert_eq!((memory.held_bytes(), buffer.front_mut()), (2 << 10, &mut [7; 3][..]));
        buffer.clear(&mut memory);
    }

    #[test]
    fn a_page_is_copied_when_memory_is_short() {
        let mut memory = Memory::new(106 << 10);
        let held = memory.take(64 << 10, Purpose::InOrder).unwrap();
        let mut buffer = ReceiveBuffer::EMPTY;
        assert!(memory.hold(16 << 10, Purpose::InOrder) && memory.is_scarce());
        let mut page = page(16_500);
        let payload = Payload::of_page(&mut page, 66..16_566, &mut memory);
        assert!(matches!(payload, Payload::Page(_)));
        assert_eq!(buffer.append(payload, &mut memory), 16_500);
        assert_eq!(memory.held_bytes(), PAGE_BYTES + (34 << 10));
        assert_eq!(all(&mut buffer, &mut memory), std::vec![7; 16_500]);
        memory.give(held);
        memory.release(16 << 10);
        assert_eq!(memory.held_bytes(), 0);
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

    #[test]
    fn a_page_is_taken_over_from_a_quarter_on() {
        for (range, is_page) in [(0..16_415, false), (0..16_416, true), (100..16_515, false)] {
            let mut memory = Memory::new(1 << 20);
            let mut page = page(9);
            let place = page.as_ptr();
            let len = range.len();
            let payload = Payload::of_page(&mut page, range, &mut memory);
            assert_eq!((payload.len(), payload.is_empty()), (len, false));
            assert_eq!(matches!(payload, Payload::Page(_)), is_page);
            drop(payload);
            assert_eq!((page.as_ptr() == place, page.len()), (!is_page, PAGE_BYTES));
        }
        assert!(Payload::NONE.is_empty());
        for (from, len, wanted) in [(0, 3, &b"bcd"[..]), (1, 1, b"c"), (2, 1, b"d")] {
            let mut slice = Payload::Slice(b"bcd");
            slice.trim(from, len);
            let mut page = Payload::Page(Buffer::around(Box::from(&b"abcde"[..]), 1..4));
            page.trim(from, len);
            assert_eq!((slice.bytes(), page.bytes()), (wanted, wanted));
        }
    }

    #[test]
    fn the_more_is_unread_the_larger_the_memory_and_consumed_memory_goes_back() {
        let mut memory = Memory::new(4 << 20);
        let mut buffer = ReceiveBuffer::EMPTY;
        for (len, held) in [
            (1_000, 2_048),
            (1_048, 2_048),
            (1, 2_048 + 2_048),
            (2_047, 2_048 + 2_048),
            (1, 2_048 + 2_048 + 16_384),
            (16_384, 2_048 + 2_048 + 16_384 + PAGE_BYTES),
        ] {
            assert_eq!(buffer.append(Payload::Slice(&std::vec![1; len]), &mut memory), len as u32);
            assert_eq!((memory.held_bytes(), buffer.held_bytes()), (held, held), "{len}");
        }
        assert_eq!(buffer.len(), 20_481);
        assert_eq!(buffer.consume(2_047, &mut memory), 2_047);
        assert_eq!((buffer.len(), buffer.front_mut().len()), (18_434, 1));
        assert_eq!(buffer.consume(5_000, &mut memory), 1);
        let held = 2_048 + 16_384 + PAGE_BYTES;
        assert_eq!((buffer.len(), memory.held_bytes()), (18_433, held));
        assert_eq!(buffer.consume(0, &mut memory), 0);
        buffer.keep(SeqNumber(9), Payload::Slice(b"ahead"), 9, &mut memory);
        assert_eq!((memory.held_bytes(), buffer.held_bytes()), (held + 2_048, held + 2_048));
        buffer.drop_out_of_order(&mut memory);
        assert_eq!((memory.held_bytes(), buffer.out_of_order_bytes()), (held, 0));
        assert!(buffer.is_in_order());
        buffer.clear(&mut memory);
        assert_eq!((memory.held_bytes(), buffer.len(), buffer.held_bytes()), (0, 0, 0));
        assert_eq!(buffer.consume(1, &mut memory), 0);
    }

    #[test]
    fn only_a_connection_that_holds_nothing_gets_of_the_last() {
        let mut memory = Memory::new(64_000);
        assert!(memory.hold(60_000, Purpose::InOrder));
        let mut buffer = ReceiveBuffer::EMPTY;
        assert_eq!(buffer.append(Payload::Slice(&[1; 3_000]), &mut memory), 2_048);
        assert_eq!(buffer.append(Payload::Slice(&[1; 10]), &mut memory), 0);
        assert!(memory.was_refused());
        buffer.consume(2_048, &mut memory);
        assert_eq!(buffer.append(Payload::Slice(&[1; 10]), &mut memory), 10);
        // What finds no memory ahead of a gap leaves nothing behind.
        let kept = buffer.keep(SeqNumber(9), Payload::Slice(b"ahead"), 9, &mut memory);
        assert_eq!((kept.dropped, buffer.is_in_order()), (5, true));
    }
}
