//! CBOR decoder: bytes to objects.

use super::Limits;
use super::deserializer::Error;
use crate::{Edge, Fault, Node, Piece, Progress, Stage, run_stage};
use alloc::collections::VecDeque;
use bytes::Bytes;
use cbor4ii::core::dec::{Read, Reference};
use core::convert::Infallible;
use core::marker::PhantomData;
use serde::de::DeserializeOwned;

/// Each message holds one object.
pub fn decode<T: DeserializeOwned>() -> Decode<T> {
    decode_within(Limits::default())
}

/// Each message holds one object, within these limits.
pub fn decode_within<T: DeserializeOwned>(limits: Limits) -> Decode<T> {
    Decode {
        limits,
        sequence: false,
        chunks: VecDeque::new(),
        waiting_bytes: 0,
        ended: false,
        try_at_bytes: 0,
        item: PhantomData,
    }
}

/// Each message holds any number of objects, one after the other: a CBOR sequence (RFC 8742).
/// Each comes out as soon as its bytes are there.
pub fn decode_sequence<T: DeserializeOwned>() -> Decode<T> {
    decode_sequence_within(Limits::default())
}

/// The same, each within these limits.
pub fn decode_sequence_within<T: DeserializeOwned>(limits: Limits) -> Decode<T> {
    Decode { sequence: true, ..decode_within(limits) }
}

/// See [`decode`].
#[derive(Debug)]
pub struct Decode<T> {
    limits: Limits,
    sequence: bool,
    chunks: VecDeque<Bytes>,
    waiting_bytes: usize,
    // The chunks end a message.
    ended: bool,
    // Of a sequence: no object can be whole before so many bytes wait.
    try_at_bytes: usize,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Node<Piece> for Decode<T> {
    type Out = T;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<T>) {
        run_stage(self, input, output);
    }
}

impl<T: DeserializeOwned> Stage<Piece> for Decode<T> {
    type Out = T;

    fn accept(&mut self, piece: Piece, _: usize, output: &mut Edge<T>) -> Result<(), Fault> {
        // Of a sequence, several objects may wait.
        if !self.sequence && self.waiting_bytes + piece.bytes.len() > self.limits.object_bytes_max {
            return Err(Fault::TooLong("cbor"));
        }
        self.waiting_bytes += piece.bytes.len();
        self.ended = piece.last;
        if !piece.bytes.is_empty() {
            self.chunks.push_back(piece.bytes);
        }
        self.resume(output).map(drop)
    }

    fn resume(&mut self, output: &mut Edge<T>) -> Result<Progress, Fault> {
        if !self.sequence {
            if self.ended {
                self.whole_message(output)?;
            }
            return Ok(Progress::Done);
        }
        while self.waiting_bytes > 0 && (self.ended || self.waiting_bytes >= self.try_at_bytes) {
            if !output.has_room() {
                return Ok(Progress::Blocked);
            }
            if !self.next_object(output)? {
                break;
            }
        }
        Ok(Progress::Done)
    }

    fn finish(&mut self, _: &mut Edge<T>) -> Result<(), Fault> {
        if self.waiting_bytes == 0 { Ok(()) } else { Err(Fault::Truncated) }
    }
}

impl<T: DeserializeOwned> Decode<T> {
    fn whole_message(&mut self, output: &mut Edge<T>) -> Result<(), Fault> {
        let mut chain = Chain::new(&self.chunks, self.waiting_bytes, self.limits.nesting_max);
        let object = chain.decode()?;
        if chain.taken != self.waiting_bytes {
            return Err(Fault::TrailingBytes);
        }
        // The object likely is as large in memory as its encoding, or larger.
        output.put(object, self.waiting_bytes.max(size_of::<T>()));
        self.chunks.clear();
        self.waiting_bytes = 0;
        self.ended = false;
        Ok(())
    }

    /// Gives the first object that waits; `false` when more bytes are needed for it.
    fn next_object(&mut self, output: &mut Edge<T>) -> Result<bool, Fault> {
        let mut chain = Chain::new(&self.chunks, self.waiting_bytes, self.limits.nesting_max);
        let outcome = chain.decode();
        let taken = chain.taken;
        match outcome {
            Ok(_) if taken > self.limits.object_bytes_max => Err(Fault::TooLong("cbor")),
            Ok(object) => {
                output.put(object, taken.max(size_of::<T>()));
                self.drop_front(taken);
                self.try_at_bytes = 0;
                Ok(true)
            }
            Err(Fault::Truncated) if !self.ended => {
                if self.waiting_bytes >= self.limits.object_bytes_max {
                    return Err(Fault::TooLong("cbor"));
                }
                // Trying again only when twice as much waits bounds the work: all tries together
                // read each byte twice.
                self.try_at_bytes = (2 * self.waiting_bytes).min(self.limits.object_bytes_max);
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    fn drop_front(&mut self, mut count: usize) {
        self.waiting_bytes -= count;
        while let Some(front) = self.chunks.front_mut() {
            if front.len() > count {
                let _ = front.split_to(count);
                return;
            }
            count -= front.len();
            self.chunks.pop_front();
        }
    }
}

/// Reads on from chunk to chunk.
pub(super) struct Chain<'a> {
    chunks: alloc::collections::vec_deque::Iter<'a, Bytes>,
    here: &'a [u8],
    taken: usize,
    whole_bytes: usize,
    depth_left: usize,
    starved: bool,
}

impl<'a> Chain<'a> {
    fn new(chunks: &'a VecDeque<Bytes>, whole_bytes: usize, depth: usize) -> Self {
        let mut chunks = chunks.iter();
        let here = chunks.next().map(|chunk| &chunk[..]).unwrap_or_default();
        Self { chunks, here, taken: 0, whole_bytes, depth_left: depth, starved: false }
    }

    fn decode<T: DeserializeOwned>(&mut self) -> Result<T, Fault> {
        T::deserialize(&mut *self).map_err(|error| match error {
            Error::Depth => Fault::TooDeep,
            _ if self.starved => Fault::Truncated,
            Error::Syntax => Fault::Corrupt("cbor"),
            Error::Shape => Fault::Shape("cbor"),
        })
    }

    /// What is left of the chunk at hand.
    #[inline]
    pub(super) fn here(&self) -> &'a [u8] {
        self.here
    }

    /// Bytes that were not read.
    pub(super) fn bytes_left(&self) -> usize {
        self.whole_bytes - self.taken
    }
}

impl<'a> Read<'a> for Chain<'a> {
    type Error = Infallible;

    #[inline]
    fn fill<'b>(&'b mut self, _want: usize) -> Result<Reference<'a, 'b>, Infallible> {
        if self.here.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.here = chunk,
                None => self.starved = true,
            }
        }
        Ok(Reference::Long(self.here))
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        let count = count.min(self.here.len());
        self.here = &self.here[count..];
        self.taken += count;
    }

    #[inline]
    fn step_in(&mut self) -> bool {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                true
            }
            None => false,
        }
    }

    #[inline]
    fn step_out(&mut self) {
        self.depth_left += 1;
    }
}
