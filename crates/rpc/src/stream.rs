//! Byte streams of a connection, one half for each direction: messages out of them, and messages into
//! them, packed or not.

use crate::framing::{Deframer, Frame, FramingError};
use crate::limits::Limits;
use crate::packing::{Packer, Unpacker};
use crate::wire::encode::{self, Draft};
use crate::wire::envelope;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use capnp::OutputSegments;
use core::fmt;
use core::time::Duration;
use pace::{Pace, Wait};

/// How messages lie in a stream. Both ends must know; nothing in the stream says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As they lie in memory: what two parties use unless they agreed on something else.
    #[default]
    Plain,
    /// With zeros left out: fewer bytes for more work.
    Packed,
}

/// From the peer.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    deframer: Deframer,
    unpacker: Option<Unpacker>,
    pace: Pace,
    /// Part of a message is here.
    pub(crate) wait: Option<Wait>,
}

impl Incoming {
    pub(crate) fn new(encoding: Encoding, pace: Pace) -> Self {
        let unpacker = (encoding == Encoding::Packed).then(Unpacker::default);
        Self { unpacker, pace, ..Self::default() }
    }

    /// The next message, which may need some of `input`; `None` when that is used up.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Frame>, FramingError> {
        /// Unpacked at a time.
        const STEP_BYTES: usize = 1024;
        let frame = match &mut self.unpacker {
            None => self.deframer.next(input, limits)?,
            Some(unpacker) => {
                let mut step = [0; STEP_BYTES];
                loop {
                    let room = self.deframer.missing_bytes().min(STEP_BYTES);
                    let count = unpacker.unpack(input, &mut step[..room]);
                    if count == 0 {
                        break None;
                    }
                    let frame = self.deframer.next(&mut &step[..count], limits)?;
                    if frame.is_some() {
                        break frame;
                    }
                }
            }
        };
        if frame.is_some() {
            self.wait = None;
        }
        Ok(frame)
    }

    /// What is reserved for the message that comes in.
    pub(crate) fn held_bytes(&self) -> usize {
        self.deframer.held_bytes()
    }

    /// Notes that so many bytes came, the last of which may be part of a message.
    pub(crate) fn moved(&mut self, now: Duration, count: usize) {
        let unpacking = self.unpacker.as_ref().is_some_and(Unpacker::is_midway);
        let midway = unpacking || self.deframer.is_midway();
        self.wait = midway.then(|| self.pace.moved(self.wait, now, count));
    }
}

/// To the peer. Small messages lie one after the other; a large one stays where it was built.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// What was queued before `last`, its length in bytes, and what it takes.
    queue: VecDeque<Chunk>,
    queue_bytes: usize,
    queue_held: usize,
    last: Vec<u8>,
    /// Bytes of the first chunk, or of `last` if there is none, that left.
    taken: usize,
    packer: Option<Packer>,
    /// Whether the driver was told that there are bytes to send.
    pub(crate) signalled: bool,
    pace: Pace,
    /// Bytes are here that the peer has not taken.
    pub(crate) wait: Option<Wait>,
}

enum Chunk {
    Messages(Vec<u8>),
    /// The segments of one message, the first bytes of which are in the chunk before.
    Segments {
        draft: Draft,
        written: usize,
    },
}

/// Capacity that an empty queue of bytes keeps, for the next messages.
const BYTES_KEPT: usize = 16 << 10;
/// Length of the messages behind which others begin a new chunk.
const CHUNK_BYTES: usize = 16 << 10;
/// From this length on a message is not copied before it leaves.
const LARGE_BYTES: usize = 16 << 10;

impl Outgoing {
    pub(crate) fn new(encoding: Encoding, pace: Pace) -> Self {
        let packer = (encoding == Encoding::Packed).then(Packer::default);
        Self { packer, pace, ..Self::default() }
    }

    /// When the peer must have taken bytes, if there are any.
    pub(crate) fn deadline(&mut self, now: Duration) -> Option<Duration> {
        if self.unsent_bytes() == 0 {
            return None;
        }
        let pace = self.pace;
        Some(self.wait.get_or_insert_with(|| pace.start(now)).deadline)
    }

    /// Of what left before, the peer took so many bytes.
    pub(crate) fn peer_took(&mut self, now: Duration, count: usize) {
        if self.wait.is_some() {
            self.wait = Some(self.pace.moved(self.wait, now, count));
        }
    }

    /// Where to append messages. What is there already makes a chunk of its own once it is long, so
    /// that memory is given back as bytes leave, and not only when all have.
    pub(crate) fn messages(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= CHUNK_BYTES {
            self.close_chunk();
        }
        &mut self.last
    }

    fn close_chunk(&mut self) {
        let messages = core::mem::take(&mut self.last);
        self.push(Chunk::Messages(messages));
    }

    fn push(&mut self, chunk: Chunk) {
        self.queue_bytes += chunk.bytes();
        self.queue_held += chunk.held_bytes();
        self.queue.push_back(chunk);
    }

