//! Neighbour cache: hardware addresses of next hops, for connections that we open, by ARP (RFC 826) and
//! neighbour discovery (RFC 4861). Connections that others open need none of it, since their frames say where
//! they come from, unless their peer falls silent; and smoltcp's own cache serves the service interface only.

use crate::device::{Transmit, TxFrame};
use crate::link::multicast::{self, Record};
use crate::link::slaac::link_local;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

/// Where packets for a neighbour go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    Known([u8; 6]),
    /// A question is on its way; ask again then.
    Asked(Duration),
    /// It has not answered.
    Silent,
}

/// What is known of neighbours.
pub(crate) struct Neighbours {
    own: [u8; 6],
    /// The oldest first; few, so that looking through them is as good as a tree.
    entries: Vec<(IpAddr, Neighbour)>,
}

#[derive(Clone, Copy)]
struct Neighbour {
    hardware: Option<[u8; 6]>,
    /// When the last answer came, or the first question left.
    since: Duration,
    /// Questions without an answer, and when the last left.
    questions: u8,
    asked_at: Duration,
}

impl Neighbours {
    pub(crate) fn new(own: [u8; 6]) -> Self {
        Self { own, entries: Vec::new() }
    }

    /// The way to `neighbour`, which is on our link; asks for it from our address `local` if need be.
    pub(crate) fn find(
        &mut self,
        neighbour: IpAddr,
        local: IpAddr,
        now: Duration,
        output: &mut dyn Transmit,
    ) -> Hop {
        let known = self.entry(neighbour).copied();
        let mut entry = match known {
            Some(Neighbour { hardware: Some(hardware), since, .. }) if now < since + FRESH => {
                return Hop::Known(hardware);
            }
            Some(entry) if now < entry.asked_at + PAUSE => {
                return Hop::Asked(entry.asked_at + PAUSE);
            }
            Some(entry) if entry.questions >= QUESTIONS_MAX && now < entry.asked_at + 2 * PAUSE => {
                return Hop::Silent;
            }
            Some(entry) if entry.questions < QUESTIONS_MAX => entry,
            _ => Neighbour { hardware: None, since: now, questions: 0, asked_at: now },
        };
        (entry.hardware, entry.asked_at) = (None, now);
        entry.questions += 1;
        match self.entry(neighbour) {
            Some(known) => *known = entry,
            None => {
                self.make_room(now);
                self.entries.push((neighbour, entry));
            }
        }
        match (neighbour, local) {
            (IpAddr::V4(target), IpAddr::V4(local)) => self.ask_v4(target, local, output),
            (IpAddr::V6(target), IpAddr::V6(local)) => self.ask_v6(target, local, output),
            _ => return Hop::Silent,
        }
        Hop::Asked(now + PAUSE)
    }

