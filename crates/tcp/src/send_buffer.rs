//! Send buffer: bytes that were written or lent, until they are acknowledged; sent from where they lie.

use crate::memory::{Buffer, Memory, Purpose};
use crate::queue::Queue;
use crate::sequence::SeqNumber;
use bytes::{Buf, Bytes};

/// Bytes in the order in which they go out, as runs: copied into memory of the pool, or shared with the
/// application, which keeps them where they are.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    runs: Queue<Run>,
    /// The number of the first byte.
    start: SeqNumber,
    len: u32,
}

#[derive(Debug)]
struct Run {
    start: SeqNumber,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Copied(Buffer),
    Shared(Bytes),
}

/// A part of a segment's data, in the order of the wire.
#[derive(Clone, Copy, Debug)]
pub enum Slice<'a> {
    /// Bytes that will be overwritten when they are acknowledged: copy them now.
    Copied(&'a [u8]),
    /// Bytes that do not change as long as a clone of this exists.
    Shared {
        /// What they are a part of.
        whole: &'a Bytes,
        /// Where in it they begin and end.
        range: (usize, usize),
    },
}

impl<'a> Slice<'a> {
    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Copied(bytes) => bytes,
            Self::Shared { whole, range: (start, end) } => {
                whole.get(start..end).unwrap_or_default()
            }
        }
    }

    /// The bytes to hold on to: only of a shared slice, at the price of a reference count.
    pub fn shared(&self) -> Option<Bytes> {
        match *self {
            Self::Copied(_) => None,
            Self::Shared { whole, range: (start, end) } => Some(whole.slice(start..end)),
        }
    }
}

impl SendBuffer {
    /// An empty one whose first byte will have that number. It has no memory.
    pub(crate) fn new(start: SeqNumber) -> Self {
        Self { runs: Queue::EMPTY, start, len: 0 }
    }

    /// Bytes in it.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = |run: &Run| match &run.content {
            Content::Copied(buffer) => buffer.capacity(),
            Content::Shared(bytes) => bytes.len(),
        };
        self.runs.iter().map(held).sum()
    }

    /// The number after the last byte: that of the FIN, once there is one.
    #[inline]
    pub(crate) fn end(&self) -> SeqNumber {
        self.start + self.len
    }

    /// Free space for at most so many bytes, in one piece; empty when there is no memory. What is put there
    /// counts after [`filled`](Self::filled).
    pub(crate) fn room(&mut self, max: usize, memory: &mut Memory) -> &mut [u8] {
        let needs_run = match self.runs.back() {
            Some(Run { content: Content::Copied(buffer), .. }) => buffer.room_len() == 0,
            _ => true,
        };
        if needs_run {
            // The more is queued, the larger the piece: few pieces for many bytes, little memory for few.
            let Some(buffer) = memory.take((self.len as usize * 2).max(1), Purpose::Send) else {
                return &mut [];
            };
            self.runs.push_back(Run { start: self.end(), content: Content::Copied(buffer) });
        }
        match self.runs.back_mut() {
            Some(Run { content: Content::Copied(buffer), .. }) => {
                let room = buffer.room();
                let count = room.len().min(max);
                room.get_mut(..count).unwrap_or_default()
            }
            _ => &mut [],
        }
    }

    /// So many bytes were put into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        if let Some(Run { content: Content::Copied(buffer), .. }) = self.runs.back_mut() {
            buffer.filled(count);
            self.len += count as u32;
        }
    }

    /// Gives a piece of room back into which nothing was put.
    pub(crate) fn trim(&mut self, memory: &mut Memory) {
        let is_empty =
            |run: &Run| matches!(&run.content, Content::Copied(buffer) if buffer.len() == 0);
        if self.runs.back().is_some_and(is_empty) {
            let last = self.runs.len() - 1;
            if let Some(Run { content: Content::Copied(buffer), .. }) = self.runs.remove(last) {
                memory.give(buffer);
            }
        }
    }

    /// Adds bytes that stay where they are, of which there may be at most [`Memory::available`]. They count as
    /// held: who lent them may have no other use for them.
    pub(crate) fn share(&mut self, bytes: Bytes, memory: &mut Memory) {
        self.trim(memory);
        let len = bytes.len() as u32;
        if len > 0 && memory.hold(bytes.len(), Purpose::Send) {
            self.runs.push_back(Run { start: self.end(), content: Content::Shared(bytes) });
            self.len += len;
        }
    }

    /// Everything before `to` was acknowledged and is no longer needed.
    #[inline]
    pub(crate) fn acknowledge(&mut self, to: SeqNumber, memory: &mut Memory) {
        let mut count = to.distance_from(self.start).min(self.len);
        self.len -= count;
        self.start = self.start + count;
        while count > 0 {
            let Some(run) = self.runs.front_mut() else { return };
            let taken = run.len().min(count as usize);
            run.start = run.start + taken as u32;
            count -= taken as u32;
            let is_done = match &mut run.content {
                Content::Copied(buffer) => {
                    buffer.advance(taken);
                    buffer.len() == 0
                }
                Content::Shared(bytes) => {
                    memory.release(taken);
                    bytes.advance(taken);
                    bytes.is_empty()
                }
            };
            if is_done
                && let Some(Run { content: Content::Copied(buffer), .. }) = self.runs.pop_front()
            {
                memory.give(buffer);
            }
        }
    }

    /// The data of a segment that begins at `seq`.
    pub(crate) fn slices(&self, seq: SeqNumber, len: u32) -> Slices<'_> {
        let index = self.index(seq);
        Slices { buffer: self, index, seq, left: len }
    }

    /// How many of `len` bytes from `seq` on make a segment that is whole and whose end may be shared: after
    /// a long shared run it ends, so that a device finds at most one piece of memory beside the head.
    pub(crate) fn cut(&self, seq: SeqNumber, len: u32, mss: u32) -> u32 {
        let mut taken = 0;
        let mut index = self.index(seq);
        let mut at = seq;
        while taken < len {
            let Some(run) = self.runs.get(index) else { break };
            let part = run.end().distance_from(at).min(len - taken);
            taken += part;
            if matches!(run.content, Content::Shared(_)) && part >= SHARED_LONG && taken < len {
                // A whole number of segments; the rest of the run goes with what follows.
                return if taken > mss { taken - taken % mss } else { len.min(mss) };
            }
            at = at + part;
            index += 1;
        }
        len
    }

    /// Gives all memory back and forgets the bytes.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        while let Some(run) = self.runs.pop_front() {
            match run.content {
                Content::Copied(buffer) => memory.give(buffer),
                Content::Shared(bytes) => memory.release(bytes.len()),
            }
        }
        self.start = self.end();
        self.len = 0;
    }

    /// The run that has `seq` in it.
    fn index(&self, seq: SeqNumber) -> usize {
        self.runs.partition_point(|run| !run.end().is_after(seq))
    }
}

