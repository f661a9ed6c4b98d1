//! Packets that were too long for a link on their way (RFC 1191, RFC 8201).
//!
//! A router's message is believed when it is about a segment that is on its way (RFC 5927 section
//! 4), and makes that connection's segments shorter. A smoltcp socket keeps its segment size for
//! life; what it builds is cut by the device where that does segmentation, and else, for IPv4, sent
//! with leave to fragment. A connection over IPv6 with a device that does not cut has to wait until
//! it gets another socket.

use crate::stack::interface::InterfaceState;
use crate::wire::segment::before;
use crate::wire::tuple::Tuple;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// What a router said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLong {
    tuple: Tuple,
    seq: u32,
    /// Bytes of the longest packet that passes.
    mtu: usize,
}

impl InterfaceState {
    /// Takes a router's message, if the frame is one.
    pub(crate) fn hear_of_path(&mut self, frame: &[u8]) {
        let Some(TooLong { tuple, seq, mtu }) = too_long(frame) else { return };
        let Some((_, connection)) = self.table.borrow().find(&tuple).map(|(s, c)| (s, c.clone()))
        else {
            return;
        };
        let mut tcb = connection.tcb();
        let is_on_its_way = !before(seq, tcb.snd_una()) && before(seq, tcb.snd_nxt);
        let mss = mtu.saturating_sub(tuple.ip_header_len() + 20).min(0xffff) as u16;
        if is_on_its_way && mss < tcb.offer.mss {
            log::debug!("net: packets to {} are at most {mtu} bytes", tuple.remote());
            (tcb.offer.mss, tcb.template.mss) = (mss, mss);
            tcb.template.may_fragment = tuple.is_v4();
        }
    }
}

/// Below that, no link is believed to be: it would be a way to make us send headers only. For IPv4 as
/// Linux has it; RFC 8200 section 5.
const IPV4_MTU_MIN: usize = 552;
const IPV6_MTU_MIN: usize = 1280;
/// RFC 1191 section 3: routers from before it say 0.
const IPV4_MTU_UNKNOWN: usize = 576;

fn too_long(frame: &[u8]) -> Option<TooLong> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => too_long_v4(frame.payload()),
        EthernetProtocol::Ipv6 => too_long_v6(frame.payload()),
        _ => None,
    }
}

fn too_long_v4(packet: &[u8]) -> Option<TooLong> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    if ip.next_header() != IpProtocol::Icmp {
        return None;
    }
    let message = Icmpv4Packet::new_checked(ip.payload()).ok()?;
    const FRAGMENTATION_NEEDED: u8 = 4;
    let is_it = message.msg_type() == Icmpv4Message::DstUnreachable
        && message.msg_code() == FRAGMENTATION_NEEDED
        && message.verify_checksum();
    let [_, _, _, _, _, _, high, low, inner @ ..] = ip.payload() else { return None };
    let head = inner.first_chunk::<20>().filter(|head| is_it && head[0] >> 4 == 4)?;
    let transport = inner.get(usize::from(head[0] & 15) * 4..)?.first_chunk::<8>()?;
    let (ports, seq) = start_of_tcp(transport);
    let [local, remote] = [12, 16].map(|at| [head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mtu = match usize::from(u16::from_be_bytes([*high, *low])) {
        0 => IPV4_MTU_UNKNOWN,
        mtu => mtu.max(IPV4_MTU_MIN),
    };
    (head[9] == 6).then(|| TooLong { tuple: Tuple::v4(local, remote, ports.0, ports.1), seq, mtu })
}

fn too_long_v6(packet: &[u8]) -> Option<TooLong> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    if ip.next_header() != IpProtocol::Icmpv6 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    if message.msg_type() != Icmpv6Message::PktTooBig
        || !message.verify_checksum(&ip.src_addr(), &ip.dst_addr())
    {
        return None;
    }
    let inner = ip.payload().get(8..)?;
    let (head, rest) = inner.split_first_chunk::<40>()?;
    let (ports, seq) = start_of_tcp(rest.first_chunk::<8>()?);
    let (local, remote) = (head[8..24].try_into().ok()?, head[24..40].try_into().ok()?);
    let mtu = (message.pkt_too_big_mtu() as usize).max(IPV6_MTU_MIN);
    (head[6] == 6).then(|| TooLong { tuple: Tuple::v6(&local, &remote, ports), seq, mtu })
}

/// The ports and the sequence number: all of a TCP header that a message must hold (RFC 792).
fn start_of_tcp(bytes: &[u8; 8]) -> ((u16, u16), u32) {
    let [a, b, c, d, seq @ ..] = *bytes;
    ((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), u32::from_be_bytes(seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A message about a segment from 10.0.0.1:80 to 10.0.0.2:9.
    fn message(mtu: u16) -> Vec<u8> {
        let mut frame = std::vec![0; 14];
        frame[12] = 8;
        frame.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1]);
        frame.extend([3, 4, 0, 0, 0, 0]);
        frame.extend(mtu.to_be_bytes());
        frame.extend([0x45, 0, 5, 220, 0, 0, 64, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 80, 0, 9, 0, 0, 1, 2]);
        Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        frame
    }

    #[test]
    fn rfc_1191_what_was_too_long_and_what_passes() {
        let tuple = Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 9);
        for (said, mtu) in [(1400, 1400), (0, 576), (68, 552)] {
            assert_eq!(too_long(&message(said)), Some(TooLong { tuple, seq: 0x102, mtu }));
        }
    }

    #[test]
    fn messages_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let whole = message(1400);
        for length in 0..whole.len() {
            assert_eq!(too_long(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut frame = whole.clone();
                frame[at] = value;
                let _ = too_long(&frame);
            }
        }
    }
}