    /// Takes an answer out of a frame, if it holds one that was asked for; true when it did.
    pub(crate) fn learn(&mut self, frame: &[u8], now: Duration) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let Some((neighbour, hardware)) = answer(frame) else { return false };
        let Some(entry) = self.entry(neighbour) else { return false };
        if !EthernetAddress(hardware).is_unicast() {
            return false;
        }
        *entry = Neighbour { hardware: Some(hardware), since: now, questions: 0, asked_at: now };
        true
    }

    /// Tells all neighbours that `address` is ours, so that those who knew it elsewhere forget that: an
    /// ARP announcement (RFC 5227 section 3), an unsolicited advertisement (RFC 4861 section 7.2.6).
    pub(crate) fn announce(&self, address: IpAddr, output: &mut dyn Transmit) {
        match address {
            IpAddr::V4(own) => self.ask_v4(own, own, output),
            IpAddr::V6(own) => self.advertise(own, output),
        }
    }

    /// Asks whether anybody has `address`, which is to be ours: an ARP probe (RFC 5227 section 2.1.1), a solicitation
    /// from the unspecified address (RFC 4862 section 5.4.2).
    pub(crate) fn probe(&self, address: IpAddr, output: &mut dyn Transmit) {
        match address {
            IpAddr::V4(own) => self.ask_v4(own, Ipv4Addr::UNSPECIFIED, output),
            IpAddr::V6(own) => {
                let probe = NdiscRepr::NeighborSolicit { target_addr: own, lladdr: None };
                self.send_v6(probe, Ipv6Addr::UNSPECIFIED, solicited_node(own), output);
            }
        }
    }

    /// Tells multicast routers and switches about the groups of our addresses.
    pub(crate) fn report(
        &self,
        record: Record,
        addresses: impl Iterator<Item = IpAddr>,
        output: &mut dyn Transmit,
    ) {
        let groups = addresses.filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(own) => Some(solicited_node(own)),
        });
        // RFC 3810 section 5.2.13.
        let source = link_local(self.own);
        let report = multicast::report(source, record, groups);
        if report.len() == multicast::HEADER_BYTES {
            return;
        }
        let ip = Ipv6Repr {
            src_addr: source,
            dst_addr: multicast::ALL_MLDV2_ROUTERS,
            next_header: IpProtocol::HopByHop,
            payload_len: report.len(),
            hop_limit: 1,
        };
        self.send_packet_v6(&ip, output, &|body| body.copy_from_slice(&report));
    }

    /// Asks for routers (RFC 4861 section 6.3.7).
    pub(crate) fn solicit_routers(&self, output: &mut dyn Transmit) {
        let message = NdiscRepr::RouterSolicit { lladdr: Some(self.link_address()) };
        self.send_v6(message, link_local(self.own), ALL_ROUTERS, output);
    }

    /// Answers a probe of another machine for `own`, which is ours: the sender of `question` alone by ARP, and all by
    /// neighbour discovery (RFC 4861 section 7.2.4).
    pub(crate) fn answer(&self, own: IpAddr, question: &[u8], output: &mut dyn Transmit) {
        match own {
            IpAddr::V4(own) => self.answer_v4(own, question, output),
            IpAddr::V6(own) => self.advertise(own, output),
        }
    }

    fn answer_v4(&self, own: Ipv4Addr, question: &[u8], output: &mut dyn Transmit) {
        let packet = question.get(14..).and_then(|payload| ArpPacket::new_checked(payload).ok());
        let Some(Ok(ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. })) =
            packet.map(|packet| ArpRepr::parse(&packet))
        else {
            return;
        };
        let answer = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(self.own),
            source_protocol_addr: own,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        self.send_arp(&answer, source_hardware_addr, output);
    }

    fn entry(&mut self, neighbour: IpAddr) -> Option<&mut Neighbour> {
        let found = self.entries.iter_mut().find(|(address, _)| *address == neighbour);
        found.map(|(_, entry)| entry)
    }

    fn make_room(&mut self, now: Duration) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        self.entries.retain(|(_, entry)| entry.hardware.is_some() && now < entry.since + FRESH);
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.remove(0);
        }
    }

    fn ask_v4(&self, target: Ipv4Addr, local: Ipv4Addr, output: &mut dyn Transmit) {
        let question = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(self.own),
            source_protocol_addr: local,
            // RFC 5227 section 1.1.
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        self.send_arp(&question, EthernetAddress::BROADCAST, output);
    }

    fn send_arp(&self, message: &ArpRepr, to: EthernetAddress, output: &mut dyn Transmit) {
        output.transmit(TxFrame::new(14 + message.buffer_len()), &mut |frame| {
            let payload = self.header(frame, to, EthernetProtocol::Arp);
            message.emit(&mut ArpPacket::new_unchecked(payload));
        });
    }

    fn ask_v6(&self, target: Ipv6Addr, local: Ipv6Addr, output: &mut dyn Transmit) {
        let question =
            NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(self.link_address()) };
        self.send_v6(question, local, solicited_node(target), output);
    }

    fn advertise(&self, own: Ipv6Addr, output: &mut dyn Transmit) {
        let advertisement = NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::OVERRIDE,
            target_addr: own,
            lladdr: Some(self.link_address()),
        };
        self.send_v6(advertisement, own, ALL_NODES, output);
    }

    fn link_address(&self) -> RawHardwareAddress {
        HardwareAddress::Ethernet(EthernetAddress(self.own)).into()
    }

    /// Sends a message of neighbour discovery to a group.
    fn send_v6(
        &self,
        message: NdiscRepr,
        local: Ipv6Addr,
        group: Ipv6Addr,
        output: &mut dyn Transmit,
    ) {
        let message = Icmpv6Repr::Ndisc(message);
        let ip = Ipv6Repr {
            src_addr: local,
            dst_addr: group,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        };
        self.send_packet_v6(&ip, output, &|body| {
            let mut body = Icmpv6Packet::new_unchecked(body);
            message.emit(&local, &group, &mut body, &ChecksumCapabilities::default());
        });
    }

    /// Sends an IPv6 packet to a group.
    fn send_packet_v6(&self, ip: &Ipv6Repr, output: &mut dyn Transmit, write: &dyn Fn(&mut [u8])) {
        output.transmit(TxFrame::new(14 + 40 + ip.payload_len), &mut |frame| {
            // RFC 2464 section 7: the group's last four octets after 33:33.
            let [.., a, b, c, d] = ip.dst_addr.octets();
            let destination = EthernetAddress([0x33, 0x33, a, b, c, d]);
            let payload = self.header(frame, destination, EthernetProtocol::Ipv6);
            let (header, body) = payload.split_at_mut(40);
            ip.emit(&mut Ipv6Packet::new_unchecked(header));
            write(body);
        });
    }

    fn header<'a>(
        &self,
        frame: &'a mut [u8],
        destination: EthernetAddress,
        kind: EthernetProtocol,
    ) -> &'a mut [u8] {
        let mut header = EthernetFrame::new_unchecked(&mut *frame);
        header.set_src_addr(EthernetAddress(self.own));
        header.set_dst_addr(destination);
        header.set_ethertype(kind);
        &mut frame[14..]
    }
}