/// Shared runs from this length on are worth a piece of memory of their own in a segment.
const SHARED_LONG: u32 = 4 << 10;

impl Run {
    fn len(&self) -> usize {
        match &self.content {
            Content::Copied(buffer) => buffer.len(),
            Content::Shared(bytes) => bytes.len(),
        }
    }

    fn end(&self) -> SeqNumber {
        self.start + self.len() as u32
    }
}

/// The data of a segment, piece by piece.
#[derive(Debug)]
pub struct Slices<'a> {
    buffer: &'a SendBuffer,
    index: usize,
    seq: SeqNumber,
    left: u32,
}

impl<'a> Iterator for Slices<'a> {
    type Item = Slice<'a>;

    fn next(&mut self) -> Option<Slice<'a>> {
        if self.left == 0 {
            return None;
        }
        let run = self.buffer.runs.get(self.index)?;
        let from = self.seq.distance_from(run.start) as usize;
        let count = run.len().checked_sub(from)?.min(self.left as usize);
        self.index += 1;
        self.seq = self.seq + count as u32;
        self.left -= count as u32;
        Some(match &run.content {
            Content::Copied(buffer) => {
                Slice::Copied(buffer.bytes().get(from..from + count).unwrap_or_default())
            }
            Content::Shared(whole) => Slice::Shared { whole, range: (from, from + count) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn write(buffer: &mut SendBuffer, bytes: &[u8], memory: &mut Memory) {
        buffer.room(bytes.len(), memory).copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    fn text(buffer: &SendBuffer, seq: SeqNumber, len: u32) -> Vec<u8> {
        buffer.slices(seq, len).flat_map(|slice| slice.bytes().to_vec()).collect()
    }

    #[test]
    fn copied_and_shared_runs_keep_their_order_and_their_place() {
        let mut memory = Memory::new(1 << 20);
        let start = SeqNumber(u32::MAX - 3);
        let mut buffer = SendBuffer::new(start);
        write(&mut buffer, b"head ", &mut memory);
        let body = Bytes::from_static(b"shared body");
        buffer.share(body.clone(), &mut memory);
        write(&mut buffer, b" tail", &mut memory);
        assert_eq!((buffer.len(), buffer.end()), (21, start + 21));
        assert_eq!(text(&buffer, start, 21), b"head shared body tail");
        assert_eq!(text(&buffer, start + 3, 6), b"d shar");
        let slices: Vec<_> = buffer.slices(start + 3, 6).collect();
        assert_eq!(slices[1].shared().unwrap().as_ptr(), body.as_ptr());
        buffer.acknowledge(start + 8, &mut memory);
        assert_eq!(text(&buffer, start + 8, 13), b"red body tail");
        buffer.acknowledge(start + 21, &mut memory);
        assert_eq!((buffer.len(), memory.held_bytes(), buffer.runs.len()), (0, 0, 0));
    }

    #[test]
    fn room_that_stays_empty_goes_back() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = SendBuffer::new(SeqNumber(0));
        assert_eq!(buffer.room(9, &mut memory).len(), 9);
        buffer.trim(&mut memory);
        assert_eq!((memory.held_bytes(), buffer.runs.len()), (0, 0));
    }

    #[test]
    fn a_segment_ends_with_a_long_shared_run() {
        let mut memory = Memory::new(1 << 20);
        let mut buffer = SendBuffer::new(SeqNumber(0));
        write(&mut buffer, &[1; 200], &mut memory);
        buffer.share(Bytes::from(std::vec![2; 10_000]), &mut memory);
        write(&mut buffer, &[3; 200], &mut memory);
        assert_eq!(buffer.cut(SeqNumber(0), 10_400, 1_000), 10_000);
        assert_eq!(buffer.cut(SeqNumber(10_000), 400, 1_000), 400);
        assert_eq!(buffer.cut(SeqNumber(0), 1_000, 1_000), 1_000);
        buffer.clear(&mut memory);
        assert_eq!((buffer.len(), buffer.end(), memory.held_bytes()), (0, SeqNumber(10_400), 0));
    }

    #[test]
    fn the_more_is_queued_the_larger_the_memory_and_all_of_it_comes_back() {
        let mut memory = Memory::new(4 << 20);
        let mut buffer = SendBuffer::new(SeqNumber(7));
        for (len, held) in [
            (1_000, 2_048),
            (1_048, 2_048),
            (1, 2_048 + 16_384),
            (16_383, 2_048 + 16_384),
            (1, 2_048 + 16_384 + 65_664),
        ] {
            write(&mut buffer, &std::vec![1; len], &mut memory);
            assert_eq!((memory.held_bytes(), buffer.held_bytes()), (held, held));
        }
        buffer.share(Bytes::from(std::vec![2; 3_000]), &mut memory);
        assert_eq!((buffer.len(), memory.held_bytes()), (21_433, 87_096));
        assert_eq!((buffer.held_bytes(), buffer.end()), (87_096, SeqNumber(21_440)));
        for (to, len, held) in [
            (7, 21_433, 87_096),
            (2_054, 19_386, 87_096),
            (2_055, 19_385, 85_048),
            (18_439, 3_001, 68_664),
            (18_440, 3_000, 3_000),
            (18_540, 2_900, 2_900),
            // Behind the end is the FIN.
            (21_441, 0, 0),
        ] {
            buffer.acknowledge(SeqNumber(to), &mut memory);
            let found = (buffer.len(), memory.held_bytes(), buffer.held_bytes());
            assert_eq!(found, (len, held, held), "{to}");
        }
        assert_eq!(buffer.end(), SeqNumber(21_440));
    }

    #[test]
    fn what_has_no_memory_is_not_shared_and_what_is_given_up_is_not_held() {
        let mut memory = Memory::new(4_000);
        let mut buffer = SendBuffer::new(SeqNumber(0));
        buffer.share(Bytes::from_static(&[1; 3_001]), &mut memory);
        assert_eq!((buffer.len(), memory.held_bytes(), buffer.runs.len()), (0, 0, 0));
        buffer.share(Bytes::new(), &mut memory);
        assert_eq!(buffer.runs.len(), 0);
        buffer.share(Bytes::from_static(&[1; 3_000]), &mut memory);
        assert_eq!((buffer.len(), memory.held_bytes()), (3_000, 3_000));
        assert!(buffer.room(9, &mut memory).is_empty() && buffer.runs.len() == 1);
        // A run with something in it is not given back.
        buffer.clear(&mut memory);
        assert_eq!((memory.held_bytes(), buffer.end()), (0, SeqNumber(3_000)));
        write(&mut buffer, b"abc", &mut memory);
        buffer.trim(&mut memory);
        assert_eq!((buffer.len(), text(&buffer, SeqNumber(3_000), 9)), (3, b"abc".to_vec()));
        // Nor is a shared one.
        buffer.share(Bytes::from_static(b"de"), &mut memory);
        buffer.trim(&mut memory);
        assert_eq!(text(&buffer, SeqNumber(3_001), 9), b"bcde");
        assert_eq!(text(&buffer, SeqNumber(3_003), 1), b"d");
        let slice = buffer.slices(SeqNumber(3_000), 1).next().unwrap();
        assert!(slice.shared().is_none());
    }

    #[test]
    fn a_segment_is_cut_behind_a_shared_run_of_four_kib_only() {
        for (first, shared, len, mss, cut) in [
            (200, 4_095, 4_400, 1_000, 4_400),
            (200, 4_096, 4_400, 1_000, 4_000),
            (200, 4_096, 4_296, 1_000, 4_296),
            (200, 5_800, 6_100, 1_000, 6_000),
            (200, 5_000, 5_300, 5_200, 5_200),
            (200, 5_000, 5_300, 6_000, 5_300),
            (200, 5_000, 150, 1_000, 150),
        ] {
            let mut memory = Memory::new(1 << 20);
            let mut buffer = SendBuffer::new(SeqNumber(0));
            write(&mut buffer, &std::vec![1; first], &mut memory);
            buffer.share(Bytes::from(std::vec![2; shared]), &mut memory);
            write(&mut buffer, &[3; 400], &mut memory);
            assert_eq!(buffer.cut(SeqNumber(0), len, mss), cut, "{shared} {len} {mss}");
        }
    }
}
