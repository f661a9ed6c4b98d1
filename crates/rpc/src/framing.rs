//! Message framing: messages out of a stream of bytes (Cap'n Proto encoding specification, "Serialization over a
//! stream"): a table of segment sizes, then the segments.

use crate::limits::Limits;
use alloc::boxed::Box;
use alloc::vec::Vec;
use capnp::Word;
use capnp::message::ReaderSegments;

const WORD_BYTES: usize = 8;
/// Words reserved for a message on its sender's word alone.
const FIRST_WORDS: usize = 1024;
/// How many times what has arrived may be reserved.
const AHEAD: usize = 16;

/// One whole message as received, its segments one after the other.
#[derive(Debug)]
pub(crate) struct Frame {
    words: Vec<Word>,
    /// Of a message with several segments.
    ends: Option<Box<Ends>>,
    /// Its root was replaced by what the envelope holds.
    content_at_root: bool,
}

/// Where each segment but the last ends, in words.
#[derive(Debug)]
struct Ends(Vec<u32>);

impl Frame {
    fn new(ends: Vec<u32>) -> Self {
        let ends = if ends.is_empty() { None } else { Some(Box::new(Ends(ends))) };
        Self { words: Vec::new(), ends, content_at_root: false }
    }

    fn ends(&self) -> &[u32] {
        self.ends.as_ref().map_or(&[], |ends| &ends.0)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * WORD_BYTES
    }

    /// The words of the segment, if there is only one.
    pub(crate) fn single_segment(&self) -> Option<&[[u8; WORD_BYTES]]> {
        self.ends.is_none().then(|| Word::words_to_bytes(&self.words).as_chunks().0)
    }

    /// Makes its contents the root, by a pointer to them in place of the one to the message.
    pub(crate) fn set_root(&mut self, pointer: u64) {
        if let Some(root) = self.words.first_mut() {
            *root = word(&pointer.to_le_bytes());
            self.content_at_root = true;
        }
    }

    /// Whether the root is the contents, rather than the message.
    pub(crate) fn has_content_at_root(&self) -> bool {
        self.content_at_root
    }
}

impl ReaderSegments for Frame {
    fn get_segment(&self, index: u32) -> Option<&[u8]> {
        if self.ends.is_none() && index == 0 {
            return Some(Word::words_to_bytes(&self.words));
        }
        let index = index as usize;
        let end_of = |index: usize| self.ends().get(index).map(|end| *end as usize);
        let start = if index == 0 { 0 } else { end_of(index - 1)? };
        let end = end_of(index).unwrap_or(self.words.len());
        self.words.get(start..end).map(Word::words_to_bytes)
    }

    fn len(&self) -> usize {
        self.ends().len() + 1
    }
}

/// Why a stream is not a sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// More segments than [`Limits::segments_max`].
    Segments,
    /// More words than [`Limits::message_words_max`].
    Words,
    /// No word at all: not even a root pointer.
    Empty,
}

#[derive(Debug)]
enum Part {
    /// Bytes of the segment table so far.
    Table(Vec<u8>),
    /// The segments, of `total` words; a word that is not whole waits in `partial`.
    Body { frame: Frame, partial: Partial, total: usize },
}

/// The first bytes of a word.
#[derive(Debug, Default)]
struct Partial {
    bytes: [u8; WORD_BYTES],
    length: usize,
}

/// Takes bytes cut anywhere and yields messages.
#[derive(Debug)]
pub(crate) struct Deframer {
    part: Part,
}

impl Default for Deframer {
    fn default() -> Self {
        Self { part: Part::Table(Vec::new()) }
    }
}

impl Deframer {
    /// Takes from the front of `input` what belongs to the current message; the message when that
    /// completed it. After an error the stream has no meaning any more.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Frame>, FramingError> {
        if let Part::Table(table) = &mut self.part {
            if table.is_empty()
                && let Some(frame) = whole(input, limits)?
            {
                return Ok(Some(frame));
            }
            let Some(body) = read_table(table, input, limits)? else {
                return Ok(None);
            };
            self.part = body;
        }
        let Part::Body { frame, partial, total } = &mut self.part else {
            return Ok(None);
        };
        fill(&mut frame.words, partial, *total, input);
        if frame.words.len() < *total {
            return Ok(None);
        }
        match core::mem::take(self).part {
            Part::Body { frame, .. } => Ok(Some(frame)),
            Part::Table(_) => Ok(None),
        }
    }

    /// Bytes that the message is known to need still: at least one word.
    pub(crate) fn missing_bytes(&self) -> usize {
        match &self.part {
            Part::Table(table) => {
                let last = word_at(table, 0).unwrap_or(0) as usize;
                (8 + 4 * last).next_multiple_of(WORD_BYTES) - table.len()
            }
            Part::Body { frame, partial, total } => {
                (*total - frame.words.len()) * WORD_BYTES - partial.length
            }
        }
    }

    /// What is reserved for the part of a message that is here.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.part {
            Part::Table(table) => table.capacity(),
            Part::Body { frame, .. } => {
                frame.words.capacity() * WORD_BYTES + size_of_val(frame.ends())
            }
        }
    }

    /// Whether part of a message is here.
    pub(crate) fn is_midway(&self) -> bool {
        !matches!(&self.part, Part::Table(table) if table.is_empty())
    }
}