/// Neighbours remembered; the appliance opens connections to a few.
const ENTRIES_MAX: usize = 256;
/// How long an answer is good. Connections follow their peers by themselves.
const FRESH: Duration = Duration::from_secs(60);
/// Time between questions, and their number (RFC 4861 section 10).
const PAUSE: Duration = Duration::from_secs(1);
const QUESTIONS_MAX: u8 = 3;

/// All routers of a link (RFC 4291 section 2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All nodes of a link (RFC 4291 section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group of those whose address ends alike (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let (high, low) = (0xff00 | u16::from(a), u16::from(b) << 8 | u16::from(c));
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low)
}

/// Whose hardware address a frame tells.
fn answer(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(ethernet.payload()).ok()?;
            let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } =
                ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            Some((source_protocol_addr.into(), source_hardware_addr.0))
        }
        EthernetProtocol::Ipv6 => advertised(ethernet.payload()),
        _ => None,
    }
}

/// RFC 4861 section 7.1.2: a hop limit of 255 proves that the advertisement is of this link.
fn advertised(payload: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let ip = Ipv6Packet::new_checked(payload).ok()?;
    if ip.next_header() != IpProtocol::Icmpv6 || ip.hop_limit() != 255 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let caps = ChecksumCapabilities::default();
    match Icmpv6Repr::parse(&ip.src_addr(), &ip.dst_addr(), &message, &caps).ok()? {
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            target_addr,
            lladdr: Some(hardware),
            ..
        }) => Some((target_addr.into(), hardware.as_bytes().try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    struct Frames(Vec<Vec<u8>>);

    impl Transmit for Frames {
        fn is_ready(&mut self) -> bool {
            true
        }

        fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
            let mut bytes = std::vec![0; frame.bytes()];
            build(&mut bytes);
            self.0.push(bytes);
            true
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_neighbour_is_asked_three_times() {
        let (target, local) = ("10.0.0.9".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let mut neighbours = Neighbours::new([2; 6]);
        let mut frames = Frames(Vec::new());
        let hops: Vec<Hop> =
            (0..4).map(|n| neighbours.find(target, local, n * SECOND, &mut frames)).collect();
        assert_eq!(hops[0], Hop::Asked(SECOND));
        assert_eq!((hops[3], frames.0.len()), (Hop::Silent, 3));
        // Later attempts begin anew.
        assert_eq!(
            neighbours.find(target, local, 9 * SECOND, &mut frames),
            Hop::Asked(10 * SECOND)
        );
    }

    #[test]
    fn an_answer_is_taken_only_when_asked_for() {
        let (target, local) = ("fd00::9".parse().unwrap(), "fd00::1".parse().unwrap());
        let mut neighbours = Neighbours::new([2; 6]);
        let mut other = Neighbours::new([6; 6]);
        let mut frames = Frames(Vec::new());
        // The other's question tells its address, but is no answer.
        other.find("fd00::1".parse().unwrap(), target, Duration::ZERO, &mut frames);
        assert!(!neighbours.learn(&frames.0[0], Duration::ZERO));
        neighbours.find(target, local, Duration::ZERO, &mut frames);
        let question = Ipv6Packet::new_checked(&frames.0[1][14..]).unwrap();
        assert_eq!(question.dst_addr(), "ff02::1:ff00:9".parse::<Ipv6Addr>().unwrap());
        assert!(!neighbours.learn(&frames.0[0], Duration::ZERO));
    }

    #[test]
    fn arp_frames_of_an_asked_neighbour_tell_its_address() {
        let (target, local) = ("10.0.0.9".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let mut neighbours = Neighbours::new([2; 6]);
        let mut other = Neighbours::new([6; 6]);
        let mut frames = Frames(Vec::new());
        neighbours.find(target, local, Duration::ZERO, &mut frames);
        other.find(local, target, Duration::ZERO, &mut frames);
        assert!(neighbours.learn(&frames.0[1], Duration::ZERO));
        let hop = neighbours.find(target, local, SECOND, &mut frames);
        assert_eq!(hop, Hop::Known([6; 6]));
        // It may have moved: the answer is good for a minute.
        assert!(matches!(neighbours.find(target, local, 61 * SECOND, &mut frames), Hop::Asked(_)));
    }

    #[test]
    fn announcements_correct_what_neighbours_know() {
        for (own, asker) in [("10.0.0.1", "10.0.0.9"), ("fd00::1", "fd00::9")] {
            let (own, asker) = (own.parse().unwrap(), asker.parse().unwrap());
            let mut frames = Frames(Vec::new());
            let mut other = Neighbours::new([6; 6]);
            other.find(own, asker, Duration::ZERO, &mut frames);
            Neighbours::new([2; 6]).announce(own, &mut frames);
            assert!(other.learn(&frames.0[1], Duration::ZERO));
            let hop = other.find(own, asker, Duration::ZERO, &mut frames);
            assert_eq!(hop, Hop::Known([2; 6]));
            assert_eq!(frames.0[1][0] & 1, 1, "to all");
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut neighbours = Neighbours::new([2; 6]);
        let mut most = 0;
        for host in 0..1_000_u32 {
            let target = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0100 + host));
            neighbours.find(
                target,
                "10.0.0.1".parse().unwrap(),
                Duration::ZERO,
                &mut Frames(Vec::new()),
            );
            most = most.max(neighbours.entries.len());
        }
        assert_eq!(most, 256);
    }

    /// A frame with which `other` says that `address` is at that hardware address.
    fn said(address: &str, hardware: [u8; 6]) -> Vec<u8> {
        let mut frames = Frames(Vec::new());
        Neighbours::new(hardware).announce(address.parse().unwrap(), &mut frames);
        frames.0.remove(0)
    }

    #[test]
    fn a_neighbour_is_known_for_a_minute_and_silent_for_two_seconds() {
        let millis = Duration::from_millis;
        for (target, local) in [("10.0.0.9", "10.0.0.1"), ("fd00::9", "fd00::1")] {
            let addresses: [IpAddr; 2] = [target.parse().unwrap(), local.parse().unwrap()];
            let mut neighbours = Neighbours::new([2; 6]);
            let mut frames = Frames(Vec::new());
            let mut find = |neighbours: &mut Neighbours, at: u64| {
                let hop = neighbours.find(addresses[0], addresses[1], millis(at), &mut frames);
                (hop, frames.0.len())
            };
            for (at, hop, questions) in [
                (100, Hop::Asked(millis(1_100)), 1),
                (1_099, Hop::Asked(millis(1_100)), 1),
                (1_100, Hop::Asked(millis(2_100)), 2),
                (2_100, Hop::Asked(millis(3_100)), 3),
                (3_099, Hop::Asked(millis(3_100)), 3),
                (3_100, Hop::Silent, 3),
                (4_099, Hop::Silent, 3),
                (4_100, Hop::Asked(millis(5_100)), 4),
                (5_100, Hop::Asked(millis(6_100)), 5),
                (6_100, Hop::Asked(millis(7_100)), 6),
                (7_100, Hop::Silent, 6),
            ] {
                assert_eq!(find(&mut neighbours, at), (hop, questions), "at {at}");
            }
            assert!(neighbours.learn(&said(target, [6; 6]), millis(8_000)));
            assert_eq!(find(&mut neighbours, 67_999), (Hop::Known([6; 6]), 6));
            // Then it is asked for anew, as often as before.
            for (at, hop) in [(68_000, 69_000), (69_000, 70_000), (70_000, 71_000)] {
                assert_eq!(find(&mut neighbours, at).0, Hop::Asked(millis(hop)));
            }
            assert_eq!(find(&mut neighbours, 71_000), (Hop::Silent, 9));
        }
    }

    #[test]
    fn addresses_of_hardware_that_many_have_or_nobody_are_not_learned() {
        for target in ["10.0.0.9", "fd00::9"] {
            let mut neighbours = Neighbours::new([2; 6]);
            assert!(!neighbours.learn(&said(target, [6; 6]), SECOND), "nobody was asked for");
            let local = if target.contains(':') { "fd00::1" } else { "10.0.0.1" };
            let (target_ip, local) = (target.parse().unwrap(), local.parse().unwrap());
            neighbours.find(target_ip, local, SECOND, &mut Frames(Vec::new()));
            for hardware in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
                assert!(!neighbours.learn(&said(target, hardware), SECOND), "{hardware:?}");
            }
            let whole = said(target, [6; 6]);
            for length in 0..whole.len() {
                assert!(!neighbours.learn(&whole[..length], SECOND), "{length}");
            }
            let mut other_kind = whole.clone();
            other_kind[12..14].copy_from_slice(&[0x88, 0xcc]);
            assert!(!neighbours.learn(&other_kind, SECOND));
            if whole[12] == 0x86 {
                // The hop limit, the protocol, the message's type, its target and the address.
                for at in [21, 20, 54, 77, 85] {
                    let mut damaged = whole.clone();
                    damaged[at] ^= 1;
                    assert!(!neighbours.learn(&damaged, SECOND), "{at}");
                }
            }
            assert!(neighbours.learn(&whole, SECOND));
        }
    }

    #[test]
    fn who_is_known_is_forgotten_after_those_who_are_silent() {
        let mut neighbours = Neighbours::new([2; 6]);
        let local = "10.0.0.1".parse().unwrap();
        let target = |host: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0100 + host));
        let find = |neighbours: &mut Neighbours, host, at| {
            neighbours.find(target(host), local, at, &mut Frames(Vec::new()))
        };
        for host in 0..256 {
            find(&mut neighbours, host, SECOND);
        }
        for host in [0, 1, 255] {
            let at = if host == 1 { SECOND } else { 30 * SECOND };
            assert!(neighbours.learn(&said(&target(host).to_string(), [6; 6]), at));
        }
        // There is no room: who is known, and not only was, stays.
        find(&mut neighbours, 300, 61 * SECOND);
        assert_eq!(neighbours.entries.len(), 3);
        assert_eq!(find(&mut neighbours, 0, 61 * SECOND), Hop::Known([6; 6]));
        assert_eq!(find(&mut neighbours, 255, 61 * SECOND), Hop::Known([6; 6]));
        assert!(matches!(find(&mut neighbours, 1, 61 * SECOND), Hop::Asked(_)));
    }

    #[test]
    fn rfc_4291_2_7_1_groups_of_addresses_and_frames_to_them() {
        let address = "2001:db8::1234:5678:9abc:def0".parse().unwrap();
        assert_eq!(solicited_node(address), "ff02::1:ffbc:def0".parse::<Ipv6Addr>().unwrap());
        let mut frames = Frames(Vec::new());
        let neighbours = Neighbours::new([2, 0, 0, 0, 0, 1]);
        neighbours.probe(address.into(), &mut frames);
        neighbours.solicit_routers(&mut frames);
        neighbours.announce(address.into(), &mut frames);
        let own = ["10.0.0.1".parse().unwrap(), IpAddr::from(address)];
        neighbours.report(Record::Listening, own.into_iter(), &mut frames);
        let none = "::".parse().unwrap();
        let link_local = "fe80::ff:fe00:1".parse().unwrap();
        // RFC 2464 section 7: the group's last four bytes are in its hardware address.
        for (frame, (group, source, target, hop_limit)) in frames.0.iter().zip([
            ([0xff, 0xbc, 0xde, 0xf0], none, "ff02::1:ffbc:def0", 255),
            ([0, 0, 0, 2], link_local, "ff02::2", 255),
            ([0, 0, 0, 1], address, "ff02::1", 255),
            ([0, 0, 0, 0x16], link_local, "ff02::16", 1),
        ]) {
            assert_eq!((&frame[..2], &frame[2..6]), (&[0x33, 0x33][..], &group[..]));
            assert_eq!(
                (&frame[6..12], &frame[12..14]),
                (&[2, 0, 0, 0, 0, 1][..], &[0x86, 0xdd][..])
            );
            let ip = Ipv6Packet::new_checked(&frame[14..]).unwrap();
            assert_eq!((ip.src_addr(), ip.dst_addr()), (source, target.parse().unwrap()));
            assert_eq!((ip.hop_limit(), ip.total_len()), (hop_limit, frame.len() - 14));
        }
        assert_eq!(frames.0.len(), 4);
        // One group, since an IPv4 address has none; and nothing is said of none.
        assert_eq!((frames.0[3][54 + 8 + 7], frames.0[3][54 + 16]), (1, 2));
        neighbours.report(Record::Listening, own[..1].iter().copied(), &mut frames);
        assert_eq!(frames.0.len(), 4);
    }
}
