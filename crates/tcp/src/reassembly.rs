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
    use crate::memory::PAGE_BYTES;
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
        memory.give(chunk);
        // Up to its end nothing of it is left.
        put(&mut all, &mut memory, 30, 35);
        assert!(all.pop(seq(35), &mut memory).is_none());
        assert!(all.is_empty() && memory.held_bytes() == 0);
    }

    #[test]
    fn pieces_that_follow_each_other_share_memory_and_get_larger_ones() {
        let (mut memory, mut all) = (Memory::new(4 << 20), Reassembly::default());
        let mut at = 100;
        for (len, held) in [
            (500, 2_048),
            (1_500, 2_048),
            (48, 2_048),
            // Four times the last piece is wanted: 8,192 bytes, which is in 16 KiB.
            (1_000, 2_048 + 16_384),
            (15_384, 2_048 + 16_384),
            (1, 2_048 + 16_384 + PAGE_BYTES),
        ] {
            assert_eq!(put(&mut all, &mut memory, at, at + len).new, len);
            at += len;
            assert_eq!((memory.held_bytes(), all.held_bytes()), (held, held), "{at}");
            assert_eq!((all.bytes(), blocks(&all)), (at - 100, [(100, at)].to_vec()));
        }
        // One that does not follow begins with little.
        let held = memory.held_bytes();
        put(&mut all, &mut memory, at + 1, at + 2);
        assert_eq!(memory.held_bytes(), held + 2_048);
        put(&mut all, &mut memory, 50, 60);
        assert_eq!(memory.held_bytes(), held + 2 * 2_048);
        all.clear(&mut memory);
        assert_eq!((memory.held_bytes(), all.bytes(), all.is_empty()), (0, 0, true));
        assert_eq!(blocks(&all), []);
    }

    /// Of all that is tried, what is told, and what is read in the end, is each byte once.
    #[test]
    fn overlaps_at_all_ends() {
        for (from, to, new, duplicate) in [
            (10, 15, 0, Some((10, 15))),
            (11, 14, 0, Some((11, 14))),
            (5, 10, 5, None),
            (5, 12, 5, Some((10, 12))),
            (12, 18, 3, Some((12, 15))),
            (15, 20, 5, None),
            (12, 22, 5, Some((12, 15))),
            (16, 19, 3, None),
            (9, 26, 7, Some((10, 15))),
            (25, 30, 5, None),
        ] {
            let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
            put(&mut all, &mut memory, 10, 15);
            put(&mut all, &mut memory, 20, 25);
            let kept = put(&mut all, &mut memory, from, to);
            let wanted = duplicate.map(|(start, end)| (seq(start), seq(end)));
            assert_eq!((kept.new, kept.duplicate, kept.dropped), (new, wanted, 0), "{from}-{to}");
            assert_eq!(all.bytes(), 10 + new, "{from}-{to}");
            let mut read = Vec::new();
            for at in 0..40 {
                let mut at = seq(at);
                while let Some(chunk) = all.pop(at, &mut memory) {
                    read.extend_from_slice(chunk.bytes());
                    at = at + chunk.len() as u32;
                    memory.give(chunk);
                }
            }
            let known = |byte: &u32| {
                (10..15).contains(byte) || (20..25).contains(byte) || (from..to).contains(byte)
            };
            let wanted: Vec<u8> = (0..40).filter(known).map(|byte| byte as u8).collect();
            assert_eq!((read, memory.held_bytes(), all.bytes()), (wanted, 0, 0), "{from}-{to}");
            assert!(all.is_empty() && all.ranges.is_empty());
        }
    }

    #[test]
    fn more_ranges_than_allowed_are_refused_but_not_what_makes_one_longer() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        for from in [10, 20, 30, 40] {
            assert_eq!(put(&mut all, &mut memory, from, from + 5).new, 5);
        }
        let held = memory.held_bytes();
        for (from, to, new, dropped) in [
            (50, 53, 0, 3),
            (16, 19, 0, 3),
            (25, 27, 2, 0),
            (38, 40, 2, 0),
            // Of what reaches over several gaps, up to the first that is not filled.
            (27, 60, 3 + 3 + 15, 0),
        ] {
            let kept = put(&mut all, &mut memory, from, to);
            assert_eq!((kept.new, kept.dropped), (new, dropped), "{from}-{to}");
        }
        assert_eq!(blocks(&all)[0], (20, 60));
        assert_eq!((memory.held_bytes() >= held, all.ranges.len()), (true, 2));
        all.clear(&mut memory);
        // Without memory nothing is kept, and that is said.
        let (mut memory, mut all) = (Memory::new(2_339), Reassembly::default());
        assert_eq!(put(&mut all, &mut memory, 10, 15).dropped, 5);
        assert!(all.is_empty() && all.ranges.is_empty() && memory.held_bytes() == 0);
        let (mut memory, mut all) = (Memory::new(2_340), Reassembly::default());
        assert_eq!(put(&mut all, &mut memory, 10, 2_070).new, 2_048);
        assert_eq!((blocks(&all), all.bytes()), ([(10, 2_058)].to_vec(), 2_048));
        assert_eq!(
            put(&mut all, &mut memory, 2_058, 2_070),
            Kept { dropped: 12, ..Kept::default() }
        );
    }

    #[test]
    fn a_page_counts_as_a_whole_and_is_copied_where_it_does_not_fit() {
        let page = || {
            let bytes = std::vec![5; PAGE_BYTES].into_boxed_slice();
            Payload::Page(Buffer::around(bytes, 100..20_100))
        };
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        assert_eq!(all.insert(seq(50), page(), 4, &mut memory).new, 20_000);
        assert_eq!((memory.held_bytes(), all.held_bytes()), (PAGE_BYTES, PAGE_BYTES));
        // A part of one is copied, behind that.
        assert_eq!(all.insert(seq(20_000), page(), 4, &mut memory).new, 19_950);
        assert_eq!((memory.held_bytes(), all.bytes()), (PAGE_BYTES, 39_950));
        all.clear(&mut memory);
        let (mut memory, mut all) = (Memory::new(40_000), Reassembly::default());
        assert_eq!(all.insert(seq(50), page(), 4, &mut memory).new, 20_000);
        assert_eq!(memory.held_bytes(), 2 * 16_384);
        let first = all.pop(seq(50), &mut memory).unwrap();
        assert_eq!((first.len(), first.bytes()[0]), (16_384, 5));
    }

    #[test]
    fn rfc_2883_4_a_duplicate_in_front_does_not_take_the_place_of_its_block() {
        let (mut memory, mut all) = (Memory::new(1 << 20), Reassembly::default());
        for from in [10, 20, 30, 40] {
            put(&mut all, &mut memory, from, from + 5);
        }
        let told = |duplicate: Option<(u32, u32)>, max| {
            let mut blocks = SackBlocks::NONE;
            if let Some((start, end)) = duplicate {
                blocks.push(seq(start), seq(end));
            }
            all.sack_blocks(&mut blocks, max);
            let number = |seq: SeqNumber| seq.0.wrapping_add(20);
            blocks.as_slice().iter().map(|block| number(block.start)).collect::<Vec<_>>()
        };
        assert_eq!(told(None, 4), [40, 30, 20, 10]);
        assert_eq!(told(None, 3), [40, 30, 20]);
        assert_eq!(told(Some((40, 42)), 3), [40, 40, 30]);
        assert_eq!(told(Some((3, 5)), 4), [3, 40, 30, 20]);
        assert_eq!(told(Some((3, 5)), 1), [3]);
    }
}
