//! Packed encoding: words with their zeros left out (Cap'n Proto encoding specification, "Packing"): a tag byte says
//! which of a word's eight bytes are not zero, and only those follow. After tag 0x00 comes how many
//! more words are zero, after tag 0xFF how many more follow as they are.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

const WORD_BYTES: usize = 8;
/// Words that one count can stand for.
const RUN_WORDS_MAX: usize = 255;

/// Takes packed bytes cut anywhere and yields whole words. It holds at most one word, so that no
/// memory follows from what the peer says; two bytes can yield 2 KiB of zeros, as room is given.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Tag,
    /// The first `at` bytes of a word; those whose bit is set in `tag` come from the input.
    Word {
        tag: u8,
        at: u8,
        word: [u8; WORD_BYTES],
        /// Words after it in a run of words as they are; `None` for a word with a tag of its own.
        run: Option<u8>,
    },
    ZeroCount,
    Zeros(u8),
    LiteralCount,
    Literal(u8),
}

impl Unpacker {
    /// Moves words from the front of `input` to `out`; how many bytes. Stops when the input is used
    /// up or `out` has no room for a word.
    pub(crate) fn unpack(&mut self, input: &mut &[u8], out: &mut [u8]) -> usize {
        let mut written = 0;
        while out.len() - written >= WORD_BYTES {
            let room = &mut out[written..];
            match self.state {
                State::Zeros(0) | State::Literal(0) => self.state = State::Tag,
                State::Zeros(count) => {
                    let words = (room.len() / WORD_BYTES).min(count.into());
                    room[..words * WORD_BYTES].fill(0);
                    written += words * WORD_BYTES;
                    self.state = State::Zeros(count - words as u8);
                }
                State::Literal(count) => {
                    let words = room.len().min(input.len()) / WORD_BYTES;
                    let words = words.min(count.into());
                    let (taken, rest) = input.split_at(words * WORD_BYTES);
                    room[..taken.len()].copy_from_slice(taken);
                    *input = rest;
                    written += taken.len();
                    self.state = match words {
                        0 => State::word(0xFF, Some(count - 1)),
                        _ => State::Literal(count - words as u8),
                    };
                }
                State::Word { .. } => match self.take_word(input) {
                    Some(word) => {
                        room[..WORD_BYTES].copy_from_slice(&word);
                        written += WORD_BYTES;
                    }
                    None => break,
                },
                State::Tag | State::ZeroCount | State::LiteralCount => {
                    let Some((first, rest)) = input.split_first() else { break };
                    *input = rest;
                    self.state = match self.state {
                        State::ZeroCount => State::Zeros(*first),
                        State::LiteralCount => State::Literal(*first),
                        _ => State::word(*first, None),
                    };
                }
            }
        }
        written
    }

    /// Whether a word or a run is not complete.
    pub(crate) fn is_midway(&self) -> bool {
        !matches!(self.state, State::Tag)
    }

    /// The word that is under way, once all its bytes are here.
    fn take_word(&mut self, input: &mut &[u8]) -> Option<[u8; WORD_BYTES]> {
        let State::Word { tag, at, word, run } = &mut self.state else {
            return None;
        };
        while usize::from(*at) < WORD_BYTES {
            if *tag & (1 << *at) != 0 {
                let (first, rest) = input.split_first()?;
                word[usize::from(*at)] = *first;
                *input = rest;
            }
            *at += 1;
        }
        let whole = *word;
        self.state = match (*run, *tag) {
            (Some(count), _) => State::Literal(count),
            (None, 0) => State::ZeroCount,
            (None, 0xFF) => State::LiteralCount,
            (None, _) => State::Tag,
        };
        Some(whole)
    }
}

impl State {
    fn word(tag: u8, run: Option<u8>) -> Self {
        Self::Word { tag, at: 0, word: [0; WORD_BYTES], run }
    }
}

/// Packs a stream of messages. No run goes past the end of a segment, since other readers unpack
/// segment by segment.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    /// Bytes of the parts of the current message that are not packed: segment table, segments.
    parts: VecDeque<usize>,
    packed: Vec<u8>,
    /// Bytes of `packed` that left.
    sent: usize,
}

