//! Errors: why a flow ended or never came to be.

use core::fmt;

/// Why a flow can carry no more bytes in the direction asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowError {
    /// The peer reset the flow, or vanished and took unread bytes with it.
    Reset,
    /// This side called `abort`, or already finished writing.
    Closed,
    /// The peer did not acknowledge anything for the transport's limit.
    TimedOut,
    /// The network interface or the host below went away.
    Down,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "the peer reset the connection",
            Self::Closed => "the connection is closed on this side",
            Self::TimedOut => "the peer stopped answering",
            Self::Down => "the network below is down",
        })
    }
}

impl core::error::Error for FlowError {}

/// Why a connector could not open a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectError {
    /// Somebody is there and nobody listens on that port.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No route, no neighbour, or no network yet.
    Unreachable,
    /// The name does not resolve, or nobody offers the service.
    NotFound,
    /// Nothing is at that path that could be connected with.
    NoSuchPath,
    /// Nothing here connects to targets of this scheme.
    Unsupported,
    /// The other end is not who it should be, or does not speak TLS as we do; the log says why.
    Untrusted,
    /// Who connects for us does not let us go there.
    NotAllowed,
    /// Every local port, or the configured number of connections, is in use; try again later.
    Exhausted,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "no answer in time",
            Self::Unreachable => "no route to the host",
            Self::NotFound => "the name does not resolve",
            Self::NoSuchPath => "there is nothing at that path",
            Self::Unsupported => "no connector for targets of this scheme",
            Self::Untrusted => "no TLS with the other end, as the log says",
            Self::NotAllowed => "not allowed by who connects for us",
            Self::Exhausted => "no local port or connection is free",
        })
    }
}

impl core::error::Error for ConnectError {}
