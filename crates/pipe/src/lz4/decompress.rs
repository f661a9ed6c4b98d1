//! LZ4 frame decoder.

use super::{MAGIC, STORED};
use crate::expansion::Meter;
use crate::{Edge, Expansion, Fault, Node, Piece, Progress, Stage, run_stage};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::hash::Hasher;
use lz4_flex::block::decompress_into_with_dict;
use twox_hash::XxHash32;

/// Linked blocks look back so far.
const WINDOW_BYTES: usize = 64 << 10;

const CORRUPT: Fault = Fault::Corrupt("lz4");

/// Decompresses each message, within the default [`Expansion`].
pub fn decompress() -> Decompress {
    decompress_within(Expansion::default())
}

/// Decompresses each message, within these limits.
pub fn decompress_within(limits: Expansion) -> Decompress {
    Decompress {
        input: Bytes::new(),
        last: false,
        work: false,
        wanted: Wanted::Magic,
        partial: Vec::new(),
        frame: Frame::default(),
        has_frame: false,
        window: Vec::new(),
        meter: Meter::new(limits),
    }
}

/// See [`decompress`]. It reads what the format allows but dictionaries: a message is one frame or several in
/// a row, with skippable ones among them.
pub struct Decompress {
    input: Bytes,
    last: bool,
    // The piece in hand is not done with.
    work: bool,
    wanted: Wanted,
    // The start of what is wanted, when it came in several pieces.
    partial: Vec<u8>,
    frame: Frame,
    // A frame of the message has ended.
    has_frame: bool,
    window: Vec<u8>,
    meter: Meter,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Magic,
    Flags,
    // The rest of the descriptor, and its two flag bytes.
    Descriptor { flags: [u8; 2] },
    BlockLength,
    Block { len: usize, stored: bool },
    ContentChecksum,
    // Of a skippable frame.
    SkippedLength,
    Skipped { left: usize },
    // A frame has ended: the end of the message, or another.
    FrameOrEnd,
}

/// The frame's descriptor.
#[derive(Debug, Default)]
struct Frame {
    linked: bool,
    block_checksums: bool,
    block_bytes_max: usize,
    content_bytes: Option<u64>,
    content_hash: Option<XxHash32>,
    given_bytes: u64,
}

impl Node<Piece> for Decompress {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Decompress {
    type Out = Piece;

    fn accept(&mut self, piece: Piece, _: usize, output: &mut Edge<Piece>) -> Result<(), Fault> {
        self.input = piece.bytes;
        self.last = piece.last;
        self.work = true;
        self.resume(output).map(drop)
    }

    fn resume(&mut self, output: &mut Edge<Piece>) -> Result<Progress, Fault> {
        while self.work {
            if !output.has_room() {
                return Ok(Progress::Blocked);
            }
            if matches!(self.wanted, Wanted::FrameOrEnd) {
                self.end_of_frame(output);
                continue;
            }
            if let Wanted::Skipped { left } = self.wanted {
                self.skip(left);
            }
            let Some(bytes) = self.take_exactly(self.wanted_bytes()) else {
                self.work = false;
                return if self.last { Err(self.cut_off()) } else { Ok(Progress::Done) };
            };
            self.read(&bytes, output)?;
        }
        Ok(Progress::Done)
    }

    fn finish(&mut self, _: &mut Edge<Piece>) -> Result<(), Fault> {
        let between =
            matches!(self.wanted, Wanted::Magic) && self.partial.is_empty() && !self.has_frame;
        if between { Ok(()) } else { Err(Fault::Truncated) }
    }
}

impl Decompress {
    fn wanted_bytes(&self) -> usize {
        let checksum = if self.frame.block_checksums { 4 } else { 0 };
        match self.wanted {
            Wanted::Magic
            | Wanted::BlockLength
            | Wanted::ContentChecksum
            | Wanted::SkippedLength => 4,
            Wanted::Flags => 2,
            Wanted::Descriptor { flags } => 1 + if has_content_size(flags) { 8 } else { 0 },
            Wanted::Block { len, .. } => len + checksum,
            // One more than can be there, while some of what is skipped lacks.
            Wanted::Skipped { left } => usize::from(left > 0),
            Wanted::FrameOrEnd => 0,
        }
    }

    /// The next `count` bytes, if they have come; else keeps those that have.
    fn take_exactly(&mut self, count: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.input.len() >= count {
            return Some(self.input.split_to(count));
        }
        let missing = (count - self.partial.len()).min(self.input.len());
        self.partial.extend_from_slice(&self.input.split_to(missing));
        (self.partial.len() == count).then(|| core::mem::take(&mut self.partial).into())
    }

    /// Drops what there is of what is skipped.
    fn skip(&mut self, left: usize) {
        let now = left.min(self.input.len());
        let _ = self.input.split_to(now);
        self.wanted = Wanted::Skipped { left: left - now };
    }

    /// Why the message is not whole.
    fn cut_off(&self) -> Fault {
        match self.wanted {
            // Too few bytes for another frame.
            Wanted::Magic if self.has_frame => Fault::TrailingBytes,
            _ => Fault::Truncated,
        }
    }

    /// After a frame the message ends, or another frame follows.
    fn end_of_frame(&mut self, output: &mut Edge<Piece>) {
        self.frame = Frame::default();
        self.window.clear();
        self.has_frame = true;
        if !self.input.is_empty() {
            self.wanted = Wanted::Magic;
            return;
        }
        self.work = false;
        if self.last {
            output.put(Piece::last(Bytes::new()), 0);
            self.wanted = Wanted::Magic;
            self.has_frame = false;
            self.meter.restart();
        }
    }

