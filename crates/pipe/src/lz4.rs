//! LZ4 codec: frames (lz4_Frame_format.md 1.6.4), one for each message.
//!
//! For pipelines of applications that would rather have speed than size. The services of
//! `endpoints::pipe` compress by zlib, which every language of their callers has; nothing of the
//! appliance's uses LZ4 yet, so that it costs an image nothing.

mod decompress;

pub use decompress::{Decompress, decompress, decompress_within};

use crate::{Edge, Fault, Node, Piece, Progress, Stage, run_stage};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// The frames' magic number, as it stands in the stream.
pub(crate) const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// A block's length has this bit when the block is stored as it is.
pub(crate) const STORED: u32 = 1 << 31;

/// Version 1, independent blocks, no checksums, blocks of at most 64 KiB, and the checksum of
/// these two bytes. Transport and, where it matters, CURVE check the bytes already.
const DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 << 10;

/// Compresses each message.
pub fn compress() -> Compress {
    Compress {
        table: CompressTable::large(),
        block: Vec::new(),
        input: Bytes::new(),
        last: false,
        inside: false,
        packed: vec![0; get_maximum_output_size(BLOCK_BYTES)],
    }
}

/// See [`compress`].
pub struct Compress {
    table: CompressTable,
    // The block that is being gathered from pieces.
    block: Vec<u8>,
    input: Bytes,
    last: bool,
    inside: bool,
    packed: Vec<u8>,
}

impl Node<Piece> for Compress {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Compress {
    type Out = Piece;

    fn accept(&mut self, piece: Piece, _: usize, output: &mut Edge<Piece>) -> Result<(), Fault> {
        self.input = piece.bytes;
        self.last = piece.last;
        self.resume(output).map(drop)
    }

    fn resume(&mut self, output: &mut Edge<Piece>) -> Result<Progress, Fault> {
        while self.last || !self.input.is_empty() {
            if !output.has_room() {
                return Ok(Progress::Blocked);
            }
            let missing = (BLOCK_BYTES - self.block.len()).min(self.input.len());
            self.block.extend_from_slice(&self.input.split_to(missing));
            let ends = self.last && self.input.is_empty();
            if ends || self.block.len() == BLOCK_BYTES {
                self.give_block(ends, output)?;
            }
        }
        Ok(Progress::Done)
    }
}

impl Compress {
    fn give_block(&mut self, ends: bool, output: &mut Edge<Piece>) -> Result<(), Fault> {
        let mut bytes = Vec::with_capacity(self.block.len() / 2 + 32);
        if !self.inside {
            bytes.extend_from_slice(&MAGIC);
            bytes.extend_from_slice(&DESCRIPTOR);
        }
        if !self.block.is_empty() {
            let packed = compress_into_with_table(&self.block, &mut self.packed, &mut self.table)
                .map_err(|_| Fault::Corrupt("lz4"))?;
            // A block that would not shrink is stored.
            let (len, contents) = if packed < self.block.len() {
                (packed as u32, &self.packed[..packed])
            } else {
                (self.block.len() as u32 | STORED, &self.block[..])
            };
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(contents);
            self.block.clear();
        }
        if ends {
            bytes.extend_from_slice(&[0; 4]);
        }
        self.inside = !ends;
        self.last &= !ends;
        let weight_bytes = bytes.len();
        output.put(Piece { bytes: bytes.into(), last: ends }, weight_bytes);
        Ok(())
    }
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compress")
    }
}
