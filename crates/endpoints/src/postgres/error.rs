//! Errors: why a query has no answer.

use ::flow::{ConnectError, FlowError};
use ::postgres::{Error, SendError, ServerError, SqlState, ValueError};
use alloc::boxed::Box;
use core::fmt;

/// Why there is no answer, or not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The server says what is wrong. The connection goes on.
    Server(Box<ServerError>),
    /// The connection ended: the server or the start broke a rule, or the server ended it and said why.
    Protocol(Error),
    /// No connection came to be.
    Connect(ConnectError),
    /// The connection broke.
    Flow(FlowError),
    /// The server did not go on with its answer within [`Options::query_timeout`](super::Options::query_timeout).
    QueryTimeout,
    /// The connection had ended before.
    Closed,
    /// The request cannot be put on the wire.
    Request(SendError),
    /// A value is none of the type asked for.
    Value(ValueError),
    /// Other than one row came of [`Client::query_one`](super::Client::query_one): so many, or two if more.
    RowCount(usize),
    /// More came than [`Options::result_bytes_max`](super::Options::result_bytes_max).
    TooLong,
    /// The transaction had failed before, so that `COMMIT` rolled it back.
    RolledBack,
    /// The statement is no COPY of that direction.
    NoCopy,
    /// So many notifications were lost, since nobody took them in time.
    NotificationsLost(usize),
    /// Of the servers none is of the kind asked for.
    NoServer,
    /// No connection of the pool came free in time.
    PoolTimeout,
}

impl ClientError {
    /// The server's SQLSTATE, if it said one.
    pub fn state(&self) -> Option<SqlState> {
        match self {
            Self::Server(error) | Self::Protocol(Error::Server(error)) => Some(error.state),
            _ => None,
        }
    }

    /// Whether the connection is over.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Protocol(_)
                | Self::Connect(_)
                | Self::Flow(_)
                | Self::QueryTimeout
                | Self::Closed
        )
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::QueryTimeout => {
                f.write_str("the server did not go on with its answer in time (query_timeout)")
            }
            Self::Closed => f.write_str("the connection has ended"),
            Self::Request(error) => error.fmt(f),
            Self::Value(error) => error.fmt(f),
            Self::RowCount(0) => f.write_str("no row came, and one is expected"),
            Self::RowCount(_) => f.write_str("more than one row came, and one is expected"),
            Self::TooLong => f.write_str("the result is longer than allowed: ask for a stream"),
            Self::RolledBack => f.write_str("the transaction had failed, and was rolled back"),
            Self::NoCopy => f.write_str("the statement is no COPY of that direction"),
            Self::NotificationsLost(count) => {
                write!(f, "{count} notifications were lost, since they were not taken in time")
            }
            Self::NoServer => f.write_str("no server is of the kind asked for"),
            Self::PoolTimeout => f.write_str("no connection came free in time"),
        }
    }
}

impl core::error::Error for ClientError {}

impl From<SendError> for ClientError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotReady => Self::Closed,
            error => Self::Request(error),
        }
    }
}

impl From<ValueError> for ClientError {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}
