//! Address: one end of a flow that exists.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// One end of a flow that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A TCP endpoint.
    Ip(SocketAddr),
    /// A socket of a virtual machine or of its host (virtio 1.3 section 5.10).
    Vsock(VsockAddress),
    /// One end of a flow through memory that is shared with another process or machine, by its number in this one.
    SharedMemory(u64),
    /// A process on this machine, by the number of the user that it runs as (unix(7), `SO_PEERCRED`).
    Unix {
        /// That number.
        user: u32,
    },
    /// One end of an in-memory flow, by its number in this process or image.
    Memory(u64),
}

/// Address of a vsock: a machine, and a port on it. As text, `3:9000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VsockAddress {
    /// Context identifier: the number of a machine; 2 is the host's.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

impl fmt::Display for VsockAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cid, self.port)
    }
}

/// The text is no [`VsockAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadVsockAddress;

impl FromStr for VsockAddress {
    type Err = BadVsockAddress;

    fn from_str(text: &str) -> Result<Self, BadVsockAddress> {
        let number = |text: &str| match text.as_bytes() {
            // What `parse` takes besides.
            [b'+', ..] => Err(BadVsockAddress),
            _ => text.parse::<u32>().map_err(|_| BadVsockAddress),
        };
        let (cid, port) = text.split_once(':').ok_or(BadVsockAddress)?;
        Ok(Self { cid: number(cid)?, port: number(port)? })
    }
}

impl Address {
    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(socket) => Some(socket.ip()),
            Self::Vsock(_) | Self::SharedMemory(_) | Self::Unix { .. } | Self::Memory(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(socket) => socket.fmt(f),
            Self::Vsock(address) => write!(f, "vsock:{address}"),
            Self::SharedMemory(number) => write!(f, "shm:{number}"),
            Self::Unix { user } => write!(f, "unix:user={user}"),
            Self::Memory(number) => write!(f, "memory:{number}"),
        }
    }
}
