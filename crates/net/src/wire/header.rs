//! Header writing: the IP and TCP headers (RFC 791, RFC 8200, RFC 9293) of all segments. Written by hand, since
//! general writers cost five times as much.

use crate::wire::tuple::Tuple;
use crate::wire::{IPV4, PROTOCOL_TCP, TCP};
use ::tcp::Segment;
use smoltcp::wire::{IpAddress, TcpPacket};

/// The headers of one packet from a tuple's local to its remote end.
#[derive(Clone, Copy)]
pub(crate) struct Headers<'a> {
    pub(crate) tuple: &'a Tuple,
    pub(crate) segment: &'a Segment,
    /// The identification of a packet that routers may cut (RFC 6864 section 4.2); the others need none. IPv4 only.
    pub(crate) fragment_id: Option<u16>,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(tuple: &'a Tuple, segment: &'a Segment) -> Self {
        Self { tuple, segment, fragment_id: None }
    }

    /// Bytes of both headers.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tuple.ip_header_len() + TCP + self.segment.options.emitted_len()
    }

    /// Writes them into `head`, which is [`len`](Self::len) bytes long, for a payload of that length; the TCP
    /// checksum is left zero.
    #[inline]
    pub(crate) fn emit(&self, payload_len: usize, head: &mut [u8]) {
        let (ip, tcp) = head.split_at_mut(self.tuple.ip_header_len());
        self.emit_ip(tcp.len() + payload_len, ip);
        let header_len = tcp.len();
        let Some((header, options)) = tcp.split_first_chunk_mut::<TCP>() else { return };
        let Segment { seq, ack, flags, window, .. } = *self.segment;
        let ports = u32::from(self.tuple.local_port) << 16 | u32::from(self.tuple.remote_port);
        header[0..4].copy_from_slice(&ports.to_be_bytes());
        header[4..8].copy_from_slice(&seq.0.to_be_bytes());
        header[8..12].copy_from_slice(&ack.0.to_be_bytes());
        header[12] = (header_len as u8 / 4) << 4;
        header[13] = flags.0;
        header[14..16].copy_from_slice(&window.to_be_bytes());
        // The checksum, and the urgent pointer, which is never used.
        header[16..20].fill(0);
        if !options.is_empty() {
            self.segment.options.emit(options);
        }
    }

    #[inline]
    fn emit_ip(&self, payload_len: usize, ip: &mut [u8]) {
        let ecn = self.segment.ecn.bits();
        if let Some(ip) = ip.as_mut_array::<IPV4>() {
            return self.emit_ipv4((IPV4 + payload_len) as u16, ecn, ip);
        }
        let [high, low] = (payload_len as u16).to_be_bytes();
        ip[..8].copy_from_slice(&[0x60, ecn << 4, 0, 0, high, low, PROTOCOL_TCP, HOP_LIMIT]);
        let (local, remote) = self.tuple.v6_ends();
        ip[8..24].copy_from_slice(&local);
        ip[24..40].copy_from_slice(&remote);
    }

    #[inline]
    fn emit_ipv4(&self, len: u16, ecn: u8, ip: &mut [u8; IPV4]) {
        const VERSION: u16 = 0x4500;
        const DONT_FRAGMENT: u32 = 0x4000;
        const LAST: u16 = u16::from_be_bytes([HOP_LIMIT, PROTOCOL_TCP]);
        let first = VERSION | u16::from(ecn);
        let second = self.fragment_id.map_or(DONT_FRAGMENT, |id| u32::from(id) << 16);
        let (local, remote) = self.tuple.v4_ends();
        let words = u64::from(local) + u64::from(remote) + u64::from(second);
        let halves = u64::from(first) + u64::from(LAST) + u64::from(len);
        let sum = (words >> 16) + (words & 0xffff) + halves;
        let sum = (sum >> 16) + (sum & 0xffff);
        let checksum = !((sum >> 16) + sum) as u16;
        ip[0..2].copy_from_slice(&first.to_be_bytes());
        ip[2..4].copy_from_slice(&len.to_be_bytes());
        ip[4..8].copy_from_slice(&second.to_be_bytes());
        ip[8..10].copy_from_slice(&LAST.to_be_bytes());
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        ip[12..16].copy_from_slice(&local.to_be_bytes());
        ip[16..20].copy_from_slice(&remote.to_be_bytes());
    }
}