/// Bytes packed at a time, so that a large message is not held twice.
const PART_BYTES_MAX: usize = 64 << 10;

impl Packer {
    /// Packed bytes to send.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.packed[self.sent..]
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.sent += count;
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.packed.capacity() + self.parts.capacity() * size_of::<usize>()
    }

    /// Packs the next part of `messages`, whole ones but for what was taken before; how many bytes
    /// it takes.
    pub(crate) fn refill(&mut self, messages: &[u8]) -> usize {
        if self.parts.is_empty() {
            self.parts = parts(messages);
        }
        let Some(part) = self.parts.front_mut() else {
            return 0;
        };
        let taken = (*part).min(PART_BYTES_MAX).min(messages.len());
        *part -= taken;
        if *part == 0 {
            self.parts.pop_front();
        }
        self.packed.clear();
        self.sent = 0;
        pack(&messages[..taken], &mut self.packed);
        taken
    }
}

/// The lengths of the first message's segment table and segments.
fn parts(messages: &[u8]) -> VecDeque<usize> {
    let mut numbers = messages
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize);
    let Some(count) = numbers.next().map(|last| last + 1) else {
        return VecDeque::new();
    };
    let table = (4 + 4 * count).next_multiple_of(WORD_BYTES);
    let segments = numbers.take(count).map(|words| words * WORD_BYTES);
    core::iter::once(table).chain(segments).filter(|bytes| *bytes > 0).collect()
}

/// Appends whole words in packed form.
fn pack(words: &[u8], out: &mut Vec<u8>) {
    let (words, _) = words.as_chunks::<WORD_BYTES>();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        let tag_at = out.len();
        out.push(0);
        let mut tag = 0;
        for (bit, byte) in word.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            tag |= 1 << bit;
            out.push(*byte);
        }
        out[tag_at] = tag;
        let run = match tag {
            0 => run_of(rest, |zeros| zeros == WORD_BYTES),
            0xFF => run_of(rest, |zeros| zeros < 2),
            _ => continue,
        };
        let (same, after) = rest.split_at(run);
        out.push(run as u8);
        if tag == 0xFF {
            out.extend_from_slice(same.as_flattened());
        }
        rest = after;
    }
}

