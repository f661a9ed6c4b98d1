//! Reassembly: data that came ahead of a gap, and the ranges that SACK blocks tell of.

use crate::memory::{Buffer, Memory, Purpose};
use crate::options::SackBlocks;
use crate::receive_buffer::{Kept, Payload};
use crate::sequence::SeqNumber;
use alloc::collections::VecDeque;

/// Data out of order. Pieces do not overlap; ranges are the pieces joined where they touch.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    pieces: VecDeque<Piece>,
    ranges: VecDeque<Range>,
    /// Numbers in the ranges that changed last, the newest first.
    recent: [Option<SeqNumber>; SackBlocks::MAX],
    bytes: u32,
}

#[derive(Debug)]
struct Piece {
    start: SeqNumber,
    buffer: Buffer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: SeqNumber,
    end: SeqNumber,
}

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.buffer.capacity()).sum()
    }

    /// Keeps what of the payload is not here yet.
    pub(crate) fn insert(
        &mut self,
        seq: SeqNumber,
        payload: Payload<'_>,
        ranges_max: usize,
        memory: &mut Memory,
    ) -> Kept {
        let end = seq + payload.len() as u32;
        let mut kept = Kept::default();
        let mut payload = Some(payload);
        let mut at = seq;
        while at.is_before(end) {
            let index = self.ranges.partition_point(|range| !range.end.is_after(at));
            let range = self.ranges.get(index).copied();
            if let Some(range) = range.filter(|range| !range.start.is_after(at)) {
                let known_to = range.end.or_earlier(end);
                kept.duplicate.get_or_insert((at, known_to));
                self.touch(at);
                at = known_to;
                continue;
            }
            let gap_end = range.map_or(end, |range| range.start.or_earlier(end));
            let count = self.fill(seq, at, gap_end, &mut payload, ranges_max, memory);
            kept.new += count;
            if at + count != gap_end {
                kept.dropped = end.distance_from(at + count);
                break;
            }
            at = gap_end;
        }
        kept
    }

    /// The piece at `next`, if that is where the first one begins.
    pub(crate) fn pop(&mut self, next: SeqNumber, memory: &mut Memory) -> Option<Buffer> {
        // What has come in order meanwhile is not needed twice.
        while self.pieces.front().is_some_and(|piece| piece.start.is_before(next)) {
            let mut piece = self.pieces.pop_front()?;
            let (len, known) = (piece.buffer.len() as u32, next.distance_from(piece.start));
            self.bytes -= len.min(known);
            if known < len {
                piece.buffer.advance(known as usize);
                piece.start = next;
                self.pieces.push_front(piece);
            } else {
                memory.give(piece.buffer);
            }
        }
        let first = self.pieces.pop_front_if(|piece| piece.start == next);
        let to = first.as_ref().map_or(next, |piece| next + piece.buffer.len() as u32);
        while self.ranges.pop_front_if(|range| !range.end.is_after(to)).is_some() {}
        if let Some(range) = self.ranges.front_mut() {
            range.start = range.start.or_later(to);
        }
        let buffer = first?.buffer;
        self.bytes -= buffer.len() as u32;
        Some(buffer)
    }

    /// RFC 2018 section 4: the first block is the one with the segment that came last, the others repeat
    /// those told of most recently.
    pub(crate) fn sack_blocks(&self, blocks: &mut SackBlocks, max: usize) {
        let recent = self.recent.iter().flatten().filter_map(|at| self.range_of(*at));
        // D-SACK (RFC 2883 section 4) may be in front of a block that contains it.
        let told = blocks.as_slice().len();
        for range in recent.chain(self.ranges.iter().copied()) {
            let is_told = |block: &crate::options::SackBlock| block.start == range.start;
            if blocks.as_slice().len() < max
                && !blocks.as_slice().get(told..).unwrap_or_default().iter().any(is_told)
            {
                blocks.push(range.start, range.end);
            }
            if blocks.as_slice().len() >= max {
                break;
            }
        }
    }

    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        for piece in self.pieces.drain(..) {
            memory.give(piece.buffer);
        }
        self.ranges.clear();
        self.bytes = 0;
    }

    /// Puts the payload's part from `at` to `gap_end` into a gap; how many bytes of it are kept.
    fn fill(
        &mut self,
        seq: SeqNumber,
        at: SeqNumber,
        gap_end: SeqNumber,
        payload: &mut Option<Payload<'_>>,
        ranges_max: usize,
        memory: &mut Memory,
    ) -> u32 {
        let touches = |range: &Range| range.end == at || range.start == gap_end;
        if self.ranges.len() >= ranges_max && !self.ranges.iter().any(touches) {
            return 0;
        }
        let Some(whole) = payload.as_ref() else { return 0 };
        let len = gap_end.distance_from(at);
        let is_whole = len as usize == whole.len();
        let page = payload.take_if(|whole| is_whole && matches!(whole, Payload::Page(_)));
        let count = if let Some(Payload::Page(page)) = page {
            self.put_page(at, page, memory)
        } else {
            let Some(whole) = payload else { return 0 };
            let from = at.distance_from(seq) as usize;
            let part = whole.bytes().get(from..from + len as usize).unwrap_or_default();
            self.put_copy(at, part, memory)
        };
        if count > 0 {
            self.bytes += count;
            self.join_range(Range { start: at, end: at + count });
            self.touch(at);
        }
        count
    }

    fn put_page(&mut self, at: SeqNumber, page: Buffer, memory: &mut Memory) -> u32 {
        let len = page.len() as u32;
        if !memory.hold(page.capacity(), Purpose::OutOfOrder) {
            let copied = self.put_copy(at, page.bytes(), memory);
            memory.keep(page.into_memory());
            return copied;
        }
        let index = self.pieces.partition_point(|piece| piece.start.is_before(at));
        self.pieces.insert(index, Piece { start: at, buffer: page });
        len
    }

    fn put_copy(&mut self, at: SeqNumber, bytes: &[u8], memory: &mut Memory) -> u32 {
        let mut index = self.pieces.partition_point(|piece| piece.start.is_before(at));
        let before = index.checked_sub(1).and_then(|before| self.pieces.get_mut(before));
        let mut taken = match before {
            Some(piece) if piece.start + piece.buffer.len() as u32 == at => {
                piece.buffer.append(bytes)
            }
            _ => 0,
        };
        // A run of pieces that follow each other gets larger ones.
        let run = index.checked_sub(1).and_then(|before| self.pieces.get(before));
        let run = run.map_or(0, |piece| {
            let follows = piece.start + piece.buffer.len() as u32 == at + taken as u32;
            if follows { piece.buffer.len() * 4 } else { 0 }
        });
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let Some(mut buffer) = memory.take(rest.len().max(run), Purpose::OutOfOrder) else {
                break;
            };
            let start = at + taken as u32;
            taken += buffer.append(rest);
            self.pieces.insert(index, Piece { start, buffer });
            index += 1;
        }
        taken as u32
    }

    fn join_range(&mut self, mut range: Range) {
        let index = self.ranges.partition_point(|other| other.end.is_before(range.start));
        while let Some(other) =
            self.ranges.get(index).filter(|other| !other.start.is_after(range.end))
        {
            range.start = range.start.or_earlier(other.start);
            range.end = range.end.or_later(other.end);
            self.ranges.remove(index);
        }
        self.ranges.insert(index, range);
    }

    fn range_of(&self, at: SeqNumber) -> Option<Range> {
        let index = self.ranges.partition_point(|range| !range.end.is_after(at));
        self.ranges.get(index).copied().filter(|range| !range.start.is_after(at))
    }

    /// The range with `at` changed last.
    fn touch(&mut self, at: SeqNumber) {
        let Some(range) = self.range_of(at) else { return };
        let is_same = |seen: &Option<SeqNumber>| {
            seen.is_some_and(|seen| seen.is_at_or_after(range.start) && seen.is_before(range.end))
        };
        let place = self.recent.iter().position(is_same).unwrap_or(self.recent.len() - 1);
        if let Some(front) = self.recent.get_mut(..=place) {
            front.rotate_right(1);
        }
        if let Some(first) = self.recent.first_mut() {
            *first = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn seq(number: u32) -> SeqNumber {
        SeqNumber(number.wrapping_sub(20))
    }

    fn put(reassembly: &mut Reassembly, memory: &mut Memory, from: u32, to: u32) -> Kept {
        let bytes: Vec<u8> = (from..to).map(|byte| byte as u8).collect();
        reassembly.insert(seq(from), Payload::Slice(&bytes), 4, memory)
    }

    fn blocks(reassembly: &Reassembly) -> Vec<(u32, u32)> {
        let mut blocks = SackBlocks::NONE;
        reassembly.sack_blocks(&mut blocks, 3);
        let number = |seq: SeqNumber| seq.0.wrapping_add(20);
        blocks.as_slice().iter().map(|block| (number(block.start), number(block.end))).collect()
    }

    #[test]
    fn rfc_2018_4_the_newest_block_comes_first() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        put(&mut all, &mut memory, 10, 15);
        put(&mut all, &mut memory, 20, 25);
        put(&mut all, &mut memory, 30, 35);
        assert_eq!(blocks(&all), [(30, 35), (20, 25), (10, 15)]);
        put(&mut all, &mut memory, 15, 20);
        assert_eq!(blocks(&all), [(10, 25), (30, 35)]);
    }

    #[test]
    fn overlaps_are_kept_once() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        put(&mut all, &mut memory, 10, 15);
        put(&mut all, &mut memory, 20, 25);
        let kept = put(&mut all, &mut memory, 8, 30);
        assert_eq!((kept.new, kept.duplicate), (12, Some((seq(10), seq(15)))));
        assert_eq!((all.bytes(), all.ranges.len()), (22, 1));
        let mut bytes = Vec::new();
        let mut at = seq(8);
        while let Some(mut chunk) = all.pop(at, &mut memory) {
            bytes.extend_from_slice(chunk.bytes_mut());
            at = at + chunk.len() as u32;
            memory.give(chunk);
        }
        assert_eq!(bytes, (8..30).collect::<Vec<u8>>());
        assert_eq!((memory.held_bytes(), all.bytes(), all.ranges.len()), (0, 0, 0));
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        for from in 1..6 {
            put(&mut all, &mut memory, from * 10, from * 10 + 5);
        }
        assert_eq!((all.ranges.len(), all.bytes()), (4, 20));
        assert_eq!(put(&mut all, &mut memory, 45, 50).new, 5);
        assert_eq!(put(&mut all, &mut memory, 90, 95).dropped, 5);
    }

    #[test]
    fn what_came_in_order_meanwhile_is_dropped() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        put(&mut all, &mut memory, 10, 15);
        put(&mut all, &mut memory, 20, 25);
        let mut chunk = all.pop(seq(22), &mut memory).unwrap();
        assert_eq!(chunk.bytes_mut(), [22, 23, 24]);
        assert!(all.is_empty() && all.ranges.is_empty() && all.bytes() == 0);
    }
}
