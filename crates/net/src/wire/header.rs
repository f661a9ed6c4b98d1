//! Header writing: the IP and TCP headers (RFC 791, RFC 8200, RFC 9293) of all segments but those of
//! smoltcp's sockets. Written by hand, since general writers cost five times as much.

use crate::wire::segment::{Flags, SynOptions};
use crate::wire::tuple::Tuple;
use smoltcp::wire::{IpAddress, TcpPacket};

/// A segment's header.
#[derive(Clone, Copy)]
pub(crate) struct TcpHeader {
    flags: u8,
    seq: u32,
    ack: u32,
    pub(crate) window: u16,
    offer: Option<SynOptions>,
}

/// Bytes of the largest packet: IPv6, TCP, and a SYN's options.
pub(crate) const PACKET_BYTES_MAX: usize = 40 + 20 + 12;

impl TcpHeader {
    pub(crate) fn ack(seq: u32, ack: u32) -> Self {
        Self { flags: Flags::ACK, seq, ack, window: 0, offer: None }
    }

    /// A part of the stream; the last byte of what there is, and the last of all.
    pub(crate) fn part(seq: u32, ack: u32, window: u16, (push, fin): (bool, bool)) -> Self {
        let ends = if push { Flags::PSH } else { 0 } | if fin { Flags::FIN } else { 0 };
        Self { flags: Flags::ACK | ends, window, ..Self::ack(seq, ack) }
    }

    pub(crate) fn fin(seq: u32, ack: u32) -> Self {
        Self { flags: Flags::FIN | Flags::ACK, ..Self::ack(seq, ack) }
    }

    /// A reset, with an acknowledgement where the segment it answers had none.
    pub(crate) fn reset(seq: u32, ack: Option<u32>) -> Self {
        let flags = Flags::RST | ack.map_or(0, |_| Flags::ACK);
        Self { flags, seq, ack: ack.unwrap_or(0), window: 0, offer: None }
    }

    /// A SYN, or a SYN-ACK.
    pub(crate) fn syn(seq: u32, ack: Option<u32>, offer: SynOptions, window: u16) -> Self {
        let flags = Flags::SYN | ack.map_or(0, |_| Flags::ACK);
        Self { flags, seq, ack: ack.unwrap_or(0), window, offer: Some(offer) }
    }

    /// Bytes of the IP packet.
    pub(crate) fn packet_len(&self, tuple: &Tuple) -> usize {
        tuple.ip_header_len() + self.header_len()
    }

    /// Writes the IP packet from the tuple's local to its remote end into `packet`, which is
    /// [`packet_len`](Self::packet_len) and the payload long; the TCP checksum only if asked to.
    pub(crate) fn emit(&self, tuple: &Tuple, payload: &[u8], checksum: bool, packet: &mut [u8]) {
        let (head, rest) = packet.split_at_mut(self.packet_len(tuple));
        self.emit_head(tuple, payload.len(), head);
        if !payload.is_empty() {
            rest.copy_from_slice(payload);
        }
        if checksum {
            fill_checksum(tuple, packet);
        }
    }

    /// Writes the headers of a packet with a payload of that length, without its checksum.
    #[inline(always)] // Most packets are nothing else.
    pub(crate) fn emit_head(&self, tuple: &Tuple, payload_len: usize, head: &mut [u8]) {
        let header_len = self.header_len();
        let (ip, tcp) = head.split_at_mut(tuple.ip_header_len());
        emit_ip(tuple, header_len + payload_len, ip);
        let Some((header, rest)) = tcp.split_first_chunk_mut::<20>() else { return };
        header[0..2].copy_from_slice(&tuple.local_port.to_be_bytes());
        header[2..4].copy_from_slice(&tuple.remote_port.to_be_bytes());
        header[4..8].copy_from_slice(&self.seq.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.to_be_bytes());
        header[12] = (header_len as u8 / 4) << 4;
        header[13] = self.flags;
        header[14..16].copy_from_slice(&self.window.to_be_bytes());
        header[16..20].fill(0);
        if let Some(offer) = self.offer {
            emit_options(offer, rest);
        }
    }