/// How many of the first words have a number of zeros that is as wanted.
fn run_of(words: &[[u8; WORD_BYTES]], wanted: impl Fn(usize) -> bool) -> usize {
    let zeros = |word: &[u8; WORD_BYTES]| word.iter().filter(|byte| **byte == 0).count();
    words.iter().take(RUN_WORDS_MAX).take_while(|word| wanted(zeros(word))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn packed(words: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        pack(words, &mut out);
        out
    }

    /// Unpacked in pieces of `piece` bytes into room for `room` bytes.
    fn unpacked(bytes: &[u8], piece: usize, room: usize) -> (Vec<u8>, bool) {
        let mut unpacker = Unpacker::default();
        let (mut out, mut buffer) = (Vec::new(), vec![0xAA; room]);
        for mut input in bytes.chunks(piece) {
            loop {
                match unpacker.unpack(&mut input, &mut buffer) {
                    0 => break,
                    count => out.extend_from_slice(&buffer[..count]),
                }
            }
            assert!(input.is_empty());
        }
        (out, unpacker.is_midway())
    }

    /// Words of every kind: zeros, dense, sparse, runs longer than one count.
    fn samples() -> Vec<Vec<u8>> {
        let sparse = |n: usize| (0..n * 8).map(|i| if i % 3 == 0 { i as u8 } else { 0 }).collect();
        let dense = |n: usize| (0..n * 8).map(|i| (i % 255) as u8 + 1).collect::<Vec<u8>>();
        let mut one_zero = dense(4);
        one_zero[17] = 0;
        let mut two_zeros = one_zero.clone();
        two_zeros[18] = 0;
        vec![
            vec![],
            vec![0; 8],
            vec![0; 8 * 300],
            sparse(5),
            dense(1),
            dense(300),
            one_zero,
            two_zeros,
            [dense(3), vec![0; 8 * 257], sparse(9), dense(2)].concat(),
        ]
    }

    /// From the encoding specification.
    #[test]
    fn the_examples_of_the_specification() {
        let word = [8, 0, 0, 0, 3, 0, 2, 0, 0x19, 0, 0, 0, 0xAA, 1, 0, 0];
        assert_eq!(packed(&word), [0x51, 8, 3, 2, 0x31, 0x19, 0xAA, 1]);
        assert_eq!(packed(&[0; 32]), [0, 3]);
        let text = [0x8A; 32];
        assert_eq!(packed(&text)[..10], [0xFF, 0x8A, 0x8A, 0x8A, 0x8A, 0x8A, 0x8A, 0x8A, 0x8A, 3]);
    }

    #[test]
    fn cut_at_every_byte_the_same_words_come_out() {
        for sample in samples() {
            let bytes = packed(&sample);
            for (piece, room) in [(1, 8), (1, 64), (2, 24), (3, 1024), (usize::MAX, 8)] {
                assert_eq!(unpacked(&bytes, piece, room), (sample.clone(), false));
            }
            for cut in 0..bytes.len() {
                let (part, _) = unpacked(&bytes[..cut], usize::MAX, 64);
                assert!(sample.starts_with(&part), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_run_waits_for_room_and_holds_nothing() {
        let mut unpacker = Unpacker::default();
        let mut room = [1; 16];
        let mut input = &[0, 255][..];
        for _ in 0..128 {
            assert_eq!(unpacker.unpack(&mut input, &mut room), 16);
        }
        assert_eq!(unpacker.unpack(&mut input, &mut room), 0);
        assert!(!unpacker.is_midway());
    }

    /// From the encoding specification: words as they are go on while packing would not make them shorter.
    #[test]
    fn words_as_they_are_have_one_zero_at_most() {
        let dense = [1, 2, 3, 4, 5, 6, 7, 8];
        let (one_zero, two_zeros) = ([1, 0, 3, 4, 5, 6, 7, 8], [1, 0, 0, 4, 5, 6, 7, 8]);
        let words = [dense, one_zero, two_zeros].concat();
        let run = [&[0xFF][..], &dense, &[1], &one_zero, &[0xF9, 1, 4, 5, 6, 7, 8]].concat();
        assert_eq!(packed(&words), run);
    }

    #[test]
    fn a_run_stays_within_its_segment_and_table() {
        // Four segments, of which only the second has words: a table whose last word is zero, and two such words.
        let mut message = vec![3, 0, 0, 0, 0, 0, 0, 0, 2];
        message.resize(24 + 16, 0);
        let (mut packer, mut rest, mut out) = (Packer::default(), &message[..], Vec::new());
        while !rest.is_empty() {
            let taken = packer.refill(rest);
            assert!(taken > 0, "an empty part");
            rest = &rest[taken..];
            out.extend_from_slice(packer.unsent());
        }
        assert_eq!(out, [0x01, 3, 0x01, 2, 0, 0, 0, 1]);
    }

    #[test]
    fn what_a_packer_holds_is_weighed() {
        let (parts, packed) = (VecDeque::with_capacity(3), Vec::with_capacity(100));
        assert_eq!(Packer { parts, packed, sent: 50 }.held_bytes(), 124);
    }

    #[test]
    fn messages_are_packed_segment_by_segment() {
        let two_segments = |zeros: usize| {
            let mut bytes = vec![1, 0, 0, 0, 1, 0, 0, 0, zeros as u8, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(vec![0; 8 + 8 * zeros]);
            bytes
        };
        let messages = [two_segments(3), two_segments(0)].concat();
        let (mut packer, mut rest, mut out) = (Packer::default(), &messages[..], Vec::new());
        while !rest.is_empty() {
            rest = &rest[packer.refill(rest)..];
            out.extend_from_slice(packer.unsent());
        }
        assert_eq!(out, [0x11, 1, 1, 0x01, 3, 0, 0, 0, 2, 0x11, 1, 1, 0, 0, 0, 0]);
        assert_eq!(unpacked(&out, usize::MAX, 4096).0, messages);
    }
}
