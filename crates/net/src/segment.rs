//! What the demultiplexer reads of a frame: enough to find the connection, and no more.

use crate::tuple::Tuple;
use smoltcp::wire::{IpAddress, Ipv4Packet, TcpOption, TcpPacket};

/// A frame, as far as the demultiplexer cares.
pub(crate) enum Frame<'a> {
    /// A whole TCP segment, addressed to our hardware address.
    Tcp(Segment<'a>),
    /// Anything that the service interface handles: ARP, ICMP, UDP, neighbour discovery.
    Other,
    /// A length lies, or it is a TCP fragment, which we do not reassemble.
    Malformed,
    /// TCP in a frame that was not sent to us alone.
    NotOurs,
}

/// A TCP segment and where it lies.
pub(crate) struct Segment<'a> {
    pub(crate) tuple: Tuple,
    /// The hardware address of the previous hop.
    pub(crate) source: [u8; 6],
    /// The IP packet, without the frame's padding.
    pub(crate) packet: &'a [u8],
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) data_len: usize,
}

/// The flag bits of a TCP header (RFC 9293 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const ACK: u8 = 16;

    pub(crate) fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// A SYN that opens a connection: neither an answer, nor an end.
    pub(crate) fn is_opening(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }
}

/// What a peer offers in its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The largest segment it takes, in bytes of payload.
    pub(crate) mss: u16,
    /// Its window scale (RFC 7323), at most 14; `None` when it does not scale.
    pub(crate) scale: Option<u8>,
    /// It understands selective acknowledgements (RFC 2018).
    pub(crate) sack: bool,
}

impl<'a> Segment<'a> {
    /// Reads the frame's headers; `own` is our hardware address.
    pub(crate) fn parse(frame: &'a [u8], own: [u8; 6]) -> Frame<'a> {
        let Some((header, packet)) = frame.split_first_chunk::<ETHERNET>() else {
            return Frame::Malformed;
        };
        match [header[12], header[13]] {
            [0x08, 0x00] => parse_v4(header, packet, own),
            [0x86, 0xdd] => parse_v6(header, packet, own),
            _ => Frame::Other,
        }
    }

    /// Octets of sequence space that the segment takes.
    pub(crate) fn sequence_len(&self) -> u32 {
        let control = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.data_len as u32 + control
    }

    /// The options of a SYN. Absent or absurd values get the defaults of RFC 9293 section 3.7.1.
    pub(crate) fn offer(&self) -> Offer {
        let default_mss = if self.tuple.is_v4() { 536 } else { 1220 };
        let mut offer = Offer { mss: default_mss, scale: None, sack: false };
        let mut options = TcpPacket::new_unchecked(self.tcp()).options();
        while let Ok((rest, option)) = TcpOption::parse(options) {
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(mss) if mss != 0 => offer.mss = mss.max(MSS_MIN),
                // RFC 7323 section 2.3: a shift above 14 counts as 14.
                TcpOption::WindowScale(shift) => offer.scale = Some(shift.min(14)),
                TcpOption::SackPermitted => offer.sack = true,
                _ => (),
            }
            options = rest;
        }
        offer
    }

    /// Verifies both checksums, for segments that smoltcp does not see.
    pub(crate) fn checksums_are_right(&self) -> bool {
        let (local, remote) = (self.tuple.local().ip(), self.tuple.remote().ip());
        let (local, remote) = (IpAddress::from(local), IpAddress::from(remote));
        let ip = !self.tuple.is_v4() || Ipv4Packet::new_unchecked(self.packet).verify_checksum();
        ip && TcpPacket::new_unchecked(self.tcp()).verify_checksum(&remote, &local)
    }

    fn tcp(&self) -> &'a [u8] {
        let at = match self.packet.first() {
            Some(first) if self.tuple.is_v4() => usize::from(first & 15) * 4,
            _ => IPV6,
        };
        self.packet.get(at..).unwrap_or_default()
    }
}

/// Smaller offers are taken as this, as smoltcp and Linux do: a segment must carry something.
const MSS_MIN: u16 = 48;
const ETHERNET: usize = 14;
const IPV4_MIN: usize = 20;
const IPV6: usize = 40;
const PROTOCOL_TCP: u8 = 6;

fn parse_v4<'a>(header: &[u8; ETHERNET], packet: &'a [u8], own: [u8; 6]) -> Frame<'a> {
    let Some((ip, _)) = packet.split_first_chunk::<IPV4_MIN>() else {
        return Frame::Malformed;
    };
    if ip[9] != PROTOCOL_TCP {
        return Frame::Other;
    }
    if header[..6] != own {
        return Frame::NotOurs;
    }
    let header_len = usize::from(ip[0] & 15) * 4;
    let total_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let fragmented = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    if ip[0] >> 4 != 4 || header_len < IPV4_MIN || total_len < header_len || fragmented {
        return Frame::Malformed;
    }
    let (remote, local) = ([ip[12], ip[13], ip[14], ip[15]], [ip[16], ip[17], ip[18], ip[19]]);
    let Some(packet) = packet.get(..total_len) else { return Frame::Malformed };
    parse_tcp(header, packet, header_len, |ports| Tuple::v4(local, remote, ports.0, ports.1))
}

fn parse_v6<'a>(header: &[u8; ETHERNET], packet: &'a [u8], own: [u8; 6]) -> Frame<'a> {
    let Some((ip, _)) = packet.split_first_chunk::<IPV6>() else {
        return Frame::Malformed;
    };
    if ip[6] != PROTOCOL_TCP {
        return Frame::Other;
    }
    if header[..6] != own {
        return Frame::NotOurs;
    }
    let total_len = IPV6 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let Some(packet) = packet.get(..total_len) else { return Frame::Malformed };
    let (mut remote, mut local) = ([0; 16], [0; 16]);
    remote.copy_from_slice(&ip[8..24]);
    local.copy_from_slice(&ip[24..40]);
    parse_tcp(header, packet, IPV6, |ports| Tuple::v6(&local, &remote, ports))
}

fn parse_tcp<'a>(
    header: &[u8; ETHERNET],
    packet: &'a [u8],
    ip_header_len: usize,
    tuple: impl FnOnce((u16, u16)) -> Tuple,
) -> Frame<'a> {
    let Some(tcp) = packet.get(ip_header_len..).and_then(|tcp| tcp.first_chunk::<20>()) else {
        return Frame::Malformed;
    };
    let tcp_header_len = usize::from(tcp[12] >> 4) * 4;
    let Some(data_len) = (packet.len() - ip_header_len).checked_sub(tcp_header_len) else {
        return Frame::Malformed;
    };
    if tcp_header_len < 20 {
        return Frame::Malformed;
    }
    let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    Frame::Tcp(Segment {
        tuple: tuple((half(2), half(0))),
        source: [header[6], header[7], header[8], header[9], header[10], header[11]],
        packet,
        seq: word(4),
        ack: word(8),
        flags: Flags(tcp[13]),
        window: half(14),
        data_len,
    })
}

/// `a` comes before `b` in sequence space (RFC 9293 section 3.4).
pub(crate) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
