//! Compressor: one for all connections, or one of a connection's own.

use super::FLUSHED;
use crate::AgreedDeflate;
use crate::extension::WINDOW_BITS_MAX;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};

/// What a connection's own compressor takes, in bytes, most of it behind pointers.
const OWN_COMPRESSOR_BYTES: usize = 330 << 10;

/// A compressor that connections use in turn, each for a whole message, so that 330 KiB are enough for all that keep no
/// context. It is made for the first message, and clones are the same one.
#[derive(Clone, Default)]
pub struct SharedCompressor(Rc<RefCell<Option<Compressor>>>);

/// How one connection's messages are compressed.
pub(crate) struct Compression {
    agreed: AgreedDeflate,
    shared: SharedCompressor,
    /// The connection's own, with its context.
    own: Option<Compressor>,
}

/// A compressor, and how far it could look back.
struct Compressor {
    state: Box<CompressorOxide>,
    level: u8,
    /// Bytes since the context was last empty.
    context_bytes: usize,
}

impl Compression {
    pub(crate) fn new(agreed: AgreedDeflate, shared: SharedCompressor) -> Self {
        Self { agreed, shared, own: None }
    }

    /// Bytes that the connection holds by it.
    pub(crate) fn held_bytes(&self) -> usize {
        if self.own.is_some() { OWN_COMPRESSOR_BYTES } else { 0 }
    }

    /// The message compressed; `None` if it is to go as it is.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let AgreedDeflate { deflate, keeps_own_context, own_window_bits, .. } = self.agreed;
        if message.len() < deflate.message_bytes_min {
            return None;
        }
        if keeps_own_context {
            // Sent even if it is longer: the peer's context has to be ours.
            let own = self.own.get_or_insert_with(|| Compressor::new(deflate.level));
            return Some(own.compress(message, own_window_bits, true));
        }
        let mut shared = self.shared.0.borrow_mut();
        let compressor = shared.get_or_insert_with(|| Compressor::new(deflate.level));
        compressor.set_level(deflate.level);
        let compressed = compressor.compress(message, own_window_bits, false);
        (compressed.len() < message.len()).then_some(compressed)
    }
}

impl Compressor {
    fn new(level: u8) -> Self {
        let mut state: Box<CompressorOxide> = Box::default();
        state.set_format_and_level(DataFormat::Raw, level.clamp(1, 9));
        Self { state, level, context_bytes: 0 }
    }

    fn set_level(&mut self, level: u8) {
        if level != self.level {
            *self = Self::new(level);
        }
    }

    /// RFC 7692 section 7.2.1. The compressor's window has a fixed size; it looks back less where its context is emptied
    /// (a full flush) after as many bytes as it may look back.
    fn compress(&mut self, message: &[u8], window_bits: u8, keeps_context: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() / 2 + 32);
        let mut rest = message;
        if window_bits < WINDOW_BITS_MAX {
            let window_bytes = 1 << window_bits;
            while self.context_bytes + rest.len() > window_bytes {
                let (front, back) = rest.split_at(window_bytes - self.context_bytes);
                self.run(front, TDEFLFlush::Full, &mut out);
                rest = back;
            }
        }
        let flush = if keeps_context { TDEFLFlush::Sync } else { TDEFLFlush::Full };
        self.run(rest, flush, &mut out);
        debug_assert!(out.ends_with(&FLUSHED), "a flush ends with an empty block");
        out.truncate(out.len().saturating_sub(FLUSHED.len()));
        // It may wait for long, and weighs what it says: not what there was room for.
        out.shrink_to_fit();
        out
    }

    /// Compresses `input` and flushes.
    fn run(&mut self, input: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) {
        self.context_bytes = match flush {
            TDEFLFlush::Full => 0,
            _ => self.context_bytes + input.len(),
        };
        let (status, taken) = compress_to_output(&mut self.state, input, flush, |bytes| {
            out.extend_from_slice(bytes);
            true
        });
        debug_assert_eq!((status, taken), (TDEFLStatus::Okay, input.len()), "a vector takes all");
    }
}

impl fmt::Debug for SharedCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedCompressor")
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compression({:?})", self.agreed)
    }
}
