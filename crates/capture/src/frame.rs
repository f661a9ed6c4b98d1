//! Frame: the places of an Ethernet frame's headers that filters ask for. What is cut off is not there, and matches nothing.

use core::net::IpAddr;

/// What a frame's headers say.
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    ether_type: u16,
    transport: Option<Transport>,
}

/// The header behind IP's.
#[derive(Clone, Copy)]
struct Transport {
    protocol: u8,
    /// Where it begins; none in the second fragment and those behind it, which have no ports.
    at: Option<usize>,
}

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;

const HEADER_BYTES: usize = 14;
/// IEEE 802.1Q and 802.1ad.
const VLAN: [u16; 2] = [0x8100, 0x88a8];
/// Headers between IPv6's and the transport's that are looked behind.
const EXTENSIONS_MAX: usize = 8;

impl<'a> Frame<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let ether_type = u16_at(bytes, 12).unwrap_or(0);
        // A tagged frame is none of those: as pcap's `ip` does not see it.
        let ether_type = if VLAN.contains(&ether_type) { 0 } else { ether_type };
        let transport = match ether_type {
            IPV4 => ipv4_transport(bytes),
            IPV6 => ipv6_transport(bytes),
            _ => None,
        };
        Self { bytes, ether_type, transport }
    }

    pub(crate) fn ether_type(&self) -> u16 {
        self.ether_type
    }

    pub(crate) fn protocol(&self) -> Option<u8> {
        self.transport.map(|transport| transport.protocol)
    }

    /// Hardware addresses: source and destination.
    pub(crate) fn stations(&self) -> [Option<[u8; 6]>; 2] {
        [array_at(self.bytes, 6), array_at(self.bytes, 0)]
    }

    /// Addresses of IP, or those of which ARP speaks: source and destination.
    pub(crate) fn addresses(&self) -> [Option<IpAddr>; 2] {
        let v4 = |at: usize| array_at::<4>(self.bytes, HEADER_BYTES + at).map(IpAddr::from);
        let v6 = |at: usize| array_at::<16>(self.bytes, HEADER_BYTES + at).map(IpAddr::from);
        match self.ether_type {
            IPV4 => [v4(12), v4(16)],
            IPV6 => [v6(8), v6(24)],
            ARP => [v4(14), v4(24)],
            _ => [None, None],
        }
    }

    /// Where TCP's header is, and where the IP packet ends: behind it, Ethernet pads. None for other protocols, and for fragments,
    /// of which a part is missing.
    pub(crate) fn tcp(&self) -> Option<(usize, usize)> {
        let Some(Transport { protocol: 6, at: Some(at) }) = self.transport else { return None };
        let end = match self.ether_type {
            IPV4 => HEADER_BYTES + usize::from(u16_at(self.bytes, HEADER_BYTES + 2)?),
            _ => HEADER_BYTES + 40 + usize::from(u16_at(self.bytes, HEADER_BYTES + 4)?),
        };
        Some((at, end))
    }

    /// Ports of TCP and UDP: source and destination.
    pub(crate) fn ports(&self) -> [Option<u16>; 2] {
        let Some(Transport { protocol: 6 | 17, at: Some(at) }) = self.transport else {
            return [None, None];
        };
        [u16_at(self.bytes, at), u16_at(self.bytes, at + 2)]
    }
}

/// RFC 791 section 3.1.
fn ipv4_transport(bytes: &[u8]) -> Option<Transport> {
    let header_bytes = usize::from(bytes.get(HEADER_BYTES)? & 15) * 4;
    let offset = u16_at(bytes, HEADER_BYTES + 6)? & 0x1fff;
    let protocol = *bytes.get(HEADER_BYTES + 9)?;
    let at = (offset == 0).then_some(HEADER_BYTES + header_bytes);
    Some(Transport { protocol, at })
}

/// RFC 8200 section 4.
fn ipv6_transport(bytes: &[u8]) -> Option<Transport> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let mut protocol = *bytes.get(HEADER_BYTES + 6)?;
    let mut at = HEADER_BYTES + 40;
    let mut is_first = true;
    for _ in 0..EXTENSIONS_MAX {
        let length = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(*bytes.get(at + 1)?) + 1) * 8,
            FRAGMENT => {
                is_first &= u16_at(bytes, at + 2)? & 0xfff8 == 0;
                8
            }
            _ => break,
        };
        protocol = *bytes.get(at)?;
        at += length;
        if !is_first {
            break;
        }
    }
    Some(Transport { protocol, at: is_first.then_some(at) })
}

pub(crate) fn array_at<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..at + BYTES)?.try_into().ok()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}