/// The message at the front of `input`, if all of it is there and it has but one segment, as most do.
fn whole(input: &mut &[u8], limits: &Limits) -> Result<Option<Frame>, FramingError> {
    let Some(([0, 0, 0, 0, length @ ..], rest)) = input.split_first_chunk::<WORD_BYTES>() else {
        return Ok(None);
    };
    let total = u32::from_le_bytes(*length);
    if total > limits.message_words_max {
        return Err(FramingError::Words);
    }
    if total == 0 {
        return Err(FramingError::Empty);
    }
    let (words, _) = rest.as_chunks::<WORD_BYTES>();
    let Some(body) = words.get(..total as usize) else { return Ok(None) };
    *input = &rest[total as usize * WORD_BYTES..];
    let words = body.iter().map(word).collect();
    Ok(Some(Frame { words, ..Frame::new(Vec::new()) }))
}

/// Moves bytes of the segment table from `input` to `table`; the empty body once it is whole.
fn read_table(
    table: &mut Vec<u8>,
    input: &mut &[u8],
    limits: &Limits,
) -> Result<Option<Part>, FramingError> {
    take_until(table, input, 4);
    let Some(count) = word_at(table, 0) else {
        return Ok(None);
    };
    let count = count.checked_add(1).filter(|count| *count <= limits.segments_max);
    let count = count.ok_or(FramingError::Segments)? as usize;
    // The table is padded to a whole word.
    let table_bytes = (4 + 4 * count).next_multiple_of(WORD_BYTES);
    take_until(table, input, table_bytes);
    if table.len() < table_bytes {
        return Ok(None);
    }
    let mut ends = Vec::with_capacity(count - 1);
    let mut total = 0u32;
    for index in 0..count {
        let words = word_at(table, index + 1).ok_or(FramingError::Segments)?;
        total = total.checked_add(words).ok_or(FramingError::Words)?;
        if total > limits.message_words_max {
            return Err(FramingError::Words);
        }
        if index + 1 < count {
            ends.push(total);
        }
    }
    if total == 0 {
        return Err(FramingError::Empty);
    }
    let frame = Frame::new(ends);
    Ok(Some(Part::Body { frame, partial: Partial::default(), total: total as usize }))
}

fn take_until(table: &mut Vec<u8>, input: &mut &[u8], length: usize) {
    let missing = length.saturating_sub(table.len()).min(input.len());
    let (taken, rest) = input.split_at(missing);
    table.extend_from_slice(taken);
    *input = rest;
}

