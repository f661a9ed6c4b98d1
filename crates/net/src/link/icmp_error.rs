//! ICMP errors about segments of ours (RFC 792, RFC 4443): which segment, and what is said. Whether it is believed is the
//! TCP engine's to say, by the sequence number (RFC 5927 section 4).

use crate::wire::tuple::Tuple;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// An error message about a segment that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) tuple: Tuple,
    pub(crate) seq: u32,
    /// As on the wire, of ICMP or ICMPv6, whichever the tuple is of.
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// What follows the checksum.
    pub(crate) rest: u32,
}

impl IcmpError {
    /// The message that a frame holds, if it is one.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        match frame.ethertype() {
            EthernetProtocol::Ipv4 => Self::parse_v4(frame.payload()),
            EthernetProtocol::Ipv6 => Self::parse_v6(frame.payload()),
            _ => None,
        }
    }

    /// The peer cannot be reached, and will not be soon (RFC 1122 section 4.2.3.9, RFC 5461 section 2): no such
    /// protocol or port, or somebody forbids it.
    pub(crate) fn is_hard(&self) -> bool {
        match self.tuple.is_v4() {
            true => self.kind == 3 && matches!(self.code, 2 | 3 | 9 | 10 | 13),
            false => self.kind == 1 && matches!(self.code, 1 | 4..=6),
        }
    }

    fn parse_v4(packet: &[u8]) -> Option<Self> {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Icmp {
            return None;
        }
        if !Icmpv4Packet::new_checked(ip.payload()).ok()?.verify_checksum() {
            return None;
        }
        let (message, inner) = ip.payload().split_first_chunk::<8>()?;
        let head = inner.first_chunk::<20>().filter(|head| head[0] >> 4 == 4 && head[9] == 6)?;
        let transport = inner.get(usize::from(head[0] & 15) * 4..)?.first_chunk::<8>()?;
        let (ports, seq) = start_of_tcp(transport);
        let [local, remote] =
            [12, 16].map(|at| [head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some(Self::new(message, Tuple::v4(local, remote, ports.0, ports.1), seq))
    }

    fn parse_v6(packet: &[u8]) -> Option<Self> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Icmpv6 {
            return None;
        }
        let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
        if !message.verify_checksum(&ip.src_addr(), &ip.dst_addr()) {
            return None;
        }
        let (message, inner) = ip.payload().split_first_chunk::<8>()?;
        let (head, rest) = inner.split_first_chunk::<40>()?;
        let (ports, seq) = start_of_tcp(rest.first_chunk::<8>()?);
        let (local, remote) = (head[8..24].try_into().ok()?, head[24..40].try_into().ok()?);
        (head[6] == 6).then(|| Self::new(message, Tuple::v6(&local, &remote, ports), seq))
    }

    fn new(message: &[u8; 8], tuple: Tuple, seq: u32) -> Self {
        let [kind, code, _, _, rest @ ..] = *message;
        Self { tuple, seq, kind, code, rest: u32::from_be_bytes(rest) }
    }
}