    fn read(&mut self, bytes: &Bytes, output: &mut Edge<Piece>) -> Result<(), Fault> {
        self.meter.count(bytes.len(), 0)?;
        self.wanted = match self.wanted {
            Wanted::Magic if bytes[..] == MAGIC => Wanted::Flags,
            // "Skippable Frames": 0x184D2A50 to 0x184D2A5F.
            Wanted::Magic if le_u32(bytes) >> 4 == 0x0184_D2A5 => Wanted::SkippedLength,
            Wanted::Magic if self.has_frame => return Err(Fault::TrailingBytes),
            Wanted::Magic => return Err(CORRUPT),
            Wanted::SkippedLength => Wanted::Skipped { left: le_u32(bytes) as usize },
            Wanted::Skipped { .. } => Wanted::FrameOrEnd,
            Wanted::Flags => Wanted::Descriptor { flags: [bytes[0], bytes[1]] },
            Wanted::Descriptor { flags } => {
                self.frame = Frame::read(flags, bytes)?;
                Wanted::BlockLength
            }
            Wanted::BlockLength => self.read_length(le_u32(bytes))?,
            Wanted::Block { len, stored } => {
                self.read_block(&bytes.slice(..len), &bytes[len..], stored, output)?;
                Wanted::BlockLength
            }
            Wanted::ContentChecksum => {
                let hash = self.frame.content_hash.as_ref().map(|hash| hash.finish() as u32);
                if hash.is_some_and(|hash| hash != le_u32(bytes)) {
                    return Err(CORRUPT);
                }
                Wanted::FrameOrEnd
            }
            Wanted::FrameOrEnd => Wanted::FrameOrEnd,
        };
        Ok(())
    }

    fn read_length(&mut self, field: u32) -> Result<Wanted, Fault> {
        if field != 0 {
            let len = (field & !STORED) as usize;
            // The format: a block is no longer than the descriptor's maximum.
            return if len <= self.frame.block_bytes_max {
                Ok(Wanted::Block { len, stored: field & STORED != 0 })
            } else {
                Err(CORRUPT)
            };
        }
        if self.frame.content_bytes.is_some_and(|bytes| bytes != self.frame.given_bytes) {
            return Err(CORRUPT);
        }
        let checked = self.frame.content_hash.is_some();
        Ok(if checked { Wanted::ContentChecksum } else { Wanted::FrameOrEnd })
    }

    fn read_block(
        &mut self,
        block: &Bytes,
        checksum: &[u8],
        stored: bool,
        output: &mut Edge<Piece>,
    ) -> Result<(), Fault> {
        if !checksum.is_empty() && XxHash32::oneshot(0, block) != le_u32(checksum) {
            return Err(CORRUPT);
        }
        let bytes = if stored { block.clone() } else { self.unpack(block)? };
        self.meter.count(0, bytes.len())?;
        self.frame.given_bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.frame.content_hash {
            hash.write(&bytes);
        }
        if self.frame.linked {
            self.remember(&bytes);
        }
        let weight_bytes = bytes.len();
        output.put(Piece::part(bytes), weight_bytes);
        Ok(())
    }

    fn unpack(&self, block: &[u8]) -> Result<Bytes, Fault> {
        // LZ4 cannot expand more than 255 times.
        let most = block.len().saturating_mul(255).min(self.frame.block_bytes_max);
        let mut plain = vec![0; most];
        let len =
            decompress_into_with_dict(block, &mut plain, &self.window).map_err(|_| CORRUPT)?;
        plain.truncate(len);
        Ok(plain.into())
    }

    /// Keeps the last 64 KiB for the next block to look back to.
    fn remember(&mut self, bytes: &[u8]) {
        let kept = WINDOW_BYTES.saturating_sub(bytes.len());
        let dropped = self.window.len().saturating_sub(kept);
        self.window.drain(..dropped);
        self.window.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW_BYTES)..]);
    }
}

impl Frame {
    /// "Frame Descriptor": flags, block size, then the content's size and a checksum.
    fn read([flags, block]: [u8; 2], rest: &[u8]) -> Result<Self, Fault> {
        let (rest, checksum) = rest.split_at(rest.len() - 1);
        let mut hash = XxHash32::with_seed(0);
        hash.write(&[flags, block]);
        hash.write(rest);
        // Version 01; bit 1 is reserved; bit 0 says that a dictionary is needed.
        let known = flags >> 6 == 1 && flags & 3 == 0 && block & 0x8F == 0;
        if !known || (hash.finish() >> 8) as u8 != checksum[0] {
            return Err(CORRUPT);
        }
        let block_bytes_max = match block >> 4 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err(CORRUPT),
        };
        Ok(Self {
            linked: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            block_bytes_max,
            content_bytes: rest.first_chunk().map(|size| u64::from_le_bytes(*size)),
            content_hash: (flags & 0x04 != 0).then(|| XxHash32::with_seed(0)),
            given_bytes: 0,
        })
    }
}

fn has_content_size([flags, _]: [u8; 2]) -> bool {
    flags & 0x08 != 0
}

/// The first four bytes; the caller has all of them.
fn le_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl fmt::Debug for Decompress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompress")
    }
}
