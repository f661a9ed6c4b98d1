//! Segment parsing: what the demultiplexer reads of a frame (RFC 9293 section 3.1), enough to find the
//! connection, and no more.

use crate::wire::tuple::Tuple;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket};

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
    /// After the handshake: selective acknowledgements, since we offer nothing else.
    pub(crate) has_options: bool,
}

/// The flag bits of a TCP header (RFC 9293 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
    const URG: u8 = 32;

    pub(crate) fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// What most segments have: an acknowledgement, perhaps a push or an end, and nothing else.
    pub(crate) fn is_plain(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::URG) == Self::ACK
    }

    /// A SYN that opens a connection: neither an answer, nor an end.
    pub(crate) fn is_opening(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }
}

/// What a peer offers in its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SynOptions {
    /// The largest segment it takes, in bytes of payload.
    pub(crate) mss: u16,
    /// Its window scale (RFC 7323), at most 14; `None` when it does not scale.
    pub(crate) window_scale: Option<u8>,
    /// It understands selective acknowledgements (RFC 2018).
    pub(crate) sack_permitted: bool,
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
    pub(crate) fn offer(&self) -> SynOptions {
        let default_mss = if self.tuple.is_v4() { 536 } else { 1220 };
        let mut offer = SynOptions { mss: default_mss, window_scale: None, sack_permitted: false };
        let tcp = self.tcp();
        let end = tcp.get(12).map_or(0, |length| usize::from(length >> 4) * 4);
        let mut options = tcp.get(20..end).unwrap_or_default();
        loop {
            options = match options {
                [1, rest @ ..] => rest,
                [2, 4, high, low, rest @ ..] => {
                    let mss = u16::from_be_bytes([*high, *low]);
                    offer.mss = if mss == 0 { default_mss } else { mss.max(MSS_MIN) };
                    rest
                }
                [3, 3, shift, rest @ ..] => {
                    // RFC 7323 section 2.3: a shift above 14 counts as 14.
                    offer.window_scale = Some((*shift).min(14));
                    rest
                }
                [4, 2, rest @ ..] => {
                    offer.sack_permitted = true;
                    rest
                }
                [kind, length, ..] if *kind > 4 && *length >= 2 => {
                    options.get(usize::from(*length)..).unwrap_or_default()
                }
                // The end, or a length that lies: what was read so far counts.
                _ => break,
            };
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

    /// Verifies what nobody has verified yet, for segments that smoltcp does not see.
    pub(crate) fn is_intact(&self, caps: &ChecksumCapabilities) -> bool {
        if caps.tcp.rx() {
            return self.checksums_are_right();
        }
        !(self.tuple.is_v4() && caps.ipv4.rx()) || self.ip_checksum_is_right()
    }

    /// RFC 1071: the ones' complement sum of a header with its checksum is all ones, in whichever
    /// byte order.
    fn ip_checksum_is_right(&self) -> bool {
        let Some((header, rest)) = self.packet.split_first_chunk::<IPV4_MIN>() else {
            return false;
        };
        let options_len = usize::from(header[0] & 15) * 4 - IPV4_MIN;
        let add = |sum, word: &[u8; 4]| sum + u64::from(u32::from_ne_bytes(*word));
        let mut sum = header.as_chunks::<4>().0.iter().fold(0, add);
        if options_len > 0 {
            let options = rest.get(..options_len).unwrap_or_default();
            sum = options.as_chunks::<4>().0.iter().fold(sum, add);
        }
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
        (sum >> 16) + (sum & 0xffff) == 0xffff
    }

    /// The payload.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.packet
            .len()
            .checked_sub(self.data_len)
            .and_then(|at| self.packet.get(at..))
            .unwrap_or_default()
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
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

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
    // RFC 4291 section 2.5.5.2: mapped addresses stand for IPv4 inside a host, never on a wire.
    if [local, remote].iter().any(|octets| octets[..12] == MAPPED) {
        return Frame::Malformed;
    }
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
        has_options: tcp_header_len > 20,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::TcpHeader;
    use std::vec::Vec;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn frame(v6: bool, header: &TcpHeader) -> Vec<u8> {
        let (local, remote) =
            if v6 { ("[fd00::1]:80", "[fd00::2]:9") } else { ("1.2.3.4:80", "5.6.7.8:9") };
        let tuple = Tuple::new(local.parse().unwrap(), remote.parse().unwrap()).reversed();
        let mut frame = std::vec![0; 14 + header.packet_len(&tuple)];
        frame[..6].copy_from_slice(&OWN);
        frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        header.emit(&tuple, &[], true, &mut frame[14..]);
        frame
    }

    const OFFER: SynOptions = SynOptions { mss: 1400, window_scale: Some(9), sack_permitted: true };

    #[test]
    fn a_syn_is_read_in_full() {
        for v6 in [false, true] {
            let frame = frame(v6, &TcpHeader::syn(7, None, OFFER, 555));
            let Frame::Tcp(segment) = Segment::parse(&frame, OWN) else { panic!("not TCP") };
            assert_eq!((segment.seq, segment.window, segment.sequence_len()), (7, 555, 1));
            assert_eq!((segment.tuple.local_port, segment.tuple.remote_port), (80, 9));
            assert!(segment.flags.is_opening() && segment.checksums_are_right());
            assert_eq!(segment.offer(), OFFER);
        }
    }

    #[test]
    fn frames_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        for v6 in [false, true] {
            let whole = frame(v6, &TcpHeader::syn(7, None, OFFER, 555));
            for length in 0..whole.len() {
                assert!(
                    !matches!(Segment::parse(&whole[..length], OWN), Frame::Tcp(_)),
                    "{length}"
                );
            }
            for at in 0..whole.len() {
                for value in 0..=255 {
                    let mut frame = whole.clone();
                    frame[at] = value;
                    if let Frame::Tcp(segment) = Segment::parse(&frame, OWN) {
                        let _ = (segment.offer(), segment.checksums_are_right());
                    }
                }
            }
        }
    }

    #[test]
    fn rfc_4291_mapped_addresses_do_not_come_from_a_wire() {
        let mut frame = frame(true, &TcpHeader::ack(1, 1));
        frame[22..34].copy_from_slice(&MAPPED);
        assert!(matches!(Segment::parse(&frame, OWN), Frame::Malformed));
    }

    #[test]
    fn frames_for_others_and_fragments_are_not_taken() {
        let mut other = frame(false, &TcpHeader::ack(1, 1));
        other[5] = 9;
        assert!(matches!(Segment::parse(&other, OWN), Frame::NotOurs));
        let mut fragment = frame(false, &TcpHeader::ack(1, 1));
        fragment[20] = 0x20;
        assert!(matches!(Segment::parse(&fragment, OWN), Frame::Malformed));
    }

    #[test]
    fn rfc_9293_absent_and_absurd_options_get_defaults() {
        let mut bytes = frame(false, &TcpHeader::syn(7, None, OFFER, 555));
        bytes[56..58].copy_from_slice(&[0, 0]);
        let Frame::Tcp(segment) = Segment::parse(&bytes, OWN) else { panic!("not TCP") };
        assert_eq!(segment.offer().mss, 536);
        let bytes = frame(true, &TcpHeader::ack(1, 1));
        let Frame::Tcp(segment) = Segment::parse(&bytes, OWN) else { panic!("not TCP") };
        assert_eq!(
            segment.offer(),
            SynOptions { mss: 1220, window_scale: None, sack_permitted: false }
        );
    }
}