/// The ports and the sequence number: all of a TCP header that a message must hold (RFC 792).
fn start_of_tcp(bytes: &[u8; 8]) -> ((u16, u16), u32) {
    let [a, b, c, d, seq @ ..] = *bytes;
    ((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), u32::from_be_bytes(seq))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::net::Ipv6Addr;
    use std::vec::Vec;

    /// A message about a segment from 10.0.0.1:80 to 10.0.0.2:9.
    pub(crate) fn message(kind: u8, code: u8, rest: u32) -> Vec<u8> {
        let mut frame = std::vec![0; 14];
        frame[12] = 8;
        frame.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1]);
        frame.extend([kind, code, 0, 0]);
        frame.extend(rest.to_be_bytes());
        frame.extend([0x45, 0, 5, 220, 0, 0, 64, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 80, 0, 9, 0, 0, 1, 2]);
        Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        frame
    }

    #[test]
    fn rfc_5461_2_hard_errors() {
        let hard = [2, 3, 9, 10, 13];
        for (code, is_hard) in (0..=16).map(|code| (code, hard.contains(&code))) {
            let error = IcmpError::parse(&message(3, code, 0)).unwrap();
            let tuple = Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 9);
            assert_eq!((error.tuple, error.seq, error.is_hard()), (tuple, 0x102, is_hard));
        }
        assert!(!IcmpError::parse(&message(11, 3, 0)).unwrap().is_hard());
    }

    #[test]
    fn messages_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let whole = message(3, 4, 1400);
        for length in 0..whole.len() {
            assert_eq!(IcmpError::parse(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut frame = whole.clone();
                frame[at] = value;
                let _ = IcmpError::parse(&frame);
            }
        }
    }

    /// A message about a segment from [fd00::1]:80 to [fd00::2]:9.
    fn message_v6(kind: u8, code: u8, rest: u32) -> Vec<u8> {
        let [router, own, peer] =
            ["fd00::9", "fd00::1", "fd00::2"].map(|end| end.parse::<Ipv6Addr>().unwrap());
        let mut frame = std::vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 56, 58, 64]);
        frame.extend([router.octets(), own.octets()].concat());
        frame.extend([kind, code, 0, 0]);
        frame.extend(rest.to_be_bytes());
        frame.extend([0x60, 0, 0, 0, 5, 160, 6, 64]);
        frame.extend([own.octets(), peer.octets()].concat());
        frame.extend([0, 80, 0, 9, 0, 0, 1, 2]);
        sealed_v6(frame)
    }

    fn sealed_v6(mut frame: Vec<u8>) -> Vec<u8> {
        let [router, own] = [22, 38].map(|at| {
            let octets: [u8; 16] = frame[at..at + 16].try_into().unwrap();
            Ipv6Addr::from(octets)
        });
        Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&router, &own);
        frame
    }

    #[test]
    fn rfc_4443_3_messages_name_the_segment_and_some_are_hard() {
        let tuple = Tuple::new("[fd00::1]:80".parse().unwrap(), "[fd00::2]:9".parse().unwrap());
        let hard = [1, 4, 5, 6];
        for (code, is_hard) in (0..=8).map(|code| (code, hard.contains(&code))) {
            let error = IcmpError::parse(&message_v6(1, code, 0x0102_0304)).unwrap();
            let expected = IcmpError { tuple, seq: 0x102, kind: 1, code, rest: 0x0102_0304 };
            assert_eq!((error, error.is_hard()), (expected, is_hard));
            assert!(!IcmpError::parse(&message_v6(3, code, 0)).unwrap().is_hard());
        }
        let whole = message_v6(1, 4, 0);
        for length in 0..whole.len() {
            assert_eq!(IcmpError::parse(&whole[..length]), None, "{length}");
        }
        for at in 54..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(IcmpError::parse(&damaged), None, "a wrong checksum: {at}");
        }
    }

    #[test]
    fn rfc_792_what_is_no_message_about_a_tcp_segment_is_none() {
        // Ethernet's type, the protocol, and the inner packet's version and protocol.
        for (at, value) in [(13, 6), (23, 17), (42, 0x65), (51, 17)] {
            let mut frame = message(3, 3, 0);
            frame[at] = value;
            Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
            assert_eq!(IcmpError::parse(&frame), None, "{at}");
        }
        for (at, value) in [(13, 0xde), (20, 17), (68, 17)] {
            let mut frame = message_v6(1, 4, 0);
            frame[at] = value;
            assert_eq!(IcmpError::parse(&sealed_v6(frame)), None, "{at}");
        }
        for at in 34..70 {
            let mut damaged = message(3, 3, 0);
            damaged[at] ^= 0x10;
            assert_eq!(IcmpError::parse(&damaged), None, "a wrong checksum: {at}");
        }
        // Each byte of both ends and of the number is the inner packet's.
        let mut frame = message(3, 3, 0x0a0b_0c0d);
        frame.splice(54..70, 54..70);
        Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        let ends = ([54, 55, 56, 57], [58, 59, 60, 61]);
        let tuple = Tuple::v4(ends.0, ends.1, 0x3e3f, 0x4041);
        let expected = IcmpError { tuple, seq: 0x4243_4445, kind: 3, code: 3, rest: 0x0a0b_0c0d };
        assert_eq!(IcmpError::parse(&frame), Some(expected));
        // The inner header has options of four bytes, behind which the ports are.
        let mut frame = message(3, 3, 0);
        frame[17] += 4;
        frame[42] = 0x46;
        frame.splice(62..62, [148, 4, 0, 0]);
        Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        let error = IcmpError::parse(&frame).unwrap();
        assert_eq!(error, IcmpError::parse(&message(3, 3, 0)).unwrap());
    }
}
