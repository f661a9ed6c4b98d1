//! Metadata of READY and INITIATE (RFC 37, "Metadata").

use crate::message::body_held_bytes;
use crate::{Error, SocketType};
use alloc::vec::Vec;
use bytes::Bytes;

const SOCKET_TYPE: &[u8] = b"Socket-Type";
const IDENTITY: &[u8] = b"Identity";

/// RFC 37: an identity is 0 to 255 octets.
pub(crate) const IDENTITY_BYTES_MAX: usize = 255;

/// What the peer said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its socket type.
    pub socket_type: SocketType,
    /// Its identity, empty if it gave none.
    pub identity: Bytes,
    /// Major version of ZMTP that is spoken with it: 2 or 3.
    pub major_version: u8,
    /// Minor version of ZMTP 3 it speaks: 0 or more.
    pub minor_version: u8,
    properties: Bytes,
}

impl Peer {
    /// Reads a metadata block. A property we do not know is kept for [`Peer::property`].
    pub(crate) fn parse(block: &[u8], minor_version: u8) -> Result<Self, Error> {
        let mut socket_type = None;
        let mut identity = Bytes::new();
        for property in Properties(block) {
            let (name, value) = property?;
            if name.eq_ignore_ascii_case(SOCKET_TYPE) {
                socket_type = SocketType::from_name(value);
            } else if name.eq_ignore_ascii_case(IDENTITY) {
                if value.len() > IDENTITY_BYTES_MAX {
                    return Err(Error::Identity);
                }
                identity = Bytes::copy_from_slice(value);
            }
        }
        Ok(Self {
            socket_type: socket_type.ok_or(Error::SocketTypeMismatch)?,
            identity,
            major_version: 3,
            minor_version,
            properties: Bytes::copy_from_slice(block),
        })
    }

    /// One of ZMTP 2.0, which says no more of itself.
    pub(crate) fn v2(socket_type: SocketType, identity: Bytes) -> Self {
        let properties = Bytes::new();
        Self { socket_type, identity, major_version: 2, minor_version: 0, properties }
    }

    /// Bytes that it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + body_held_bytes(&self.identity) + body_held_bytes(&self.properties)
    }

    /// The value of a property; names have no case (RFC 37).
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        Properties(&self.properties)
            .filter_map(Result::ok)
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// Writes our metadata block.
pub(crate) fn encode(socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(40 + identity.len());
    put(&mut block, SOCKET_TYPE, socket_type.name().as_bytes());
    // RFC 37: Identity is for REQ, DEALER and ROUTER.
    if matches!(socket_type, SocketType::Req | SocketType::Dealer | SocketType::Router) {
        put(&mut block, IDENTITY, identity);
    }
    block
}

fn put(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(name.len() as u8);
    block.extend_from_slice(name);
    block.extend_from_slice(&(value.len() as u32).to_be_bytes());
    block.extend_from_slice(value);
}

/// Name and value pairs; one error ends it.
struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    fn split(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (&name_len, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (value_len, rest) = rest.split_first_chunk()?;
        let value_len = usize::try_from(u32::from_be_bytes(*value_len)).ok()?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.0 = rest;
        (!name.is_empty()).then_some((name, value))
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = self.split();
        if pair.is_none() {
            self.0 = &[];
        }
        Some(pair.ok_or(Error::MalformedCommand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn metadata_round_trips_and_names_have_no_case() {
        let mut block = encode(SocketType::Dealer, b"me");
        put(&mut block, b"X-colour", b"blue");
        let peer = Peer::parse(&block.to_ascii_uppercase(), 1).unwrap();
        assert_eq!(peer.socket_type, SocketType::Dealer);
        assert_eq!(peer.identity, "ME");
        assert_eq!(peer.property("x-Colour"), Some(&b"BLUE"[..]));
        assert_eq!(peer.property("y"), None);
    }

    #[test]
    fn every_truncation_is_refused() {
        let block = encode(SocketType::Pull, b"");
        for cut in 0..block.len() {
            assert!(Peer::parse(&block[..cut], 1).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_lying_value_length_and_a_long_identity_are_refused() {
        let mut block = encode(SocketType::Pull, b"");
        block.extend_from_slice(b"\x01x\xFF\xFF\xFF\xFFy");
        assert_eq!(Peer::parse(&block, 1), Err(Error::MalformedCommand));
        let block = encode(SocketType::Dealer, &[7; 256]);
        assert_eq!(Peer::parse(&block, 1), Err(Error::Identity));
        let block = encode(SocketType::Dealer, &[7; 255]);
        assert_eq!(Peer::parse(&block, 1).unwrap().identity, vec![7; 255]);
    }

    /// Beside itself two copies, each of which costs 32 bytes more than it has.
    #[test]
    fn a_peer_weighs_what_it_said() {
        let block = encode(SocketType::Dealer, &[7; 100]);
        // Two names, lengths, and values of 6 and 100 bytes.
        assert_eq!(block.len(), 1 + 11 + 4 + 6 + 1 + 8 + 4 + 100);
        let held = Peer::parse(&block, 1).unwrap().held_bytes();
        assert_eq!(held, size_of::<Peer>() + 132 + (135 + 32));
    }
}
