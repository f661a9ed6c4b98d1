//! Exception: the one error of remote calls (rpc.capnp, `Exception`).

use alloc::string::{String, ToString};
use core::fmt;

/// What the caller should do about a failed call (rpc.capnp, `Exception.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It went wrong, and would again: report it.
    Failed,
    /// A resource ran out for now: retry later.
    Overloaded,
    /// A connection that the call needed is gone: connect again, then retry.
    Disconnected,
    /// The receiver has no such method: use another.
    Unimplemented,
}

/// Why a call, a promise or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What to do about it.
    pub kind: Kind,
    /// For people; may come from the peer.
    pub reason: String,
}

impl Exception {
    /// An exception of `kind`.
    pub fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// [`Kind::Failed`].
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(Kind::Failed, reason)
    }

    /// [`Kind::Overloaded`].
    pub fn overloaded(reason: impl Into<String>) -> Self {
        Self::new(Kind::Overloaded, reason)
    }

    /// [`Kind::Disconnected`].
    pub fn disconnected(reason: impl Into<String>) -> Self {
        Self::new(Kind::Disconnected, reason)
    }

    /// [`Kind::Unimplemented`].
    pub fn unimplemented(reason: impl Into<String>) -> Self {
        Self::new(Kind::Unimplemented, reason)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Failed => "failed: ",
            Kind::Overloaded => "overloaded: ",
            Kind::Disconnected => "disconnected: ",
            Kind::Unimplemented => "unimplemented: ",
        })?;
        f.write_str(&self.reason)
    }
}

impl core::error::Error for Exception {}

impl From<capnp::Error> for Exception {
    fn from(error: capnp::Error) -> Self {
        use capnp::ErrorKind;
        let kind = match error.kind {
            ErrorKind::Overloaded => Kind::Overloaded,
            ErrorKind::Disconnected => Kind::Disconnected,
            ErrorKind::Unimplemented => Kind::Unimplemented,
            ErrorKind::Failed => Kind::Failed,
            // A malformed message: the crate's own words say how.
            _ => return Self::failed(error.to_string()),
        };
        Self::new(kind, error.extra)
    }
}

impl From<Exception> for capnp::Error {
    fn from(exception: Exception) -> Self {
        match exception.kind {
            Kind::Failed => Self::failed(exception.reason),
            Kind::Overloaded => Self::overloaded(exception.reason),
            Kind::Disconnected => Self::disconnected(exception.reason),
            Kind::Unimplemented => Self::unimplemented(exception.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_kinds_survive_both_ways() {
        for kind in [Kind::Failed, Kind::Overloaded, Kind::Disconnected, Kind::Unimplemented] {
            let exception = Exception::new(kind, "why");
            assert_eq!(Exception::from(capnp::Error::from(exception.clone())), exception);
        }
    }
}
