//! Errors: why a connection ends in another way than by its closing handshake.

use crate::CloseCode;
use crate::text::InvalidUtf8;
use core::fmt;

/// Why a connection failed (RFC 6455 section 7.1.7). The peer is told by the close code, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A reserved bit that no extension gives a meaning to.
    ReservedBits,
    /// An opcode that nobody has defined.
    ReservedOpcode,
    /// A client's frame without a mask.
    Unmasked,
    /// A server's frame with a mask.
    Masked,
    /// A control frame with more than 125 bytes.
    ControlTooLong,
    /// A control frame in fragments.
    ControlFragmented,
    /// A length in more bytes than it needs, or with the top bit set.
    LengthForm,
    /// A continuation of no message.
    NothingToContinue,
    /// A message that begins inside another.
    Unfinished,
    /// A close frame with a code that none may have, or with half a code.
    CloseCode,
    /// Text that is no UTF-8.
    InvalidUtf8,
    /// A compressed message that is none.
    Corrupt,
    /// A message longer than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max).
    TooLong,
    /// A message in more than [`Limits::fragments_max`](crate::Limits::fragments_max) frames.
    TooManyFragments,
    /// The peer ended the connection without a close frame.
    Cut,
    /// The peer did not answer a ping.
    Silent,
    /// The peer takes nothing of what is sent to it.
    OutputStalled,
    /// The peer takes it too slowly.
    OutputTooSlow,
}

impl Error {
    /// What the peer is told; `None` if nothing more is sent.
    pub fn close_code(self) -> Option<CloseCode> {
        match self {
            Self::InvalidUtf8 | Self::Corrupt => Some(CloseCode::INVALID_PAYLOAD),
            Self::TooLong => Some(CloseCode::TOO_LONG),
            Self::TooManyFragments => Some(CloseCode::POLICY),
            Self::Cut | Self::Silent | Self::OutputStalled | Self::OutputTooSlow => None,
            _ => Some(CloseCode::PROTOCOL_ERROR),
        }
    }

    /// The same in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::ReservedOpcode => "a reserved opcode",
            Self::Unmasked => "a client's frame without a mask",
            Self::Masked => "a server's frame with a mask",
            Self::ControlTooLong => "a control frame of more than 125 bytes",
            Self::ControlFragmented => "a control frame in fragments",
            Self::LengthForm => "a length that is not in its shortest form",
            Self::NothingToContinue => "a continuation without a message",
            Self::Unfinished => "a message begins inside another",
            Self::CloseCode => "a close code that is not allowed",
            Self::InvalidUtf8 => "text that is no UTF-8",
            Self::Corrupt => "compressed data is corrupt",
            Self::TooLong => "a message is too long",
            Self::TooManyFragments => "a message in too many fragments",
            Self::Cut => "the connection ended without a close frame",
            Self::Silent => "the peer did not answer a ping",
            Self::OutputStalled => "the peer takes nothing of what is sent to it",
            Self::OutputTooSlow => "the peer takes what is sent to it too slowly",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Error {}

impl From<InvalidUtf8> for Error {
    fn from(InvalidUtf8: InvalidUtf8) -> Self {
        Self::InvalidUtf8
    }
}
