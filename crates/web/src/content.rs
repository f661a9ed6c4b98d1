//! Content of messages (RFC 9110 section 6.4): what is sent of it, and how much is received.

use crate::Data;
use alloc::vec::Vec;

/// The content of a message to be sent.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// None.
    #[default]
    Empty,
    /// One run of bytes.
    Full(Data),
    /// Several runs, sent one after the other under one length.
    Parts(Vec<Data>),
    /// Bytes that somebody writes while the message is on its way; with their number, if it is known beforehand.
    Stream(Option<u64>),
}

impl Content {
    /// Bytes in all, `None` for a stream of unknown length.
    #[inline]
    pub fn length(&self) -> Option<u64> {
        match self {
            Content::Empty => Some(0),
            Content::Full(data) => Some(data.len() as u64),
            Content::Parts(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Content::Stream(len) => *len,
        }
    }

    /// Bytes of memory that are held for it alone: see [`Data::held_bytes`].
    pub fn held_bytes(&self) -> usize {
        match self {
            Content::Full(data) => data.held_bytes(),
            Content::Parts(parts) => parts.iter().map(Data::held_bytes).sum(),
            Content::Empty | Content::Stream(_) => 0,
        }
    }

    /// Whether it is to be written.
    pub fn is_stream(&self) -> bool {
        matches!(self, Content::Stream(_))
    }
}

/// How much content a received message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentLength {
    /// None.
    Empty,
    /// This many bytes, more than zero.
    Known(u64),
    /// Known when it ends.
    Unknown,
}
