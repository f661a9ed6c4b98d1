//! zlib codec (RFC 1950), one for each message.

use crate::expansion::Meter;
use crate::{CHUNK_BYTES, Edge, Expansion, Fault, Node, Piece, Progress, Stage, run_stage};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// Compresses each message. `level`: 1 (fast) to 9 (small); 6 is zlib's default.
pub fn deflate(level: u8) -> Deflate {
    let mut state: Box<CompressorOxide> = Box::default();
    state.set_format_and_level(DataFormat::Zlib, level.clamp(1, 9));
    Deflate { state, input: Bytes::new(), last: false, filling: vec![0; CHUNK_BYTES], filled: 0 }
}

/// See [`deflate`]. Its state is some 330 KB, which it keeps from message to message.
pub struct Deflate {
    state: Box<CompressorOxide>,
    input: Bytes,
    last: bool,
    filling: Vec<u8>,
    filled: usize,
}

impl Node<Piece> for Deflate {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Deflate {
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
            if self.compress()? {
                self.give(true, output);
                self.state.reset();
                self.last = false;
            } else if self.filled == self.filling.len() {
                self.give(false, output);
            }
        }
        Ok(Progress::Done)
    }
}

impl Deflate {
    /// Compresses as far as there is room; whether the stream has ended.
    fn compress(&mut self) -> Result<bool, Fault> {
        let flush = if self.last { MZFlush::Finish } else { MZFlush::None };
        let room = &mut self.filling[self.filled..];
        let done = miniz_oxide::deflate::stream::deflate(&mut self.state, &self.input, room, flush);
        self.input = self.input.split_off(done.bytes_consumed);
        self.filled += done.bytes_written;
        match done.status {
            Ok(status) => Ok(status == MZStatus::StreamEnd),
            Err(_) => Err(Fault::Corrupt("zlib")),
        }
    }

    fn give(&mut self, last: bool, output: &mut Edge<Piece>) {
        let bytes = Bytes::copy_from_slice(&self.filling[..self.filled]);
        output.put(Piece { bytes, last }, self.filled);
        self.filled = 0;
    }
}

impl fmt::Debug for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deflate")
    }
}

/// Decompresses each message, within the default [`Expansion`].
pub fn inflate() -> Inflate {
    inflate_within(Expansion::default())
}

/// Decompresses each message, within these limits.
pub fn inflate_within(limits: Expansion) -> Inflate {
    Inflate {
        state: Box::default(),
        input: Bytes::new(),
        last: false,
        work: false,
        ended: false,
        inside: false,
        window: vec![0; WINDOW_BYTES],
        at: 0,
        given: 0,
        meter: Meter::new(limits),
    }
}

/// The ring that the decompressor writes to and looks back in: RFC 1951's 32 KiB, and as much
/// again to give on while the rest stays.
const WINDOW_BYTES: usize = 64 << 10;

/// See [`inflate`].
pub struct Inflate {
    state: Box<DecompressorOxide>,
    input: Bytes,
    last: bool,
    // The piece in hand is not done with.
    work: bool,
    ended: bool,
    inside: bool,
    window: Vec<u8>,
    // Where the decompressor writes, and from where on nothing was given on.
    at: usize,
    given: usize,
    meter: Meter,
}

impl Node<Piece> for Inflate {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Inflate {
    type Out = Piece;

    fn accept(&mut self, piece: Piece, _: usize, output: &mut Edge<Piece>) -> Result<(), Fault> {
        self.input = piece.bytes;
        self.last = piece.last;
        self.work = true;
        self.inside = true;
        self.resume(output).map(drop)
    }

    fn resume(&mut self, output: &mut Edge<Piece>) -> Result<Progress, Fault> {
        while self.work {
            if !output.has_room() {
                return Ok(Progress::Blocked);
            }
            self.decompress()?;
            let message_ends = self.ended && self.last;
            self.give(message_ends, output);
            if message_ends {
                self.restart();
            }
        }
        Ok(Progress::Done)
    }

    fn finish(&mut self, _: &mut Edge<Piece>) -> Result<(), Fault> {
        if self.inside { Err(Fault::Truncated) } else { Ok(()) }
    }
}

impl Inflate {
    /// Decompresses until the input is used up, the stream ends or half the ring is written.
    fn decompress(&mut self) -> Result<(), Fault> {
        if self.ended {
            self.work = false;
            return if self.input.is_empty() { Ok(()) } else { Err(Fault::TrailingBytes) };
        }
        let more = if self.last { 0 } else { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT };
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32
            | more;
        let (status, taken, written) =
            decompress(&mut self.state, &self.input, &mut self.window, self.at, flags);
        self.input = self.input.split_off(taken);
        self.at += written;
        self.meter.count(taken, written)?;
        match status {
            TINFLStatus::Done if self.input.is_empty() => {
                (self.ended, self.work) = (true, false);
                Ok(())
            }
            TINFLStatus::Done => Err(Fault::TrailingBytes),
            TINFLStatus::HasMoreOutput => Ok(()),
            TINFLStatus::NeedsMoreInput => {
                self.work = false;
                Ok(())
            }
            // The same of the last piece, behind which nothing comes.
            TINFLStatus::FailedCannotMakeProgress => Err(Fault::Truncated),
            _ => Err(Fault::Corrupt("zlib")),
        }
    }

    fn give(&mut self, last: bool, output: &mut Edge<Piece>) {
        let bytes = Bytes::copy_from_slice(&self.window[self.given..self.at]);
        if self.at == self.window.len() {
            self.at = 0;
        }
        self.given = self.at;
        if last || !bytes.is_empty() {
            let weight_bytes = bytes.len();
            output.put(Piece { bytes, last }, weight_bytes);
        }
    }

    fn restart(&mut self) {
        self.state.init();
        self.meter.restart();
        (self.ended, self.inside) = (false, false);
        (self.at, self.given) = (0, 0);
    }
}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflate")
    }
}
