//! Path MTU discovery (RFC 1191, RFC 8201): a router's message that a packet was too long for the next
//! link, and what is remembered of paths. Whether a message is believed is the TCP engine's to say
//! ([`handle_path_mss`](::tcp::Connection::handle_path_mss)).

use crate::time::{Duration, Instant};
use crate::wire::tuple::Tuple;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// What a router said of one of our segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketTooBig {
    pub(crate) tuple: Tuple,
    pub(crate) seq: u32,
    /// Bytes of the longest packet that passes.
    pub(crate) mtu: usize,
    /// The router said even less, which is not believed: packets are sent so that it can cut them.
    pub(crate) is_absurd: bool,
}

/// The longest packets that the paths to destinations take, as far as they are less than our link's: learned
/// from routers, or by finding a black hole.
#[derive(Default)]
pub(crate) struct PathMtus(BTreeMap<IpAddr, (u16, Instant)>);

impl PathMtus {
    /// The longest packet to `destination`, in bytes, if it is known.
    pub(crate) fn get(&self, destination: IpAddr, now: Instant) -> Option<usize> {
        let (mtu, until) = self.0.get(&destination)?;
        (now < *until).then_some(usize::from(*mtu))
    }

    pub(crate) fn insert(&mut self, destination: IpAddr, mtu: usize, now: Instant) {
        if self.0.len() >= PATHS_MAX && !self.0.contains_key(&destination) {
            self.0.retain(|_, (_, until)| now < *until);
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(path, _)| *path);
            if let Some(first) = first.filter(|_| self.0.len() >= PATHS_MAX) {
                self.0.remove(&first);
            }
        }
        self.0.insert(destination, (mtu.min(0xffff) as u16, now + PATH_LASTS));
    }
}

/// Destinations remembered; the one that was learned first is forgotten first.
const PATHS_MAX: usize = 256;
/// RFC 1191 section 6.3, RFC 8201 section 4: after ten minutes the path may have become better.
const PATH_LASTS: Duration = Duration::from_secs(600);

/// Below that, no link is believed to be: it would be a way to make us send headers only. For IPv4 as
/// Linux has it; RFC 8200 section 5.
const IPV4_MTU_MIN: usize = 552;
const IPV6_MTU_MIN: usize = 1280;
/// RFC 1191 section 3: routers from before it say 0.
const IPV4_MTU_UNKNOWN: usize = 576;

/// The message that a frame holds, if it is one.
pub(crate) fn packet_too_big(frame: &[u8]) -> Option<PacketTooBig> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => packet_too_big_v4(frame.payload()),
        EthernetProtocol::Ipv6 => packet_too_big_v6(frame.payload()),
        _ => None,
    }
}

fn packet_too_big_v4(packet: &[u8]) -> Option<PacketTooBig> {
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
    let said = match usize::from(u16::from_be_bytes([*high, *low])) {
        0 => IPV4_MTU_UNKNOWN,
        said => said,
    };
    (head[9] == 6).then(|| PacketTooBig {
        tuple: Tuple::v4(local, remote, ports.0, ports.1),
        seq,
        mtu: said.max(IPV4_MTU_MIN),
        is_absurd: said < IPV4_MTU_MIN,
    })
}

fn packet_too_big_v6(packet: &[u8]) -> Option<PacketTooBig> {
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
    let tuple = Tuple::v6(&local, &remote, ports);
    (head[6] == 6).then_some(PacketTooBig { tuple, seq, mtu, is_absurd: false })
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
            assert_eq!(
                packet_too_big(&message(said)),
                Some(PacketTooBig { tuple, seq: 0x102, mtu, is_absurd: said == 68 })
            );
        }
    }

    #[test]
    fn paths_are_remembered_for_ten_minutes_and_the_oldest_is_forgotten() {
        let mut paths = PathMtus::default();
        let path = |last: u16| IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
        for n in 0..300 {
            paths.insert(path(n), 1_400, Instant::START + Duration::from_secs(n.into()));
        }
        let now = Instant::START + Duration::from_secs(300);
        assert_eq!(paths.0.len(), PATHS_MAX);
        assert_eq!((paths.get(path(43), now), paths.get(path(44), now)), (None, Some(1_400)));
        let late = Instant::START + Duration::from_secs(898);
        assert_eq!((paths.get(path(298), late), paths.get(path(299), late)), (None, Some(1_400)));
    }

    #[test]
    fn messages_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let whole = message(1400);
        for length in 0..whole.len() {
            assert_eq!(packet_too_big(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut frame = whole.clone();
                frame[at] = value;
                let _ = packet_too_big(&frame);
            }
        }
    }
}
