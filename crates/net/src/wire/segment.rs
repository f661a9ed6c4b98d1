//! Segment parsing: what the demultiplexer reads of a frame (RFC 9293 section 3.1), enough to find the
//! connection, and no more.

use crate::wire::tuple::Tuple;
use crate::wire::{ETHERNET, IPV4, IPV6, PROTOCOL_TCP, TCP};
use crate::wire::{extension, options};
use ::tcp::{Ecn, Flags, Options, SeqNumber};
use core::ops::Range;
use smoltcp::wire::{IpAddress, TcpPacket};

/// A frame, as far as the demultiplexer cares.
pub(crate) enum Frame<'a> {
    /// A whole TCP segment, addressed to our hardware address.
    Tcp(Segment<'a>),
    /// Anything that the service interface handles: ARP, ICMP, UDP, neighbour discovery, and fragments.
    Other,
    /// A length lies, or there are IPv4 options that are not taken.
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
    packet: &'a [u8],
    /// Bytes of the IP header, with options or extension headers.
    ip_header_len: usize,
    /// The second byte of an IPv4 header, or the traffic class of an IPv6 one.
    traffic_class: u8,
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: Flags,
    window: u16,
    urgent: u16,
    options: &'a [u8],
    /// The payload.
    pub(crate) data: &'a [u8],
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

    /// Where in the frame the payload is.
    #[inline]
    pub(crate) fn data_range(&self) -> Range<usize> {
        let end = ETHERNET + self.packet.len();
        end - self.data.len()..end
    }

    /// What the TCP engine sees of it.
    #[inline]
    pub(crate) fn header(&self) -> ::tcp::Segment {
        ::tcp::Segment {
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            ecn: Ecn::from_bits(self.traffic_class),
            options: Options::parse(self.options),
        }
    }

    /// Verifies both checksums, as far as nobody has done so yet: IPv4's, and TCP's if `verify_tcp`.
    #[inline]
    pub(crate) fn is_intact(&self, verify_tcp: bool) -> bool {
        (!self.tuple.is_v4() || self.ip_checksum_is_right())
            && (!verify_tcp || self.tcp_checksum_is_right())
    }

    fn tcp_checksum_is_right(&self) -> bool {
        let (local, remote) = (self.tuple.local().ip(), self.tuple.remote().ip());
        let (local, remote) = (IpAddress::from(local), IpAddress::from(remote));
        TcpPacket::new_unchecked(self.tcp()).verify_checksum(&remote, &local)
    }

    /// RFC 1071: the ones' complement sum of a header with its checksum is all ones, in whichever
    /// byte order.
    #[inline]
    fn ip_checksum_is_right(&self) -> bool {
        let Some((header, rest)) = self.packet.split_first_chunk::<IPV4>() else {
            return false;
        };
        let options_len = self.ip_header_len - IPV4;
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

    fn tcp(&self) -> &'a [u8] {
        self.packet.get(self.ip_header_len..).unwrap_or_default()
    }
}

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

fn parse_v4<'a>(header: &[u8; ETHERNET], packet: &'a [u8], own: [u8; 6]) -> Frame<'a> {
    let Some((ip, _)) = packet.split_first_chunk::<IPV4>() else {
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
    if fragmented {
        return Frame::Other;
    }
    if ip[0] >> 4 != 4 || header_len < IPV4 || total_len < header_len {
        return Frame::Malformed;
    }
    let (remote, local) = ([ip[12], ip[13], ip[14], ip[15]], [ip[16], ip[17], ip[18], ip[19]]);
    let Some(packet) = packet.get(..total_len) else { return Frame::Malformed };
    if header_len > IPV4 && !packet.get(IPV4..header_len).is_some_and(options::are_acceptable) {
        return Frame::Malformed;
    }
    parse_tcp(header, packet, (header_len, ip[1]), |ports| {
        Tuple::v4(local, remote, ports.0, ports.1)
    })
}

fn parse_v6<'a>(header: &[u8; ETHERNET], packet: &'a [u8], own: [u8; 6]) -> Frame<'a> {
    let Some((ip, _)) = packet.split_first_chunk::<IPV6>() else {
        return Frame::Malformed;
    };
    let header_len = match ip[6] {
        PROTOCOL_TCP => IPV6,
        _ => match behind_extensions(packet) {
            Some(header_len) => header_len,
            None => return Frame::Other,
        },
    };
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
    let traffic_class = ip[0] << 4 | ip[1] >> 4;
    parse_tcp(header, packet, (header_len, traffic_class), |ports| {
        Tuple::v6(&local, &remote, ports)
    })
}