/// Writes the TCP checksum of a packet that is complete otherwise.
pub(crate) fn fill_checksum(tuple: &Tuple, packet: &mut [u8]) {
    let (local, remote) = (tuple.local().ip(), tuple.remote().ip());
    TcpPacket::new_unchecked(&mut packet[tuple.ip_header_len()..])
        .fill_checksum(&IpAddress::from(local), &IpAddress::from(remote));
}

/// RFC 1122 section 3.2.1.7 asks for a configurable default; IANA recommends 64.
const HOP_LIMIT: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use ::tcp::{Ecn, Flags, Options, SeqNumber};
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpRepr};
    use std::vec;

    fn tuples() -> [Tuple; 2] {
        [("10.0.0.1:80", "10.0.0.2:5000"), ("[fe80::1]:80", "[2001:db8::2]:9")]
            .map(|(local, remote)| Tuple::new(local.parse().unwrap(), remote.parse().unwrap()))
    }

    fn written(tuple: &Tuple, segment: &Segment, fragment_id: Option<u16>) -> vec::Vec<u8> {
        let headers = Headers { fragment_id, ..Headers::new(tuple, segment) };
        let mut packet = vec![0xaa; headers.len()];
        headers.emit(0, &mut packet);
        fill_checksum(tuple, &mut packet);
        packet
    }

    #[test]
    fn smoltcp_reads_what_is_written() {
        let caps = ChecksumCapabilities::default();
        for tuple in tuples() {
            for (scale, sack) in [(None, false), (Some(7), false), (None, true), (Some(3), true)] {
                let mut syn = Segment::new(SeqNumber(77), SeqNumber(99), Flags::SYN | Flags::ACK);
                syn.window = 1_000;
                syn.options = Options {
                    mss: Some(1460),
                    window_scale: scale,
                    sack_permitted: sack,
                    ..Options::NONE
                };
                let packet = written(&tuple, &syn, None);
                let (ip, tcp) = packet.split_at(tuple.ip_header_len());
                let ip = if tuple.is_v4() {
                    let packet = Ipv4Packet::new_checked(&packet).unwrap();
                    assert!(packet.dont_frag());
                    IpRepr::from(Ipv4Repr::parse(&packet, &caps).unwrap())
                } else {
                    assert_eq!(ip.len(), 40);
                    let packet = Ipv6Packet::new_checked(&packet).unwrap();
                    IpRepr::from(Ipv6Repr::parse(&packet).unwrap())
                };
                let tcp = TcpPacket::new_checked(tcp).unwrap();
                let read = TcpRepr::parse(&tcp, &ip.src_addr(), &ip.dst_addr(), &caps).unwrap();
                assert_eq!((read.control, read.window_len), (TcpControl::Syn, 1_000));
                assert_eq!((read.max_seg_size, read.window_scale), (Some(1460), scale));
                assert_eq!((read.sack_permitted, read.payload.len()), (sack, 0));
                assert_eq!((read.seq_number.0, read.ack_number.unwrap().0), (77, 99));
            }
        }
    }

    #[test]
    fn rfc_3168_and_rfc_6864_codepoints_and_identifications_are_written() {
        let mut segment = Segment::new(SeqNumber(1), SeqNumber(2), Flags::ACK);
        segment.ecn = Ecn::Capable0;
        let [v4, v6] = tuples();
        let packet = written(&v4, &segment, Some(0x1234));
        let read = Ipv4Packet::new_checked(&packet).unwrap();
        assert_eq!((read.ident(), read.dont_frag(), read.ecn()), (0x1234, false, 2));
        assert!(read.verify_checksum());
        let packet = written(&v6, &segment, None);
        assert_eq!(Ipv6Packet::new_checked(&packet).unwrap().traffic_class(), 2);
    }

    /// With each identification, so that each sum occurs, with one carry and with two.
    #[test]
    fn rfc_1071_the_checksum_of_an_ipv4_header_is_right_whatever_is_in_it() {
        let segment = Segment::new(SeqNumber(1), SeqNumber(2), Flags::ACK);
        for (local, remote) in
            [("10.0.0.1:80", "10.0.0.2:9"), ("192.168.255.254:80", "203.0.113.255:9")]
        {
            let tuple = Tuple::new(local.parse().unwrap(), remote.parse().unwrap());
            for id in 0..=u16::MAX {
                let headers = Headers { fragment_id: Some(id), ..Headers::new(&tuple, &segment) };
                let mut packet = [0; 40];
                headers.emit(0, &mut packet);
                let words = packet[..20].chunks(2);
                let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
                assert_eq!(sum % 0xffff, 0, "{local} {id}");
            }
        }
    }
}
