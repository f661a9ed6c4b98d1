//! Messages through compressor and decompressor.

use super::*;
use crate::{AgreedDeflate, Deflate, Error};
use std::vec::Vec;

fn compression(own_window_bits: u8, keeps_own_context: bool) -> Compression {
    let deflate = Deflate { message_bytes_min: 0, level: 6, ..Deflate::default() };
    let agreed =
        AgreedDeflate { deflate, keeps_own_context, peer_keeps_context: true, own_window_bits };
    Compression::new(agreed, SharedCompressor::default())
}

fn inflated(decompressor: &mut Decompressor, pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut sink = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok(())
    };
    pieces.iter().try_for_each(|piece| decompressor.push(piece, &mut sink))?;
    decompressor.end_message(&mut sink)?;
    Ok(out)
}

/// RFC 7692 section 7.2.3: one block, a shared window, no compression, a final block, two blocks.
#[test]
fn rfc7692_7_2_3_the_examples() {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut window = Decompressor::new();
    assert_eq!(inflated(&mut window, &[hello]).unwrap(), b"Hello");
    let again: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflated(&mut window, &[again]).unwrap(), b"Hello");
    for example in [
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00][..],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        for cut in 0..=example.len() {
            let pieces = [&example[..cut], &example[cut..]];
            assert_eq!(inflated(&mut Decompressor::new(), &pieces).unwrap(), b"Hello");
        }
    }
    // Section 7.2.3.6: an empty message.
    assert_eq!(inflated(&mut Decompressor::new(), &[&[0x00]]).unwrap(), b"");
    // The context of before is there after a final block, too.
    let mut window = Decompressor::new();
    let last: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflated(&mut window, &[last]).unwrap(), b"Hello");
    assert_eq!(inflated(&mut window, &[again]).unwrap(), b"Hello");
}

#[test]
fn corrupt_data_is_refused() {
    // A reserved type of block, and a stored block whose lengths differ.
    for wrong in [&[0x06, 0x00][..], &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48]] {
        assert_eq!(inflated(&mut Decompressor::new(), &[wrong]), Err(Error::Corrupt));
    }
}

#[test]
fn a_message_that_is_cut_off_inside_a_block_is_corrupt() {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for cut in 1..hello.len() {
        let cut_off = inflated(&mut Decompressor::new(), &[&hello[..cut]]);
        assert_eq!(cut_off, Err(Error::Corrupt), "after {cut} bytes");
    }
}

/// Text with repeats at all distances up to some 40 000 bytes.
fn sample(bytes: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let mut text = Vec::new();
    while text.len() < bytes {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let back = (seed >> 8) as usize % 40_000 + 1;
        match text.len().checked_sub(back) {
            Some(start) if seed & 0xc0 != 0 => {
                let end = (start + 50).min(text.len());
                text.extend_from_within(start..end);
            }
            _ => text.extend_from_slice(&seed.to_be_bytes()),
        }
    }
    text.truncate(bytes);
    text
}

#[test]
fn messages_come_back_with_and_without_context() {
    let text = sample(200_000);
    for keeps_context in [false, true] {
        for bits in [8, 9, 12, 14, 15] {
            let mut compression = compression(bits, keeps_context);
            let mut kept = Decompressor::new();
            for message in [&text[..], b"", &text[..100], &text[50_000..90_000], b"", &text[..100]]
            {
                let Some(wire) = compression.compress(message) else {
                    // It would have become longer.
                    assert!(!keeps_context && (bits < 15 || message.len() < 200));
                    continue;
                };
                let mut fresh = Decompressor::new();
                let decompressor = if keeps_context { &mut kept } else { &mut fresh };
                assert_eq!(inflated(decompressor, &[&wire]).unwrap(), message, "{bits} bits");
            }
            assert_eq!(compression.held_bytes() > 0, keeps_context);
        }
    }
}

