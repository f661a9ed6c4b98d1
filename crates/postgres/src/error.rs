//! Errors: why a connection ended, why a step was not taken, and why a value is none of that type.

use crate::{Oid, ServerError};
use alloc::boxed::Box;
use core::fmt;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A message is longer than the [`Limits`](crate::Limits) say, or its length is less than itself: its type and length.
    Length(u8, u32),
    /// A message's fields do not fit in it: its type.
    Malformed(u8),
    /// A message has no place in the present state: its type.
    Unexpected(u8),
    /// A row has another number of columns than its description.
    ColumnCount,
    /// The server speaks another protocol.
    Version,
    /// The server asks for a method of authentication that is not allowed, or that we lack.
    Method(&'static str),
    /// The server wants a password and there is none.
    PasswordMissing,
    /// The server's part of SCRAM breaks RFC 5802.
    Scram(&'static str),
    /// The server does not know the password, or somebody stands between: its SCRAM signature is wrong.
    ServerSignature,
    /// The server offers no SCRAM-SHA-256-PLUS, and channel binding is required.
    ChannelBinding,
    /// COPY FROM STDIN came of a prepared statement, with others behind it: there is no way back in step.
    CopyInPipeline,
    /// The start took longer than [`Limits::start_timeout`](crate::Limits::start_timeout).
    StartTimeout,
    /// Nothing came of what a message lacked for [`Limits::stall_timeout`](crate::Limits::stall_timeout).
    Stalled,
    /// The server took nothing for [`Limits::write_timeout`](crate::Limits::write_timeout).
    OutputStalled,
    /// The server ended the connection.
    Ended,
    /// The server said why it ends the connection, or refuses it.
    Server(Box<ServerError>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(kind, length) => {
                write!(f, "a message '{}' of {length} bytes", kind.escape_ascii())
            }
            Self::Malformed(kind) => {
                write!(f, "a message '{}' whose fields do not fit in it", kind.escape_ascii())
            }
            Self::Unexpected(kind) => {
                write!(f, "a message '{}' that has no place here", kind.escape_ascii())
            }
            Self::ColumnCount => f.write_str("a row whose columns are not those described"),
            Self::Version => f.write_str("the server speaks another protocol than 3.0 to 3.2"),
            Self::Method(name) => write!(f, "the server asks for {name}, which is not allowed"),
            Self::PasswordMissing => {
                f.write_str("the server asks for a password and there is none")
            }
            Self::Scram(what) => write!(f, "SCRAM: {what}"),
            Self::ServerSignature => {
                f.write_str("the server cannot prove that it knows the password")
            }
            Self::ChannelBinding => f.write_str("the server offers no channel binding"),
            Self::CopyInPipeline => f.write_str("COPY FROM STDIN inside a pipeline"),
            Self::StartTimeout => f.write_str("the server took too long to start"),
            Self::Stalled => f.write_str("a message did not come to its end"),
            Self::OutputStalled => f.write_str("the server takes nothing"),
            Self::Ended => f.write_str("the server ended the connection"),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// Why a step was not taken. Nothing of it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has not started, or has ended.
    NotReady,
    /// A name or a statement has a zero byte.
    ZeroByte,
    /// More than 65,535 parameters, or a message of more than 1 GiB.
    TooLong,
    /// Other than so many parameters, which the statement has, were given.
    ParameterCount(usize),
    /// The parameter of this number, from 0, is no value of the statement's type.
    Parameter(usize, ValueError),
    /// COPY data without a COPY FROM STDIN that waits for it, or a step while one does.
    OutOfTurn,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("the connection is not open"),
            Self::ZeroByte => f.write_str("a statement or a name has a zero byte"),
            Self::TooLong => f.write_str("too long a message, or too many parameters"),
            Self::ParameterCount(count) => write!(f, "the statement has {count} parameters"),
            Self::Parameter(index, error) => write!(f, "parameter {}: {error}", index + 1),
            Self::OutOfTurn => f.write_str("COPY data is out of turn"),
        }
    }
}

impl core::error::Error for SendError {}

/// Why bytes are no value of a type, or a value none of the server's type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The server's type is another one than the program's.
    Type(Oid),
    /// The value is NULL and the program's type has none: see `Option`.
    Null,
    /// There is no such column.
    NoColumn,
    /// The value came as text, as those of [`Connection::query`](crate::Connection::query) do.
    Text,
    /// The value's bytes have another length or form than the type's, or it does not fit.
    Malformed,
    /// It has no place in the range of the other type.
    Range,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(oid) => write!(f, "the server's type is {oid}, which is another one"),
            Self::Null => f.write_str("it is NULL"),
            Self::NoColumn => f.write_str("there is no such column"),
            Self::Text => f.write_str("it came as text: ask by a prepared statement"),
            Self::Malformed => f.write_str("its bytes are no value of the type"),
            Self::Range => f.write_str("it is out of the type's range"),
        }
    }
}

impl core::error::Error for ValueError {}
