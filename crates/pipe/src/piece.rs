//! Piece: a chunk of a message's bytes, and whether it is the last.

use bytes::Bytes;

/// The size of the chunks that nodes make, bytes. 32 KiB: large enough that a chunk's costs
/// vanish beside its bytes, small enough to stay in a first-level cache.
pub const CHUNK_BYTES: usize = 32 << 10;

/// A chunk of a message. Cloning or cutting it copies no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The chunk; it may be empty.
    pub bytes: Bytes,
    /// Whether the message ends with it.
    pub last: bool,
}

impl Piece {
    /// A chunk with more of its message to come.
    pub fn part(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), last: false }
    }

    /// A message, or the last chunk of one.
    pub fn last(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), last: true }
    }
}