/// RFC 7692 section 7.1.2: who has agreed to a window looks back no further. Shown by a decompressor that forgets
/// everything behind it: each run of that many bytes decompresses with only itself in memory.
#[test]
fn rfc7692_7_1_2_no_match_reaches_beyond_the_window() {
    let text = sample(100_000);
    for bits in [8, 9, 11, 13] {
        let window = 1_usize << bits;
        let mut compression = compression(bits, true);
        for message in text.chunks(window * 5 / 2) {
            let wire = compression.compress(message).unwrap();
            let reach = furthest_match(&wire);
            assert!(reach <= window, "{bits} bits reach {reach}");
        }
    }
    let wire = compression(15, false).compress(&text).unwrap();
    assert!(furthest_match(&wire) > 1 << 13, "there is something to reach for");
}

/// The largest distance in a run of fixed and dynamic DEFLATE blocks, found by filling the window with a mark: the
/// smallest part of the window that has to be right for the output to be the same.
fn furthest_match(wire: &[u8]) -> usize {
    let right = walk(wire);
    right.into_iter().max().unwrap_or(0)
}

/// The distances of all matches (RFC 1951 section 3.2).
fn walk(wire: &[u8]) -> Vec<usize> {
    let mut bits = Bits { wire, at: 0 };
    let mut distances = Vec::new();
    // The end is where the flush's empty block was cut off.
    while bits.at + 3 < wire.len() * 8 {
        let _is_final = bits.take(1);
        match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                if bits.at + 32 > wire.len() * 8 {
                    break;
                }
                let length = bits.take(16) as usize;
                bits.at += 16 + 8 * length;
            }
            1 => bits.block(&fixed(), &Code::new(&[5; 30]), &mut distances),
            2 => {
                let (literals, matches) = bits.tables();
                bits.block(&literals, &matches, &mut distances);
            }
            _ => panic!("a reserved type of block"),
        }
    }
    distances
}

struct Bits<'a> {
    wire: &'a [u8],
    at: usize,
}

/// A Huffman code: lengths in bits, from which all follows (RFC 1951 section 3.2.2).
struct Code(Vec<(u8, u32, usize)>);

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut code = 0;
        let mut entries = Vec::new();
        for bits in 1..16 {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, own)| **own == bits) {
                entries.push((bits, code, symbol));
                code += 1;
            }
            code <<= 1;
        }
        Self(entries)
    }
}

fn fixed() -> Code {
    let lengths: Vec<u8> = [vec_of(8, 144), vec_of(9, 112), vec_of(7, 24), vec_of(8, 8)].concat();
    Code::new(&lengths)
}

fn vec_of(bits: u8, count: usize) -> Vec<u8> {
    std::vec![bits; count]
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> u32 {
        (0..count).map(|bit| self.bit() << bit).sum()
    }

    fn bit(&mut self) -> u32 {
        let byte = self.wire[self.at / 8];
        self.at += 1;
        u32::from(byte >> ((self.at - 1) % 8) & 1)
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let (mut value, mut length) = (0, 0);
        loop {
            value = value << 1 | self.bit();
            length += 1;
            let found = code.0.iter().find(|entry| (entry.0, entry.1) == (length, value));
            if let Some((_, _, symbol)) = found {
                return *symbol;
            }
        }
    }

    fn block(&mut self, literals: &Code, matches: &Code, distances: &mut Vec<usize>) {
        loop {
            match self.symbol(literals) {
                0..256 => {}
                256 => return,
                length => {
                    let extra = match length {
                        265..285 => (length - 261) / 4,
                        _ => 0,
                    };
                    self.take(extra);
                    let symbol = self.symbol(matches);
                    let extra = (symbol / 2).saturating_sub(1);
                    let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
                    distances.push(base + self.take(extra) as usize + 1);
                }
            }
        }
    }

    fn tables(&mut self) -> (Code, Code) {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = self.take(5) as usize + 257;
        let matches = self.take(5) as usize + 1;
        let count = self.take(4) as usize + 4;
        let mut lengths = [0; 19];
        for place in &ORDER[..count] {
            lengths[*place] = self.take(3) as u8;
        }
        let code = Code::new(&lengths);
        let mut all: Vec<u8> = Vec::new();
        while all.len() < literals + matches {
            let (length, times) = match self.symbol(&code) {
                16 => (*all.last().unwrap(), 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                length => (length as u8, 1),
            };
            all.extend((0..times).map(|_| length));
        }
        (Code::new(&all[..literals]), Code::new(&all[literals..]))
    }
}