    fn header_len(&self) -> usize {
        let Some(offer) = self.offer else { return 20 };
        24 + 4 * usize::from(offer.window_scale.is_some()) + 4 * usize::from(offer.sack_permitted)
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
const PROTOCOL_TCP: u8 = 6;

#[inline(always)]
fn emit_ip(tuple: &Tuple, payload_len: usize, ip: &mut [u8]) {
    if let Some(ip) = ip.as_mut_array::<20>() {
        emit_ipv4(tuple.v4_ends(), 20 + payload_len as u16, ip);
    } else {
        let [high, low] = (payload_len as u16).to_be_bytes();
        ip[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, PROTOCOL_TCP, HOP_LIMIT]);
        let (local, remote) = tuple.v6_ends();
        ip[8..24].copy_from_slice(&local);
        ip[24..40].copy_from_slice(&remote);
    }
}

fn emit_ipv4((local, remote): (u32, u32), len: u16, ip: &mut [u8; 20]) {
    // Version and header length; no fragments (RFC 791 section 3.1).
    const FIRST: u16 = 0x4500;
    const FLAGS: u16 = 0x4000;
    const LAST: u16 = u16::from_be_bytes([HOP_LIMIT, PROTOCOL_TCP]);
    let ends = u64::from(local) + u64::from(remote);
    let fixed = [FIRST, FLAGS, LAST, len].map(u64::from);
    let sum = (ends >> 16) + (ends & 0xffff) + fixed.iter().sum::<u64>();
    let sum = (sum >> 16) + (sum & 0xffff);
    let checksum = !((sum >> 16) + sum) as u16;
    ip[0..2].copy_from_slice(&FIRST.to_be_bytes());
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[4..8].copy_from_slice(&u32::from(FLAGS).to_be_bytes());
    ip[8..10].copy_from_slice(&LAST.to_be_bytes());
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    ip[12..16].copy_from_slice(&local.to_be_bytes());
    ip[16..20].copy_from_slice(&remote.to_be_bytes());
}

/// RFC 9293 section 3.2, RFC 7323 section 2.2, RFC 2018 section 2; each padded to four bytes.
fn emit_options(offer: SynOptions, mut options: &mut [u8]) {
    let mut put = |option: [u8; 4]| {
        let (place, rest) = core::mem::take(&mut options).split_at_mut(4);
        place.copy_from_slice(&option);
        options = rest;
    };
    let [high, low] = offer.mss.to_be_bytes();
    put([2, 4, high, low]);
    if offer.sack_permitted {
        put([1, 1, 4, 2]);
    }
    if let Some(shift) = offer.window_scale {
        put([1, 3, 3, shift]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpRepr};
    use std::vec;

    fn tuples() -> [Tuple; 2] {
        [("10.0.0.1:80", "10.0.0.2:5000"), ("[fe80::1]:80", "[2001:db8::2]:9")]
            .map(|(local, remote)| Tuple::new(local.parse().unwrap(), remote.parse().unwrap()))
    }

    #[test]
    fn smoltcp_reads_what_is_written() {
        let caps = ChecksumCapabilities::default();
        for tuple in tuples() {
            for (scale, sack) in [(None, false), (Some(7), false), (None, true), (Some(3), true)] {
                let offer = SynOptions { mss: 1460, window_scale: scale, sack_permitted: sack };
                let syn = TcpHeader::syn(77, Some(99), offer, 1_000);
                let mut packet = vec![0xaa; syn.packet_len(&tuple)];
                syn.emit(&tuple, &[], true, &mut packet);
                let (ip, tcp) = packet.split_at(tuple.ip_header_len());
                let ip = if tuple.is_v4() {
                    let packet = Ipv4Packet::new_checked(&packet).unwrap();
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
    fn the_largest_packet_has_room() {
        let offer = SynOptions { mss: 1, window_scale: Some(1), sack_permitted: true };
        for tuple in tuples() {
            assert!(TcpHeader::syn(1, Some(1), offer, 1).packet_len(&tuple) <= PACKET_BYTES_MAX);
        }
    }
}