fn word_at(table: &[u8], index: usize) -> Option<u32> {
    let bytes = table.get(4 * index..4 * index + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Moves whole words from `input` to `words`, up to `total`; room follows what arrived.
fn fill(words: &mut Vec<Word>, partial: &mut Partial, total: usize, input: &mut &[u8]) {
    if partial.length > 0 {
        words.extend(partial.complete(input));
    }
    let (whole, _) = input.as_chunks::<WORD_BYTES>();
    let whole = &whole[..whole.len().min(total - words.len())];
    let arrived = words.len() + whole.len();
    if words.capacity() < arrived {
        let wanted = (arrived * AHEAD).max(FIRST_WORDS).min(total);
        words.reserve_exact(wanted - words.len());
    }
    words.extend(whole.iter().map(word));
    *input = &input[whole.len() * WORD_BYTES..];
    if words.len() < total {
        words.extend(partial.complete(input));
    }
}

impl Partial {
    /// Takes what is missing from `input`; the word, once whole.
    fn complete(&mut self, input: &mut &[u8]) -> Option<Word> {
        let count = (WORD_BYTES - self.length).min(input.len());
        let (taken, rest) = input.split_at(count);
        self.bytes[self.length..][..count].copy_from_slice(taken);
        self.length += count;
        *input = rest;
        if self.length < WORD_BYTES {
            return None;
        }
        self.length = 0;
        Some(word(&self.bytes))
    }
}

fn word(&[a, b, c, d, e, f, g, h]: &[u8; WORD_BYTES]) -> Word {
    capnp::word(a, b, c, d, e, f, g, h)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn table(sizes: &[u32]) -> Vec<u8> {
        let mut bytes = (sizes.len() as u32 - 1).to_le_bytes().to_vec();
        for size in sizes {
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn message(sizes: &[u32]) -> Vec<u8> {
        let mut bytes = table(sizes);
        let words: u32 = sizes.iter().sum();
        bytes.extend((0..words * 8).map(|i| i as u8));
        bytes
    }

    fn next(bytes: &[u8], limits: &Limits) -> Result<Option<Frame>, FramingError> {
        Deframer::default().next(&mut &bytes[..], limits)
    }

    #[test]
    fn cut_at_every_byte_the_same_segments_come_out() {
        let limits = Limits::default();
        let bytes = message(&[2, 0, 3]);
        for cut in 0..bytes.len() {
            let mut deframer = Deframer::default();
            let mut first = &bytes[..cut];
            assert!(deframer.next(&mut first, &limits).unwrap().is_none(), "cut {cut}");
            assert!(first.is_empty());
            assert_eq!(deframer.is_midway(), cut > 0);
            let frame = deframer.next(&mut &bytes[cut..], &limits).unwrap().unwrap();
            assert_eq!(frame.len(), 3);
            assert_eq!(frame.get_segment(0), Some(&bytes[16..32]));
            assert_eq!(frame.get_segment(1), Some(&[][..]));
            assert_eq!(frame.get_segment(2), Some(&bytes[32..56]));
            assert_eq!(frame.get_segment(3), None);
        }
    }

    #[test]
    fn two_messages_in_one_input() {
        let limits = Limits::default();
        let mut bytes = message(&[1]);
        bytes.extend(message(&[2]));
        let mut input = &bytes[..];
        let mut deframer = Deframer::default();
        assert_eq!(deframer.next(&mut input, &limits).unwrap().unwrap().bytes(), 8);
        assert_eq!(deframer.next(&mut input, &limits).unwrap().unwrap().bytes(), 16);
        assert!(deframer.next(&mut input, &limits).unwrap().is_none());
    }

    #[test]
    fn segment_counts_that_lie_are_refused() {
        let limits = Limits { segments_max: 3, ..Limits::default() };
        assert!(next(&message(&[1, 1, 1]), &limits).unwrap().is_some());
        assert_eq!(next(&table(&[1, 1, 1, 1]), &limits).unwrap_err(), FramingError::Segments);
        assert_eq!(next(&[255; 4], &limits).unwrap_err(), FramingError::Segments);
    }

    #[test]
    fn word_counts_are_refused_before_a_byte_is_reserved() {
        let limits = Limits { message_words_max: 10, ..Limits::default() };
        assert!(next(&message(&[5, 5]), &limits).unwrap().is_some());
        assert_eq!(next(&table(&[5, 6]), &limits).unwrap_err(), FramingError::Words);
        assert_eq!(next(&table(&[u32::MAX, 2]), &limits).unwrap_err(), FramingError::Words);
        assert_eq!(next(&table(&[0, 0]), &limits).unwrap_err(), FramingError::Empty);
    }

    #[test]
    fn a_message_of_one_segment_that_is_there_is_taken_at_once() {
        let limits = Limits { message_words_max: 3, ..Limits::default() };
        let bytes = [message(&[3]), vec![7]].concat();
        let mut input = &bytes[..];
        let frame = whole(&mut input, &limits).unwrap().expect("a whole message");
        assert_eq!((frame.get_segment(0), frame.get_segment(1)), (Some(&bytes[8..32]), None));
        assert_eq!((frame.bytes(), input), (24, &[7][..]));
        for (bytes, taken) in [(&bytes[..31], Ok(())), (&table(&[4]), Err(FramingError::Words))] {
            assert_eq!(
                whole(&mut &bytes[..], &limits).map(|frame| assert!(frame.is_none())),
                taken
            );
        }
    }

    #[test]
    fn what_a_message_needs_still_is_known_at_every_byte() {
        let limits = Limits::default();
        let mut deframer = Deframer::default();
        for (at, byte) in message(&[2, 0, 3]).iter().enumerate() {
            let missing = match at {
                0..4 => 8 - at,
                4..16 => 16 - at,
                _ => 56 - at,
            };
            assert_eq!(deframer.missing_bytes(), missing, "at {at}");
            assert_eq!(deframer.next(&mut &[*byte][..], &limits).unwrap().is_some(), at == 55);
        }
        assert_eq!(deframer.missing_bytes(), 8, "of the next");
    }

    #[test]
    fn what_half_a_message_holds_is_weighed_as_it_grows() {
        let limits = Limits::default();
        let mut deframer = Deframer::default();
        let bytes = message(&[20_000, 0, 80_000]);
        // Its segments' ends lie beside it: two of four bytes.
        for (from, to, held) in [
            (0, 16, 8),
            (16, 24, 8_192 + 8),
            (24, 16 + 8_192, 8_192 + 8),
            (16 + 8_192, 24 + 8_192, 16 * 8_200 + 8),
            (24 + 8_192, bytes.len() - 1, 800_000 + 8),
        ] {
            assert!(deframer.next(&mut &bytes[from..to], &limits).unwrap().is_none());
            assert_eq!(deframer.held_bytes(), held, "after {to} bytes");
        }
    }

    #[test]
    fn memory_follows_what_arrived_not_what_was_announced() {
        let limits = Limits::default();
        let mut deframer = Deframer::default();
        let mut bytes = table(&[limits.message_words_max]);
        bytes.extend(vec![0; 100]);
        assert!(deframer.next(&mut &bytes[..], &limits).unwrap().is_none());
        let Part::Body { frame, .. } = &deframer.part else { panic!("in the body") };
        assert_eq!(frame.words.capacity(), 1024, "of the eight million that were announced");
    }
}
