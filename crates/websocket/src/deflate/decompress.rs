//! Decompressor: of one connection, for a message or for all of them.

use super::FLUSHED;
use crate::Error;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// How far DEFLATE looks back at most (RFC 1951 section 2).
const WINDOW_BYTES: usize = 32 << 10;
/// A final block without content: it ends the data where a block may begin, and nowhere else (RFC 1951 section 3.2.3).
const LAST_BLOCK: [u8; 2] = [3, 0];
/// What a decompressor takes, in bytes.
pub(crate) const DECOMPRESSOR_BYTES: usize = WINDOW_BYTES + size_of::<DecompressorOxide>();

/// Decompresses messages into a sink that may refuse, in runs of a window at most: what a message grows to is the sink's
/// to bound, as it comes.
pub(crate) struct Decompressor {
    state: Box<DecompressorOxide>,
    /// A ring, in which the decompressor writes and looks back.
    window: Vec<u8>,
    at: usize,
}

impl Decompressor {
    pub(crate) fn new() -> Self {
        Self { state: Box::default(), window: vec![0; WINDOW_BYTES], at: 0 }
    }

    /// Decompresses a part of a message.
    pub(crate) fn push(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.run(input, sink).map(drop)
    }

    /// Decompresses all of `input`; whether a final block ended with it.
    fn run(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        loop {
            let flags = TINFL_FLAG_HAS_MORE_INPUT;
            let (status, taken, written) =
                decompress(&mut self.state, input, &mut self.window, self.at, flags);
            let end = self.at + written;
            sink(self.window.get(self.at..end).unwrap_or(&[]))?;
            self.at = if end == WINDOW_BYTES { 0 } else { end };
            input = input.get(taken..).unwrap_or(&[]);
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if input.is_empty() => return Ok(false),
                // RFC 7692 section 7.2.3.4: a final block may be followed by others. The window stays.
                TINFLStatus::Done => {
                    self.state.init();
                    if input.is_empty() {
                        return Ok(true);
                    }
                }
                _ => return Err(Error::Corrupt),
            }
        }
    }

    /// The message ends (RFC 7692 section 7.2.2); it is corrupt if a block of it does not.
    pub(crate) fn end_message(
        &mut self,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.push(&FLUSHED, sink)?;
        if self.run(&LAST_BLOCK, sink)? { Ok(()) } else { Err(Error::Corrupt) }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}
