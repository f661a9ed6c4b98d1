//! CBOR encoder: objects to bytes.

use super::Limits;
use crate::{CHUNK_BYTES, Edge, Fault, Node, Piece, Progress, Stage, run_stage};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use cbor4ii::core::enc::Write;
use cbor4ii::serde::Serializer;
use core::fmt;
use core::marker::PhantomData;
use serde::Serialize;

/// Each object becomes a message.
pub fn encode<T: Serialize>() -> Encode<T> {
    encode_within(Limits::default())
}

/// Each object becomes a message, within these limits.
pub fn encode_within<T: Serialize>(limits: Limits) -> Encode<T> {
    Encode { chunks: Chunks::new(limits.object_bytes_max), ends_messages: true, item: PhantomData }
}

/// All objects together become one message: a CBOR sequence (RFC 8742).
pub fn encode_sequence<T: Serialize>() -> Encode<T> {
    Encode { ends_messages: false, ..encode() }
}

/// See [`encode`].
#[derive(Debug)]
pub struct Encode<T> {
    chunks: Chunks,
    ends_messages: bool,
    item: PhantomData<fn(T)>,
}

impl<T: Serialize> Node<T> for Encode<T> {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<T>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl<T: Serialize> Stage<T> for Encode<T> {
    type Out = Piece;

    fn accept(&mut self, object: T, _: usize, output: &mut Edge<Piece>) -> Result<(), Fault> {
        self.chunks.start = self.chunks.written();
        let outcome = object.serialize(&mut Serializer::new(&mut self.chunks));
        if self.chunks.over_limit || self.chunks.is_over_limit(0) {
            return Err(Fault::TooLong("cbor"));
        }
        outcome.map_err(|_| Fault::Unwritable)?;
        drop(object);
        if self.ends_messages {
            self.chunks.seal();
        }
        self.resume(output).map(drop)
    }

    fn resume(&mut self, output: &mut Edge<Piece>) -> Result<Progress, Fault> {
        while !self.chunks.full.is_empty() {
            if !output.has_room() {
                return Ok(Progress::Blocked);
            }
            let Some(bytes) = self.chunks.full.pop_front() else {
                break;
            };
            let weight_bytes = bytes.len();
            let last = self.ends_messages && self.chunks.full.is_empty();
            output.put(Piece { bytes, last }, weight_bytes);
        }
        Ok(Progress::Done)
    }

    fn finish(&mut self, output: &mut Edge<Piece>) -> Result<(), Fault> {
        if !self.ends_messages {
            let bytes = Bytes::from(core::mem::take(&mut self.chunks.filling));
            let weight_bytes = bytes.len();
            output.put(Piece::last(bytes), weight_bytes);
        }
        Ok(())
    }
}

/// Where the serializer writes: chunks, so that a long object is never copied to grow.
#[derive(Debug)]
struct Chunks {
    full: VecDeque<Bytes>,
    filling: Vec<u8>,
    // Bytes in all chunks that were ever filled, and where the object under way began.
    sealed: u64,
    start: u64,
    object_bytes_max: usize,
    over_limit: bool,
    // The last object's length: the next one's likely is the same.
    hint: usize,
}

impl Chunks {
    fn new(object_bytes_max: usize) -> Self {
        Self {
            full: VecDeque::new(),
            filling: Vec::new(),
            sealed: 0,
            start: 0,
            object_bytes_max,
            over_limit: false,
            hint: 64,
        }
    }

    fn written(&self) -> u64 {
        self.sealed + self.filling.len() as u64
    }

    fn is_over_limit(&self, more: usize) -> bool {
        self.written() - self.start + more as u64 > self.object_bytes_max as u64
    }

    /// Ends a chunk.
    fn seal(&mut self) {
        self.sealed += self.filling.len() as u64;
        self.hint = self.filling.len().max(16);
        self.full.push_back(core::mem::take(&mut self.filling).into());
    }

    #[cold]
    fn push_slowly(&mut self, mut input: &[u8]) -> Result<(), OverLimit> {
        if self.is_over_limit(input.len()) {
            self.over_limit = true;
            return Err(OverLimit);
        }
        while !input.is_empty() {
            if self.filling.len() == CHUNK_BYTES {
                self.seal();
            }
            if self.filling.capacity() == self.filling.len() {
                let grown = (2 * self.filling.len()).max(self.hint).min(CHUNK_BYTES);
                self.filling.reserve_exact(grown - self.filling.len());
            }
            let room = self.filling.capacity().min(CHUNK_BYTES) - self.filling.len();
            let (now, later) = input.split_at(room.min(input.len()));
            self.filling.extend_from_slice(now);
            input = later;
        }
        Ok(())
    }
}

impl Write for Chunks {
    type Error = OverLimit;

    #[inline]
    fn push(&mut self, input: &[u8]) -> Result<(), OverLimit> {
        // The limit is looked at where a chunk must grow, and once more at the object's end.
        if input.len() <= self.filling.capacity() - self.filling.len() {
            self.filling.extend_from_slice(input);
            return Ok(());
        }
        self.push_slowly(input)
    }
}

#[derive(Debug)]
struct OverLimit;

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object too long")
    }
}

impl core::error::Error for OverLimit {}
