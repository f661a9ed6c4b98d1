//! The bytes of a connection, one half for each direction: messages out of them, and messages into
//! them, packed or not.

use crate::framing::{Deframer, Frame, FramingError};
use crate::limits::Limits;
use crate::packing::{Packer, Unpacker};
use alloc::vec::Vec;
use core::time::Duration;

/// How messages lie in a stream. Both ends must know; nothing in the stream says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As they lie in memory: what two parties use unless they agreed on something else.
    #[default]
    Plain,
    /// With zeros left out: fewer bytes for more work.
    Packed,
}

/// From the peer.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    deframer: Deframer,
    unpacker: Option<Unpacker>,
    /// Since when part of a message is here and no more has come.
    pub(crate) since: Option<Duration>,
}

impl Incoming {
    pub(crate) fn new(encoding: Encoding) -> Self {
        let unpacker = (encoding == Encoding::Packed).then(Unpacker::default);
        Self { unpacker, ..Self::default() }
    }

    /// The next message, which may need some of `input`; `None` when that is used up.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Option<Frame>, FramingError> {
        /// Unpacked at a time.
        const STEP_BYTES: usize = 1024;
        let Some(unpacker) = &mut self.unpacker else {
            return self.deframer.next(input, limits);
        };
        let mut step = [0; STEP_BYTES];
        loop {
            let room = self.deframer.missing_bytes().min(STEP_BYTES);
            let count = unpacker.unpack(input, &mut step[..room]);
            if count == 0 {
                return Ok(None);
            }
            if let Some(frame) = self.deframer.next(&mut &step[..count], limits)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Notes that bytes came.
    pub(crate) fn moved(&mut self, now: Duration) {
        let unpacking = self.unpacker.as_ref().is_some_and(Unpacker::is_midway);
        self.since = (unpacking || self.deframer.is_midway()).then_some(now);
    }
}

/// To the peer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Whole messages, but for the bytes that left.
    messages: Vec<u8>,
    taken: usize,
    packer: Option<Packer>,
    /// Whether the driver was told that there are bytes to send.
    pub(crate) signalled: bool,
    /// Since when the peer has taken none of the bytes that are here.
    pub(crate) since: Option<Duration>,
}

/// Capacity that an empty queue of bytes keeps, for the next messages.
const BYTES_KEPT: usize = 16 << 10;

impl Outgoing {
    pub(crate) fn new(encoding: Encoding) -> Self {
        let packer = (encoding == Encoding::Packed).then(Packer::default);
        Self { packer, ..Self::default() }
    }

    /// Where to append messages.
    pub(crate) fn messages(&mut self) -> &mut Vec<u8> {
        &mut self.messages
    }

    /// Bytes that have not left; what waits to be packed counts as it lies.
    pub(crate) fn unsent_bytes(&self) -> usize {
        let packed = self.packer.as_ref().map_or(0, |packer| packer.unsent().len());
        self.messages.len() - self.taken + packed
    }

    /// Moves bytes to `buffer`; how many.
    pub(crate) fn take(&mut self, now: Duration, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len() && self.unsent_bytes() > 0 {
            let step = self.next_bytes();
            let length = step.len().min(buffer.len() - count);
            buffer[count..][..length].copy_from_slice(&step[..length]);
            count += length;
            match &mut self.packer {
                Some(packer) => packer.advance(length),
                None => self.taken += length,
            }
        }
        self.since = Some(now);
        if self.unsent_bytes() == 0 {
            self.clear();
        }
        count
    }

    /// Forgets what has not left.
    pub(crate) fn clear(&mut self) {
        let packer = self.packer.take().map(|_| Packer::default());
        let mut messages = core::mem::take(&mut self.messages);
        messages.clear();
        messages.shrink_to(BYTES_KEPT);
        *self = Self { messages, packer, ..Self::default() };
    }

    fn next_bytes(&mut self) -> &[u8] {
        let messages = &self.messages[self.taken..];
        match &mut self.packer {
            None => messages,
            Some(packer) => {
                if packer.unsent().is_empty() {
                    self.taken += packer.refill(messages);
                }
                packer.unsent()
            }
        }
    }
}
