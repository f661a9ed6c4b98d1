//! Faults: why a pipeline ended before its end.

use core::fmt;

/// What went wrong. It passes through the nodes behind what came before it, exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A message, an object or a compressed stream ended in its middle.
    Truncated,
    /// Bytes follow where a message should have ended.
    TrailingBytes,
    /// The bytes are not what the node named here reads.
    Corrupt(&'static str),
    /// The bytes are what the node named here reads, and another object than the one that it is to make of them.
    Shape(&'static str),
    /// A message or an object over the size limit of the node named here.
    TooLong(&'static str),
    /// A compressed stream grows beyond [`Expansion`](crate::Expansion).
    Bomb,
    /// An object is nested deeper than the limit.
    TooDeep,
    /// A message starts with other bytes than those expected: its first byte, if it has one.
    UnknownPrefix(Option<u8>),
    /// The object cannot be written in this format.
    Unwritable,
    /// What feeds the pipeline failed: a lost connection, a handler's error.
    Source(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("input ends in the middle"),
            Self::TrailingBytes => f.write_str("bytes after the end"),
            Self::Corrupt(node) => write!(f, "not valid {node}"),
            Self::Shape(node) => write!(f, "{node} of another shape than expected"),
            Self::TooLong(node) => write!(f, "too long for {node}"),
            Self::Bomb => f.write_str("expands beyond the limit"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::UnknownPrefix(Some(byte)) => write!(f, "unknown prefix byte {byte:#04x}"),
            Self::UnknownPrefix(None) => f.write_str("prefix missing"),
            Self::Unwritable => f.write_str("object cannot be written"),
            Self::Source(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for Fault {}