/// Where TCP begins behind extension headers, if it does.
#[cold]
fn behind_extensions(packet: &[u8]) -> Option<usize> {
    let (protocol, at) = extension::upper_layer(packet)?;
    (protocol == PROTOCOL_TCP).then_some(at)
}

fn parse_tcp<'a>(
    header: &[u8; ETHERNET],
    packet: &'a [u8],
    (ip_header_len, traffic_class): (usize, u8),
    tuple: impl FnOnce((u16, u16)) -> Tuple,
) -> Frame<'a> {
    let Some((tcp, rest)) =
        packet.get(ip_header_len..).and_then(|tcp| tcp.split_first_chunk::<TCP>())
    else {
        return Frame::Malformed;
    };
    let options_len = (usize::from(tcp[12] >> 4) * 4).checked_sub(TCP);
    let Some((options, data)) = options_len.and_then(|len| rest.split_at_checked(len)) else {
        return Frame::Malformed;
    };
    let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    Frame::Tcp(Segment {
        tuple: tuple((half(2), half(0))),
        source: [header[6], header[7], header[8], header[9], header[10], header[11]],
        packet,
        ip_header_len,
        traffic_class,
        seq: SeqNumber(word(4)),
        ack: SeqNumber(word(8)),
        flags: Flags(tcp[13]),
        window: half(14),
        urgent: half(18),
        options,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::{Headers, fill_checksum};
    use std::vec::Vec;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn frame(v6: bool, segment: &::tcp::Segment) -> Vec<u8> {
        let (local, remote) =
            if v6 { ("[fd00::1]:80", "[fd00::2]:9") } else { ("1.2.3.4:80", "5.6.7.8:9") };
        let tuple = Tuple::new(remote.parse().unwrap(), local.parse().unwrap());
        let headers = Headers::new(&tuple, segment);
        let mut frame = std::vec![0; 14 + headers.len()];
        frame[..6].copy_from_slice(&OWN);
        frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        headers.emit(0, &mut frame[14..]);
        fill_checksum(&tuple, &mut frame[14..]);
        frame
    }

    fn syn() -> ::tcp::Segment {
        let mut syn = ::tcp::Segment::new(SeqNumber(7), SeqNumber(0), Flags::SYN);
        syn.window = 555;
        syn.options = Options {
            mss: Some(1400),
            window_scale: Some(9),
            sack_permitted: true,
            ..Options::NONE
        };
        syn
    }

    fn ack() -> ::tcp::Segment {
        ::tcp::Segment::new(SeqNumber(1), SeqNumber(1), Flags::ACK)
    }

    #[test]
    fn a_syn_is_read_in_full() {
        for v6 in [false, true] {
            let mut written = syn();
            written.ecn = Ecn::Capable0;
            let frame = frame(v6, &written);
            let Frame::Tcp(segment) = Segment::parse(&frame, OWN) else { panic!("not TCP") };
            assert_eq!((segment.tuple.local_port, segment.tuple.remote_port), (80, 9));
            assert!(segment.is_intact(true) && segment.data.is_empty());
            assert_eq!(segment.header(), written);
        }
    }

    #[test]
    fn a_wrong_byte_is_noticed() {
        for v6 in [false, true] {
            let frame = frame(v6, &syn());
            for at in 14..frame.len() {
                let mut frame = frame.clone();
                frame[at] ^= 0x10;
                if let Frame::Tcp(segment) = Segment::parse(&frame, OWN) {
                    // IPv6 protects addresses and lengths by TCP's checksum only.
                    let outside = v6 && ((14..18).contains(&at) || at == 21);
                    assert!(outside || !segment.is_intact(true), "{v6} {at}");
                }
            }
        }
    }

    #[test]
    fn frames_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        for v6 in [false, true] {
            let whole = frame(v6, &syn());
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
                        let _ = (segment.header(), segment.is_intact(true));
                    }
                }
            }
        }
    }

    #[test]
    fn rfc_4291_mapped_addresses_do_not_come_from_a_wire() {
        let mut frame = frame(true, &ack());
        frame[22..34].copy_from_slice(&MAPPED);
        assert!(matches!(Segment::parse(&frame, OWN), Frame::Malformed));
    }

    #[test]
    fn frames_for_others_and_fragments_are_not_taken() {
        let mut other = frame(false, &ack());
        other[5] = 9;
        assert!(matches!(Segment::parse(&other, OWN), Frame::NotOurs));
        let mut fragment = frame(false, &ack());
        fragment[20] = 0x20;
        assert!(matches!(Segment::parse(&fragment, OWN), Frame::Other));
    }

    #[test]
    fn rfc_8200_4_tcp_is_found_behind_extension_headers() {
        let mut frame = frame(true, &syn());
        let more = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0];
        frame.splice(54..54, more);
        frame[20] = 0;
        let len = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&len.to_be_bytes());
        let Frame::Tcp(segment) = Segment::parse(&frame, OWN) else { panic!("not TCP") };
        assert!(segment.is_intact(true));
        assert_eq!(segment.header(), syn());
        frame[56] = 0xfe;
        assert!(matches!(Segment::parse(&frame, OWN), Frame::Other));
    }

    /// An acknowledgement with three bytes of data, options of the IP header, and padding behind all.
    fn padded(options: &[u8]) -> Vec<u8> {
        let mut frame = frame(false, &ack());
        frame.extend(b"abc");
        frame.splice(34..34, options.iter().copied());
        frame[14] = 0x45 + options.len() as u8 / 4;
        let len = frame.len() as u16 - 14;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
        ip.fill_checksum();
        let ends = (ip.src_addr().into(), ip.dst_addr().into());
        TcpPacket::new_unchecked(&mut frame[34 + options.len()..]).fill_checksum(&ends.0, &ends.1);
        frame.resize(frame.len() + 7, 0x55);
        frame
    }

    #[test]
    fn data_ends_with_the_packet_and_not_with_the_frame() {
        for options in [&[][..], &[148, 4, 0, 0], &[1, 148, 4, 0, 0, 1, 1, 1]] {
            let frame = padded(options);
            let Frame::Tcp(segment) = Segment::parse(&frame, OWN) else { panic!("not TCP") };
            assert_eq!(
                (segment.data, segment.data_range()),
                (&b"abc"[..], frame.len() - 10..frame.len() - 7)
            );
            assert!(segment.is_intact(true));
            // The header's checksum counts whether the device has verified TCP's or not, and is of the options, too.
            for at in 34..34 + options.len() {
                let mut damaged = frame.clone();
                damaged[at] ^= 2;
                if let Frame::Tcp(segment) = Segment::parse(&damaged, OWN) {
                    assert!(!segment.is_intact(false), "{at}");
                }
            }
            let mut damaged = frame.clone();
            damaged[frame.len() - 8] ^= 1;
            let Frame::Tcp(segment) = Segment::parse(&damaged, OWN) else { panic!("not TCP") };
            assert!(segment.is_intact(false) && !segment.is_intact(true));
        }
    }

    #[test]
    fn rfc_791_and_8200_lengths_and_versions_that_lie_are_malformed() {
        // The version and the header's length, and the packet's: longer than the frame, or shorter than its headers.
        for (at, value) in [
            (14, 0x55),
            (14, 0x44),
            (14, 0x46),
            (17, 41),
            (17, 39),
            (17, 19),
            (46, 0x40),
            (46, 0x60),
        ] {
            let mut frame = frame(false, &ack());
            frame[at] = value;
            assert!(matches!(Segment::parse(&frame, OWN), Frame::Malformed), "{at} {value}");
        }
        for (at, value) in [(19, 21), (19, 19), (66, 0x40), (66, 0x60)] {
            let mut frame = frame(true, &ack());
            frame[at] = value;
            assert!(matches!(Segment::parse(&frame, OWN), Frame::Malformed), "{at} {value}");
        }
        let mut mapped = frame(true, &ack());
        mapped[38..50].copy_from_slice(&MAPPED);
        assert!(matches!(Segment::parse(&mapped, OWN), Frame::Malformed), "our end");
        let mut other = frame(true, &ack());
        other[5] = 9;
        assert!(matches!(Segment::parse(&other, OWN), Frame::NotOurs));
        for (v6, at) in [(false, 23), (true, 20)] {
            let mut udp = frame(v6, &ack());
            udp[at] = 17;
            assert!(matches!(Segment::parse(&udp, OWN), Frame::Other));
        }
        // An offset makes a fragment, and so does more that follows; not to be cut does not.
        for (flags, is_fragment) in [
            ([0x20, 0], true),
            ([0, 1], true),
            ([0x1f, 0xff], true),
            ([0x40, 0], false),
            ([0x80, 0], false),
        ] {
            let mut frame = frame(false, &ack());
            frame[20..22].copy_from_slice(&flags);
            assert_eq!(
                matches!(Segment::parse(&frame, OWN), Frame::Other),
                is_fragment,
                "{flags:x?}"
            );
        }
    }
}