    /// What the queue takes.
    pub(crate) fn held_bytes(&self) -> usize {
        let packer = self.packer.as_ref().map_or(0, Packer::held_bytes);
        let places = self.queue.capacity() * size_of::<Chunk>();
        self.queue_held + self.last.capacity() + places + packer
    }

    /// Appends a message; if it is large, takes it out of `draft`.
    pub(crate) fn append(&mut self, draft: &mut Draft) {
        if self.copies(draft) {
            return encode::append(self.messages(), draft);
        }
        self.append_large(draft, 0);
    }

    /// As [`append`](Self::append), for results whose envelope was filled in.
    pub(crate) fn append_results(&mut self, draft: &mut Draft) {
        if self.copies(draft) {
            return encode::append_results(self.messages(), draft);
        }
        let root = envelope::ROOT.to_le_bytes();
        encode::append_table(self.messages(), draft);
        self.last.extend_from_slice(&root);
        self.append_large(draft, root.len());
    }

    /// Whether a message is copied, rather than sent from where it was built.
    fn copies(&self, draft: &Draft) -> bool {
        // The packer needs whole messages in one piece.
        draft.size_in_words() * 8 < LARGE_BYTES || self.packer.is_some()
    }

    /// Takes a message out of `draft`, but for its first bytes, which are written already.
    fn append_large(&mut self, draft: &mut Draft, written: usize) {
        if written == 0 {
            encode::append_table(self.messages(), draft);
        }
        let draft = core::mem::replace(draft, encode::draft(0));
        self.close_chunk();
        self.push(Chunk::Segments { draft, written });
    }

    /// Bytes that have not left; what waits to be packed counts as it lies.
    pub(crate) fn unsent_bytes(&self) -> usize {
        let packed = self.packer.as_ref().map_or(0, |packer| packer.unsent().len());
        self.queue_bytes + self.last.len() - self.taken + packed
    }

    /// Moves bytes to `buffer`; how many.
    pub(crate) fn take(&mut self, now: Duration, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len() && self.unsent_bytes() > 0 {
            let space = &mut buffer[count..];
            count += self.take_with(now, |bytes| {
                let length = bytes.len().min(space.len());
                space[..length].copy_from_slice(&bytes[..length]);
                length
            });
        }
        count
    }

    /// Shows the next bytes to `write`, which says how many it took.
    pub(crate) fn take_with(&mut self, now: Duration, write: impl FnOnce(&[u8]) -> usize) -> usize {
        let bytes = self.next_bytes();
        let count = write(bytes).min(bytes.len());
        self.advance(count);
        if count > 0 {
            self.wait = Some(self.pace.moved(self.wait, now, count));
        }
        if self.unsent_bytes() == 0 {
            self.clear();
        }
        count
    }

    /// Forgets what has not left.
    pub(crate) fn clear(&mut self) {
        let packer = self.packer.take().map(|_| Packer::default());
        let mut last = core::mem::take(&mut self.last);
        last.clear();
        last.shrink_to(BYTES_KEPT);
        *self = Self { last, packer, pace: self.pace, ..Self::default() };
    }

    fn next_bytes(&mut self) -> &[u8] {
        if self.packer.as_ref().is_some_and(|packer| packer.unsent().is_empty()) {
            self.drop_taken();
        }
        let messages = match self.queue.front() {
            Some(Chunk::Messages(messages)) => &messages[self.taken..],
            Some(Chunk::Segments { draft, written }) => {
                return segment_at(draft, self.taken + written);
            }
            None => &self.last[self.taken..],
        };
        match &mut self.packer {
            None => messages,
            Some(packer) => {
                if packer.unsent().is_empty() {
                    self.taken += packer.refill(messages);
                }
                packer.unsent()
            }
        }
    }

    fn advance(&mut self, count: usize) {
        if let Some(packer) = &mut self.packer {
            return packer.advance(count);
        }
        self.taken += count;
        self.drop_taken();
    }

    /// Gives back the chunks that have left.
    fn drop_taken(&mut self) {
        while let Some(chunk) = self.queue.front() {
            let bytes = chunk.bytes();
            if bytes > self.taken {
                return;
            }
            self.queue_held -= chunk.held_bytes();
            self.queue.pop_front();
            self.queue_bytes -= bytes;
            self.taken -= bytes;
        }
    }
}

impl Chunk {
    /// What it takes.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.capacity(),
            // Segments are reserved whole; what is not used of the last is not known.
            Self::Segments { .. } => self.bytes() + size_of::<Draft>(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.len(),
            Self::Segments { draft, written } => {
                let segments = draft.get_segments_for_output();
                segments.iter().map(|segment| segment.len()).sum::<usize>() - written
            }
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("bytes", &self.bytes()).finish()
    }
}

