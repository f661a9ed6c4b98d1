//! Address: one end of a flow that exists.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// One end of a flow that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A TCP endpoint.
    Ip(SocketAddr),
    /// One end of an in-memory flow, by its number in this process or image.
    Memory(u64),
}

impl Address {
    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(socket) => Some(socket.ip()),
            Self::Memory(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(socket) => socket.fmt(f),
            Self::Memory(number) => write!(f, "memory:{number}"),
        }
    }
}
