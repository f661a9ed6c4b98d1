//! Datagrams of UDP (RFC 768) that tasks send, and nothing more: what is answered to them goes to no port of ours.

use crate::wire::ETHERNET;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr,
};

/// Why a datagram is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramError {
    /// No way leads there, from an address of ours.
    Unreachable,
    /// The link carries no packet that long, and datagrams are not cut.
    TooLong,
    /// Too many wait already.
    Full,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no way leads there",
            Self::TooLong => "it is too long for the link",
            Self::Full => "too many datagrams wait",
        })
    }
}

impl core::error::Error for DatagramError {}

/// Datagrams that tasks have given to the stack since it last looked, or that wait for their next hop to be known.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    pub(crate) waiting: RefCell<VecDeque<Datagram>>,
    /// Headers are weighed, too.
    bytes: Cell<usize>,
    /// When they are looked at; none if there are none.
    pub(crate) due: Cell<Option<Duration>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: IpAddr,
    pub(crate) to: SocketAddr,
    pub(crate) next_hop: IpAddr,
    pub(crate) content: Vec<u8>,
}

/// The port that they leave from: the first that is nobody's (RFC 6335 section 6).
const SOURCE_PORT: u16 = 49_152;
/// What may wait, bytes: twice what the log's sender gives at once.
const WAITING_BYTES_MAX: usize = 128 << 10;
const UDP: usize = 8;
const HOP_LIMIT: u8 = 64;

impl Datagrams {
    /// When they are looked at next.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.due.get()
    }

    pub(crate) fn are_due(&self, now: Duration) -> bool {
        self.due.get().is_some_and(|due| due <= now)
    }

    pub(crate) fn push(&self, datagram: Datagram, now: Duration) -> Result<(), DatagramError> {
        let bytes = self.bytes.get() + datagram.held_bytes();
        if bytes > WAITING_BYTES_MAX {
            return Err(DatagramError::Full);
        }
        self.bytes.set(bytes);
        self.waiting.borrow_mut().push_back(datagram);
        self.due.set(Some(now));
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<Datagram> {
        let datagram = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - datagram.held_bytes());
        Some(datagram)
    }
}

impl Datagram {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.content.len()
    }

    fn ip_header_bytes(&self) -> usize {
        if self.to.is_ipv4() { 20 } else { 40 }
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        ETHERNET + self.ip_header_bytes() + UDP + self.content.len()
    }

    pub(crate) fn write(
        &self,
        own: [u8; 6],
        hop: [u8; 6],
        checksums: &ChecksumCapabilities,
        frame: &mut [u8],
    ) {
        let ethertype =
            if self.to.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        let (src_addr, dst_addr) = (EthernetAddress(own), EthernetAddress(hop));
        let ethernet = EthernetRepr { src_addr, dst_addr, ethertype };
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
        let (header, packet) = frame[ETHERNET..].split_at_mut(self.ip_header_bytes());
        let (next_header, payload_len) = (IpProtocol::Udp, UDP + self.content.len());
        match (self.from, self.to.ip()) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let hop_limit = HOP_LIMIT;
                let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
                ip.emit(&mut Ipv4Packet::new_unchecked(header), checksums);
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let hop_limit = HOP_LIMIT;
                let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
                ip.emit(&mut Ipv6Packet::new_unchecked(header));
            }
            // A route's source is of its destination's family.
            _ => return,
        }
        let udp = UdpRepr { src_port: SOURCE_PORT, dst_port: self.to.port() };
        let (from, to) = (self.from.into(), self.to.ip().into());
        let mut packet = UdpPacket::new_unchecked(packet);
        let write = |content: &mut [u8]| content.copy_from_slice(&self.content);
        udp.emit(&mut packet, &from, &to, self.content.len(), write, checksums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn why_a_datagram_is_not_sent_is_said() {
        for (error, said) in [
            (DatagramError::Unreachable, "no way leads there"),
            (DatagramError::TooLong, "it is too long for the link"),
            (DatagramError::Full, "too many datagrams wait"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn what_waits_is_weighed_with_its_headers_and_leaves_its_room() {
        let datagrams = Datagrams::default();
        let to: SocketAddr = "10.0.0.2:514".parse().unwrap();
        let datagram = |bytes| Datagram {
            from: "10.0.0.1".parse().unwrap(),
            to,
            next_hop: to.ip(),
            content: alloc::vec![0; bytes],
        };
        let own = size_of::<Datagram>();
        let half = (64 << 10) - own;
        let second = Duration::from_secs(1);
        assert!(!datagrams.are_due(second));
        assert_eq!(datagrams.push(datagram(half), second), Ok(()));
        assert_eq!((datagrams.are_due(second / 2), datagrams.are_due(second)), (false, true));
        assert_eq!(datagrams.push(datagram(half + 1), second), Err(DatagramError::Full));
        assert_eq!(datagrams.push(datagram(half), second), Ok(()));
        assert_eq!(datagrams.push(datagram(0), second), Err(DatagramError::Full));
        assert_eq!(datagrams.pop().map(|it| it.content.len()), Some(half));
        assert_eq!(datagrams.push(datagram(half + 1), second), Err(DatagramError::Full));
        assert_eq!(datagrams.push(datagram(half), second), Ok(()));
        assert!(
            datagrams.pop().is_some() && datagrams.pop().is_some() && datagrams.pop().is_none()
        );
        assert_eq!(datagrams.bytes.get(), 0);
        assert_eq!(datagram(5).frame_bytes(), 14 + 20 + 8 + 5);
        let v6 = Datagram { to: "[fd00::2]:514".parse().unwrap(), ..datagram(5) };
        assert_eq!(v6.frame_bytes(), 14 + 40 + 8 + 5);
    }
}
