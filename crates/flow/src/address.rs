//! Where a flow comes from and where it goes.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

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

/// What a connector is asked to reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address that needs no lookup.
    Address(SocketAddr),
    /// A host name, resolved by the connector, and a port.
    Name(String, u16),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// The text is not `HOST:PORT`, `A.B.C.D:PORT` or `[V6]:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseTargetError;

impl fmt::Display for ParseTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected HOST:PORT, for example 10.0.0.2:80, [fe80::2]:80 or db.example:80")
    }
}

impl core::error::Error for ParseTargetError {}

impl FromStr for Target {
    type Err = ParseTargetError;

    /// Host names follow RFC 1123 section 2.1: at most 253 octets of letters, digits, `-`, `.`;
    /// `_` is allowed too, since service names use it.
    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ParseTargetError)?;
        let port = port.parse().map_err(|_| ParseTargetError)?;
        let octet_ok = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(octet_ok) {
            return Err(ParseTargetError);
        }
        Ok(Self::Name(host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn targets_parse_and_print() {
        for text in ["10.0.0.2:80", "[fe80::2]:8080", "db.example:5432", "_x-y:1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_targets_are_refused() {
        for text in ["", ":80", "host", "host:", "host:65536", "a b:1", "fe80::2:80", "h/:1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
