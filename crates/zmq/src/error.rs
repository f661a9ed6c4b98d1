//! Errors: why a connection ended, and why a message was not taken.

use alloc::string::String;
use core::fmt;

/// Why a connection ended. Whatever the cause, this one connection closes and no other notices.
///
/// During the handshake the cause is also sent to the peer as an ERROR command (RFC 37, "The
/// ERROR command"); after it ZMTP has no way to say so and the connection just closes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first ten bytes are not a ZMTP signature.
    Signature,
    /// The peer speaks a ZMTP older than 2.0, or 2.0 where security is asked for: its major version.
    Version(u8),
    /// The peer's greeting names another security mechanism.
    MechanismMismatch,
    /// Both peers say that they are the mechanism's server.
    RoleMismatch,
    /// The peer's socket type cannot talk to ours (RFC 37, "The Socket-Type property").
    SocketTypeMismatch,
    /// The user name, password or key was refused.
    Unauthorized,
    /// A frame's flags have reserved bits set, or a command has the MORE bit.
    ReservedFlags,
    /// A frame is longer than [`Limits::frame_bytes_max`](crate::Limits::frame_bytes_max): its length.
    FrameTooLong(u64),
    /// A command is longer than [`Limits::command_bytes_max`](crate::Limits::command_bytes_max).
    CommandTooLong(u64),
    /// A command's name or fields do not fit in it.
    MalformedCommand,
    /// A command, or a message, that has no place in the present state.
    UnexpectedCommand,
    /// More parts in one message than [`Limits::parts_max`](crate::Limits::parts_max).
    TooManyParts,
    /// A message is longer than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max).
    MessageTooLong,
    /// An identity over 255 bytes, or one another peer of a ROUTER already has.
    Identity,
    /// A CURVE box did not open, or its nonce was used before.
    Crypto,
    /// The handshake took longer than [`Limits::handshake_timeout`](crate::Limits::handshake_timeout).
    HandshakeTimeout,
    /// Nothing came from the peer for the heartbeat's timeout, or for the TTL it announced.
    HeartbeatTimeout,
    /// Nothing came of what a message lacked for
    /// [`Limits::stall_timeout`](crate::Limits::stall_timeout).
    MessageStalled,
    /// A message came more slowly than
    /// [`Limits::bytes_per_second_min`](crate::Limits::bytes_per_second_min).
    MessageTooSlow,
    /// The peer took nothing of what was there for it for [`Limits::write_timeout`](crate::Limits::write_timeout).
    OutputStalled,
    /// The peer took what was there for it more slowly than
    /// [`Limits::bytes_per_second_min`](crate::Limits::bytes_per_second_min).
    OutputTooSlow,
    /// Its messages that were not whole took most of the memory for those of all.
    HeldMost,
    /// A new connection took its identity over ([`Options::router_handover`](crate::Options::router_handover)).
    Superseded,
    /// This side ended the connection.
    Disconnected,
    /// The peer sent ERROR: its reason.
    Peer(String),
    /// The connection had ended before.
    Closed,
}

impl Error {
    /// The reason as the peer reads it in an ERROR command: at most 255 bytes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Signature => "not a ZMTP signature",
            Self::Version(_) => "ZMTP version not supported",
            Self::MechanismMismatch => "security mechanism mismatch",
            Self::RoleMismatch => "as-server mismatch",
            Self::SocketTypeMismatch => "invalid socket type",
            Self::Unauthorized => "access refused",
            Self::ReservedFlags => "reserved frame flags",
            Self::FrameTooLong(_) => "frame too long",
            Self::CommandTooLong(_) => "command too long",
            Self::MalformedCommand => "malformed command",
            Self::UnexpectedCommand => "unexpected command",
            Self::TooManyParts => "too many parts",
            Self::MessageTooLong => "message too long",
            Self::Identity => "invalid identity",
            Self::Crypto => "cryptographic failure",
            Self::HandshakeTimeout => "handshake timed out",
            Self::HeartbeatTimeout => "heartbeat timed out",
            Self::MessageStalled => "a message did not come to its end within stall_timeout",
            Self::MessageTooSlow => "a message came more slowly than bytes_per_second_min",
            Self::OutputStalled => "the peer took nothing within write_timeout",
            Self::OutputTooSlow => "the peer took less than bytes_per_second_min",
            Self::HeldMost => "unfinished messages took too much memory",
            Self::Superseded => "another connection took the identity over",
            Self::Disconnected => "ended by this side",
            Self::Peer(_) => "peer reported an error",
            Self::Closed => "connection closed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(major) => write!(f, "ZMTP version {major} not supported"),
            Self::FrameTooLong(len) => write!(f, "frame too long: {len} bytes"),
            Self::CommandTooLong(len) => write!(f, "command too long: {len} bytes"),
            Self::Peer(reason) => write!(f, "peer reported: {reason}"),
            other => f.write_str(other.reason()),
        }
    }
}

impl core::error::Error for Error {}

/// Why a [`Connection`](crate::Connection) did not take what it was to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The handshake is not done, or the connection has ended.
    NotReady,
    /// A part is under way whose promised bytes have not all been given.
    PartUnfinished,
    /// More bytes than the part promised.
    PartOverrun,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "connection not ready",
            Self::PartUnfinished => "the last part lacks bytes",
            Self::PartOverrun => "more bytes than the part promised",
        })
    }
}

impl core::error::Error for SendError {}