/// The rest of the segment that holds byte `at` of all.
fn segment_at(draft: &Draft, mut at: usize) -> &[u8] {
    match draft.get_segments_for_output() {
        OutputSegments::SingleSegment([segment]) => segment.get(at..).unwrap_or_default(),
        OutputSegments::MultiSegment(segments) => {
            for segment in segments {
                match segment.get(at..) {
                    Some(rest) if !rest.is_empty() => return rest,
                    _ => at = at.saturating_sub(segment.len()),
                }
            }
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use alloc::vec;

    /// A message whose segment has so many bytes.
    fn draft_of(bytes: usize) -> Draft {
        let mut payload = Payload::params((bytes / 8) as u32);
        let data = vec![1; bytes - payload.bytes()];
        payload.content_mut().unwrap().set_as::<capnp::data::Owned>(&data[..]).unwrap();
        assert_eq!(payload.bytes(), bytes);
        payload.take_params().unwrap().0
    }

    fn outgoing(encoding: Encoding) -> Outgoing {
        let pace = Pace { timeout: Duration::from_secs(60), bytes_per_second_min: 500 };
        Outgoing::new(encoding, pace)
    }

    /// The pieces in which all is shown that waits.
    fn pieces(out: &mut Outgoing) -> Vec<usize> {
        let piece = |out: &mut Outgoing| out.take_with(Duration::ZERO, |bytes| bytes.len());
        core::iter::from_fn(|| Some(piece(out)).filter(|count| *count > 0)).collect()
    }

    #[test]
    fn from_16_kib_on_a_message_leaves_from_where_it_was_built() {
        for (bytes, plain) in [(16_376, &[16_384][..]), (16_384, &[8, 16_384])] {
            let mut out = outgoing(Encoding::Plain);
            out.append(&mut draft_of(bytes));
            assert_eq!(out.unsent_bytes(), bytes + 8);
            assert_eq!(pieces(&mut out), plain, "{bytes} bytes");
            // What is packed has to lie in one piece.
            let mut out = outgoing(Encoding::Packed);
            out.append(&mut draft_of(bytes));
            assert_eq!(out.queue.len(), 0);
        }
    }

    #[test]
    fn small_messages_leave_together_until_they_are_16_kib() {
        let mut out = outgoing(Encoding::Plain);
        (0..5).for_each(|_| out.append(&mut draft_of(8_184)));
        assert_eq!(pieces(&mut out), [16_384, 16_384, 8_192]);
    }

    #[test]
    fn what_waits_is_weighed_as_it_leaves() {
        let mut out = outgoing(Encoding::Plain);
        assert_eq!(out.held_bytes(), 0);
        out.last = Vec::with_capacity(20_000);
        out.append(&mut draft_of(8_000));
        assert_eq!(out.held_bytes(), 20_000);
        out.append(&mut draft_of(100_000));
        out.append(&mut draft_of(30_000));
        let places = out.queue.capacity() * size_of::<Chunk>();
        assert_eq!(out.queue.len(), 4, "a table of its own before each that is long");
        let Chunk::Messages(table) = &out.queue[2] else { panic!("a table") };
        let table = table.capacity();
        let drafts = 130_000 + 2 * size_of::<Draft>();
        assert_eq!(out.held_bytes(), 20_000 + drafts + table + places);
        assert_eq!(alloc::format!("{:?}", out.queue[1]), "Chunk { bytes: 100000 }");
        assert_eq!(out.take_with(Duration::ZERO, <[u8]>::len), 8_016);
        assert_eq!(out.held_bytes(), drafts + table + places);
        assert_eq!(out.take_with(Duration::ZERO, <[u8]>::len), 100_000);
        assert_eq!(out.held_bytes(), 30_000 + size_of::<Draft>() + table + places);

        let mut packed = outgoing(Encoding::Packed);
        packed.packer.as_mut().unwrap().refill(&[0, 0, 0, 0, 1, 0, 0, 0]);
        let packer = packed.packer.as_ref().unwrap().held_bytes();
        assert!((3..300).contains(&packer), "{packer}");
        packed.last = Vec::with_capacity(1_000);
        assert_eq!(packed.held_bytes(), 1_000 + packer);
    }

    #[test]
    fn an_empty_queue_keeps_room_for_the_next_messages_but_not_much() {
        for (room, kept) in [(9_000, 9_000), (100_000, 16_384)] {
            let mut out = outgoing(Encoding::Plain);
            out.last = Vec::with_capacity(room);
            out.append(&mut draft_of(8_000));
            assert_eq!(pieces(&mut out), [8_008]);
            assert_eq!(out.held_bytes(), kept);
        }
    }

    #[test]
    fn who_takes_nothing_has_not_begun() {
        let mut out = outgoing(Encoding::Plain);
        out.append(&mut draft_of(8_000));
        assert_eq!(out.take_with(Duration::ZERO, |_| 0), 0);
        let later = Duration::from_secs(10);
        assert_eq!(out.deadline(later), Some(Duration::from_secs(70)));
    }
}
