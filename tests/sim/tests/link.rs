//! One stack and frames made by hand: who is answered on the link, what is probed, what is put together.

use flow::{ConnectError, Connector, Target};
use net::{Config, Counter, DatagramError};
use sim::{Lone, MAC, ethernet_frame, icmpv6_frame, reply_frame, syn_frame, tcp_fields};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags,
    NdiscRepr, RawHardwareAddress, TcpControl, TcpPacket, TcpSeqNumber, UdpPacket,
};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const ALL: [u8; 6] = [0xff; 6];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

struct Host(Lone);

impl Host {
    fn new() -> Self {
        let addresses = vec![(OURS.into(), 24), (OURS_V6.into(), 64)];
        let config = Config { addresses, dhcp: false, slaac: false, ..Config::default() };
        let mut lone = Lone::new(&config);
        Box::leak(Box::new(lone.stack.listen(80).unwrap()));
        Self(lone)
    }

    /// One that has told and asked its neighbours everything.
    fn settled() -> Self {
        let mut host = Self::new();
        host.pass(Duration::from_secs(10));
        host
    }

    /// What leaves meanwhile.
    fn pass(&mut self, period: Duration) -> Vec<Vec<u8>> {
        self.pass_timed(period).into_iter().map(|(_, frame)| frame).collect()
    }

    /// The same, and when.
    fn pass_timed(&mut self, period: Duration) -> Vec<(Duration, Vec<u8>)> {
        let until = self.0.now + period;
        let mut frames = Vec::new();
        loop {
            let sent = self.0.turn();
            frames.extend(sent.into_iter().map(|frame| (self.0.now, frame)));
            if !self.0.step(until) {
                return frames;
            }
        }
    }

    /// What a frame is answered.
    fn ask(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.0.wire.inject(0, frame);
        self.pass(Duration::from_millis(10))
    }

    fn has(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.0.stack.addresses().any(|(own, _)| own == address)
    }
}

fn arp(operation: ArpOperation, from: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let mut payload = vec![0; arp.buffer_len()];
    arp.emit(&mut ArpPacket::new_unchecked(&mut payload));
    ethernet_frame((from, ALL), EthernetProtocol::Arp, &payload)
}

fn read_arp(frame: &[u8]) -> Option<(ArpOperation, Ipv4Addr, Ipv4Addr)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    match ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).ok()?).ok()? {
        ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } => {
            Some((operation, source_protocol_addr, target_protocol_addr))
        }
        _ => None,
    }
}

fn v4(to: [u8; 6], source: Ipv4Addr, target: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: target,
        next_header: IpProtocol::from(protocol),
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 20 + payload.len()];
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &ChecksumCapabilities::default());
    packet[20..].copy_from_slice(payload);
    ethernet_frame((MAC[1], to), EthernetProtocol::Ipv4, &packet)
}

fn icmp(message: &Icmpv4Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    bytes
}

fn ping(data: &[u8]) -> Vec<u8> {
    icmp(&Icmpv4Repr::EchoRequest { ident: 1, seq_no: 1, data })
}

/// Kind and length of the ICMP messages among frames.
fn icmp_kinds(frames: &[Vec<u8>]) -> Vec<(Icmpv4Message, usize)> {
    let message = |frame: &Vec<u8>| {
        let packet = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
        let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
        (packet.next_header() == IpProtocol::Icmp)
            .then(|| (message.msg_type(), packet.payload().len()))
    };
    frames.iter().filter(|frame| frame[12..14] == [8, 0]).filter_map(message).collect()
}

fn ndisc(source: Ipv6Addr, target: Ipv6Addr, message: NdiscRepr) -> Vec<u8> {
    v6(source, target, &Icmpv6Repr::Ndisc(message))
}

fn v6(source: Ipv6Addr, target: Ipv6Addr, message: &Icmpv6Repr<'_>) -> Vec<u8> {
    icmpv6_frame(OTHER, source, target, message)
}

/// The hop limit of an IPv6 frame is one less, as after a router.
fn through_router(mut frame: Vec<u8>) -> Vec<u8> {
    frame[14 + 7] -= 1;
    frame
}

/// Sender, destination and content of the messages of neighbour discovery among frames.
fn ndiscs(frames: &[Vec<u8>]) -> Vec<(Ipv6Addr, Ipv6Addr, NdiscRepr<'_>)> {
    frames
        .iter()
        .filter(|frame| frame[12..14] == [0x86, 0xdd])
        .filter_map(|f| ndisc_of(f))
        .collect()
}

fn ndisc_of(frame: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, NdiscRepr<'_>)> {
    let packet = Ipv6Packet::new_checked(frame.get(14..)?).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let body = Icmpv6Packet::new_checked(frame.get(54..)?).ok()?;
    match Icmpv6Repr::parse(&from, &to, &body, &ChecksumCapabilities::default()).ok()? {
        Icmpv6Repr::Ndisc(message) => Some((from, to, message)),
        _ => None,
    }
}

fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

#[test]
fn rfc_5227_2_1_arp_probes_and_questions_from_elsewhere_are_answered() {
    let mut host = Host::settled();
    for from in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 168, 1, 1), PEER] {
        let answers = host.ask(arp(ArpOperation::Request, OTHER, from, OURS));
        let [answer] = &answers[..] else { panic!("{from}: {}", answers.len()) };
        assert_eq!(answer[..6], OTHER, "to the asker");
        assert_eq!(read_arp(answer), Some((ArpOperation::Reply, OURS, from)));
    }
    let other =
        arp(ArpOperation::Request, OTHER, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 3));
    assert!(host.ask(other).is_empty(), "what is not ours is not answered");
}

#[test]
fn rfc_4861_7_1_1_questions_that_came_through_a_router_are_not_answered() {
    let mut host = Host::settled();
    let question = NdiscRepr::NeighborSolicit { target_addr: OURS_V6, lladdr: None };
    for from in [PEER_V6, Ipv6Addr::UNSPECIFIED] {
        let frame = ndisc(from, solicited(OURS_V6), question);
        assert!(ndiscs(&host.ask(through_router(frame.clone()))).is_empty(), "{from}");
        assert!(!ndiscs(&host.ask(frame)).is_empty(), "{from}");
    }
}

/// RFC 5227 section 3 and RFC 4861 section 7.2.6: others may have learned meanwhile that we are elsewhere.
#[test]
fn addresses_are_announced_again_when_the_link_returns() {
    let mut host = Host::settled();
    host.0.wire.set_link_up(false);
    host.pass(Duration::from_secs(5));
    host.0.wire.set_link_up(true);
    let frames = host.pass(Duration::from_secs(5));
    let arps: Vec<_> = frames.iter().filter_map(|frame| read_arp(frame)).collect();
    assert!(arps.contains(&(ArpOperation::Request, OURS, OURS)), "{arps:?}");
    let is_announcement = |message: &NdiscRepr<'_>| {
        matches!(message, NdiscRepr::NeighborAdvert { target_addr: OURS_V6, flags, .. }
            if !flags.contains(NdiscNeighborFlags::SOLICITED))
    };
    let found = ndiscs(&frames);
    assert!(found.iter().any(|(_, _, message)| is_announcement(message)), "{found:?}");
}

#[test]
fn rfc_4862_5_4_solicitations_for_duplicates_are_answered_to_all() {
    let mut host = Host::settled();
    let question = NdiscRepr::NeighborSolicit { target_addr: OURS_V6, lladdr: None };
    let answers = host.ask(ndisc(Ipv6Addr::UNSPECIFIED, solicited(OURS_V6), question));
    let found = ndiscs(&answers);
    let [(from, to, NdiscRepr::NeighborAdvert { flags, target_addr, lladdr: Some(_) })] = found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((from, target_addr), (OURS_V6, OURS_V6));
    assert_eq!(to, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    assert_eq!(flags, NdiscNeighborFlags::OVERRIDE);
}

#[test]
fn rfc_5227_2_1_1_own_addresses_are_probed() {
    let mut host = Host::new();
    let frames = host.pass(Duration::from_secs(10));
    let probe = (ArpOperation::Request, Ipv4Addr::UNSPECIFIED, OURS);
    let arps: Vec<_> = frames.iter().filter_map(|frame| read_arp(frame)).collect();
    assert_eq!(arps.iter().filter(|arp| **arp == probe).count(), 3);
    assert_eq!(arps.first(), Some(&probe), "before it is announced");
    let solicits = |(from, to, message): &(Ipv6Addr, Ipv6Addr, NdiscRepr)| {
        *from == Ipv6Addr::UNSPECIFIED
            && *to == solicited(OURS_V6)
            && matches!(message, NdiscRepr::NeighborSolicit { target_addr: OURS_V6, lladdr: None })
    };
    assert_eq!(ndiscs(&frames).iter().filter(|it| solicits(it)).count(), 1);
}

/// RFC 5227 section 1.1: from PROBE_MIN to PROBE_MAX between two probes; RFC 4861 section 10: RETRANS_TIMER. At the start and when the
/// link returns, each at once: it is asked while the address is in use.
#[test]
fn rfc_5227_2_1_1_probes_are_one_to_two_seconds_apart() {
    let mut host = Host::new();
    for _ in 0..2 {
        let began = host.0.now;
        let frames = host.pass_timed(Duration::from_secs(10));
        let is_probe = |frame: &[u8]| {
            read_arp(frame) == Some((ArpOperation::Request, Ipv4Addr::UNSPECIFIED, OURS))
        };
        let probes: Vec<_> =
            frames.iter().filter(|(_, frame)| is_probe(frame)).map(|(at, _)| *at - began).collect();
        assert_eq!(probes.len(), 3, "{probes:?}");
        assert!(probes[0] <= Duration::from_secs(1), "PROBE_WAIT: {probes:?}");
        for pair in probes.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(
                (Duration::from_secs(1)..=Duration::from_secs(2)).contains(&apart),
                "{probes:?}"
            );
        }
        host.0.wire.set_link_up(false);
        host.pass(Duration::from_secs(5));
        host.0.wire.set_link_up(true);
    }
}

/// RFC 4861 section 7.1.2: who answers our question through a router is no neighbour, also when nobody else answers.
#[test]
fn rfc_4861_7_1_2_advertisements_that_came_through_a_router_are_not_learned() {
    let advert = NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: PEER_V6,
        lladdr: Some(RawHardwareAddress::from_bytes(&OTHER)),
    };
    let frame = ndisc(PEER_V6, OURS_V6, advert);
    for (frame, is_learned) in [(through_router(frame.clone()), false), (frame, true)] {
        let mut host = Host::settled();
        let connector = host.0.stack.connector();
        let target = Target::Address(SocketAddr::new(PEER_V6.into(), 7));
        host.0.executor.spawner().spawn("connect", async move {
            let _ = connector.connect(&target).await;
        });
        let asked = host.pass(Duration::from_millis(10));
        assert!(
            ndiscs(&asked).iter().any(|(_, _, message)| matches!(
                message,
                NdiscRepr::NeighborSolicit { target_addr: PEER_V6, .. }
            )),
            "the neighbour is asked for"
        );
        let answers = host.ask(frame);
        let syn = answers.iter().find(|frame| tcp_fields(frame).is_some());
        assert_eq!(syn.map(|frame| frame[..6] == OTHER), is_learned.then_some(true));
    }
}

#[test]
fn rfc_5227_2_4_an_address_that_was_written_down_is_defended() {
    let claim = || arp(ArpOperation::Reply, OTHER, OURS, OURS);
    let mut host = Host::new();
    host.pass(Duration::from_millis(500));
    host.ask(claim());
    assert!(host.has(OURS), "at the start, too: else any neighbour could take it away");
    let mut host = Host::settled();
    let defence = host.ask(claim());
    assert_eq!(read_arp(&defence[0]), Some((ArpOperation::Request, OURS, OURS)));
    assert!(host.ask(claim()).is_empty(), "not again within ten seconds");
    assert!(host.has(OURS));
}

#[test]
fn rfc_4862_5_4_4_an_address_that_another_has_is_given_up() {
    let advert = NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: OURS_V6,
        lladdr: Some(RawHardwareAddress::from_bytes(&OTHER)),
    };
    let frame = || ndisc(OURS_V6, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), advert);
    let mut host = Host::new();
    host.pass(Duration::from_millis(500));
    // RFC 4861 section 7.1.2: who has come through a router is no neighbour.
    host.ask(through_router(frame()));
    assert!(host.has(OURS_V6));
    host.ask(frame());
    assert!(!host.has(OURS_V6));
    let mut host = Host::settled();
    host.ask(frame());
    assert!(host.has(OURS_V6));
}

#[test]
fn rfc_6890_nobody_is_answered_who_is_no_host() {
    let mut host = Host::settled();
    let strangers =
        ["127.0.0.1", "0.0.0.0", "240.0.0.1", "255.255.255.255", "10.0.0.255", "10.0.0.1"];
    for from in strangers {
        let from: Ipv4Addr = from.parse().unwrap();
        let syn = syn_frame(
            (MAC[1], MAC[0]),
            SocketAddrV4::new(from, 5000),
            SocketAddrV4::new(OURS, 80),
            1,
        );
        assert!(host.ask(syn).is_empty(), "a SYN from {from}");
        let ack = reply_frame(
            (MAC[1], MAC[0]),
            SocketAddrV4::new(from, 5000),
            SocketAddrV4::new(OURS, 81),
            TcpControl::None,
            1,
            Some(1),
            b"",
        );
        assert!(host.ask(ack).is_empty(), "a segment for nobody from {from}");
        assert!(host.ask(v4(MAC[0], from, OURS, 1, &ping(b"x"))).is_empty(), "a ping from {from}");
        assert!(host.ask(v4(MAC[0], from, OURS, 17, &[0, 9, 0, 9, 0, 8, 0, 0])).is_empty());
    }
    assert!(!host.ask(v4(MAC[0], PEER, OURS, 1, &ping(b"x"))).is_empty(), "who is one is");
}

/// An IPv4 frame with options, a multiple of four bytes, and a header that is right.
fn with_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..34], options, &frame[34..]].concat();
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.set_header_len(20 + options.len() as u8);
    ip.set_total_len(ip.total_len() + options.len() as u16);
    ip.fill_checksum();
    frame
}

#[test]
fn rfc_7126_4_3_5_packets_with_source_routes_are_dropped() {
    let mut host = Host::settled();
    host.ask(v4(MAC[0], PEER, OURS, 1, &ping(b"x")));
    host.ask(arp(ArpOperation::Reply, MAC[1], PEER, OURS));
    let syn = |port| {
        let ends = (SocketAddrV4::new(PEER, port), SocketAddrV4::new(OURS, 80));
        syn_frame((MAC[1], MAC[0]), ends.0, ends.1, 1)
    };
    let echo = v4(MAC[0], PEER, OURS, 1, &ping(b"x"));
    for options in
        [[131, 7, 4, 10, 0, 0, 9, 0], [137, 7, 4, 10, 0, 0, 9, 0], [148, 9, 0, 0, 0, 0, 0, 0]]
    {
        assert!(host.ask(with_options(&syn(5000), &options)).is_empty(), "{options:?}");
        assert!(host.ask(with_options(&echo, &options)).is_empty(), "{options:?}");
        let [first, second] = cut(&v4(MAC[0], PEER, OURS, 1, &ping(&[7; 1000])), 512);
        host.ask(with_options(&first, &options));
        assert!(host.ask(second).is_empty(), "{options:?}");
    }
    let router_alert = [148, 4, 0, 0];
    assert_eq!(host.ask(with_options(&syn(5001), &router_alert)).len(), 1);
    assert_eq!(icmp_kinds(&host.ask(with_options(&echo, &router_alert))).len(), 1);
}

#[test]
fn rfc_1122_3_2_2_icmp_errors_are_limited_and_never_about_what_was_sent_to_many() {
    let mut host = Host::settled();
    host.ask(v4(MAC[0], PEER, OURS, 1, &ping(b"x")));
    host.ask(arp(ArpOperation::Reply, MAC[1], PEER, OURS));
    let datagram = [0, 9, 0, 9, 0, 8, 0, 0];
    for to in [OURS, Ipv4Addr::new(10, 0, 0, 255), Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)]
    {
        assert_eq!(host.ask(v4(ALL, PEER, to, 17, &datagram)), [[]; 0], "{to}");
    }
    // To the next second.
    host.pass(Duration::from_millis(1_000 - u64::from(host.0.now.subsec_millis())));
    let before = host.0.stack.count(Counter::IcmpErrorsWithheld);
    let mut errors = 0;
    for _ in 0..150 {
        host.0.wire.inject(0, v4(MAC[0], PEER, OURS, 17, &datagram));
        let answers = host.pass(Duration::from_millis(1));
        let unreachable =
            |(kind, _): &&(Icmpv4Message, usize)| *kind == Icmpv4Message::DstUnreachable;
        errors += icmp_kinds(&answers).iter().filter(unreachable).count();
    }
    assert_eq!(errors, 100);
    assert_eq!(host.0.stack.count(Counter::IcmpErrorsWithheld) - before, 50);
}

/// Cuts an IPv4 frame behind so many bytes of payload, a multiple of eight.
fn cut(frame: &[u8], at: usize) -> [Vec<u8>; 2] {
    let end = frame.len() - 34;
    [part(frame, 0..at), part(frame, at..end)]
}

/// The fragment of an IPv4 frame with that of its payload.
fn part(frame: &[u8], range: Range<usize>) -> Vec<u8> {
    let mut part = [&frame[..34], &frame[34 + range.start..34 + range.end]].concat();
    let mut ip = Ipv4Packet::new_unchecked(&mut part[14..]);
    ip.set_total_len(20 + range.len() as u16);
    ip.set_frag_offset(range.start as u16);
    ip.set_more_frags(34 + range.end < frame.len());
    ip.set_dont_frag(false);
    ip.fill_checksum();
    part
}

#[test]
fn rfc_791_fragments_are_put_together() {
    let mut host = Host::settled();
    host.ask(v4(MAC[0], PEER, OURS, 1, &ping(b"x")));
    host.ask(arp(ArpOperation::Reply, MAC[1], PEER, OURS));
    let [first, second] = cut(&v4(MAC[0], PEER, OURS, 1, &ping(&[7; 1000])), 512);
    assert!(host.ask(second.clone()).is_empty());
    assert_eq!(icmp_kinds(&host.ask(first)), [(Icmpv4Message::EchoReply, 1008)]);
    let peer = SocketAddrV4::new(PEER, 5000);
    let [first, second] =
        cut(&syn_frame((MAC[1], MAC[0]), peer, SocketAddrV4::new(OURS, 80), 9), 8);
    assert!(host.ask(first).is_empty());
    let answers = host.ask(second);
    assert_eq!(tcp_fields(&answers[0]).unwrap().flags, (true, false, false, true));
}

#[test]
fn rfc_792_a_long_echo_request_is_answered_in_fragments() {
    let mut host = Host::settled();
    let data: Vec<u8> = (0..4000).map(|byte| byte as u8).collect();
    let request = v4(MAC[0], PEER, OURS, 1, &ping(&data));
    let parts = [2960..4008, 0..1480, 1480..2960];
    let answers: Vec<_> = parts.into_iter().flat_map(|r| host.ask(part(&request, r))).collect();
    assert_eq!(answers.len(), 3);
    let mut message = Vec::new();
    for answer in &answers {
        assert_eq!((&answer[..6], &answer[6..12]), (&MAC[1][..], &MAC[0][..]));
        let ip = Ipv4Packet::new_checked(&answer[14..]).unwrap();
        assert!(ip.verify_checksum() && ip.total_len() <= 1500);
        assert_eq!((ip.src_addr(), ip.dst_addr()), (OURS, PEER));
        assert_eq!(usize::from(ip.frag_offset()), message.len());
        message.extend(ip.payload());
        assert_eq!(ip.more_frags(), message.len() < 4008);
    }
    let message = Icmpv4Packet::new_checked(&message).unwrap();
    let reply = Icmpv4Repr::parse(&message, &ChecksumCapabilities::default());
    assert_eq!(reply, Ok(Icmpv4Repr::EchoReply { ident: 1, seq_no: 1, data: &data }));

    let mut damaged = request;
    damaged[1000] ^= 1;
    assert!(host.ask(damaged).is_empty());
}

#[test]
fn rfc_8200_4_5_a_long_echo_request_is_answered_in_fragments() {
    let mut host = Host::settled();
    let data: Vec<u8> = (0..4000).map(|byte| byte as u8).collect();
    let request = Icmpv6Repr::EchoRequest { ident: 1, seq_no: 1, data: &data };
    let answers = host.ask(v6(PEER_V6, OURS_V6, &request));
    let mut message = Vec::new();
    for answer in &answers {
        let ip = Ipv6Packet::new_checked(&answer[14..]).unwrap();
        assert!(ip.total_len() <= 1500);
        assert_eq!((ip.src_addr(), ip.dst_addr()), (OURS_V6, PEER_V6));
        assert_eq!(ip.next_header(), IpProtocol::Ipv6Frag);
        let (header, payload) = ip.payload().split_at(8);
        let offset = message.len() as u16;
        message.extend(payload);
        let more = u16::from(message.len() < 4008);
        assert_eq!(header[..4], [&[58, 0], &(offset | more).to_be_bytes()[..]].concat());
        assert_eq!(header[4..], answers[0][58..62]);
    }
    let message = Icmpv6Packet::new_checked(&message).unwrap();
    let reply = Icmpv6Repr::parse(&OURS_V6, &PEER_V6, &message, &ChecksumCapabilities::default());
    assert_eq!(reply, Ok(Icmpv6Repr::EchoReply { ident: 1, seq_no: 1, data: &data }));
}

#[test]
fn rfc_8200_4_tcp_behind_extension_headers_is_answered() {
    let mut host = Host::settled();
    let segment = segment_v6(PEER_V6, (true, false), 0, 0);
    let destination_options = [6, 0, 1, 4, 0, 0, 0, 0];
    let payload = [&destination_options[..], &segment].concat();
    let answers = host.ask(packet_v6(PEER_V6, IpProtocol::Ipv6Opts, &payload));
    assert_eq!(tcp_fields(&answers[0]).unwrap().flags, (true, false, false, true));
}

/// A segment from port 5000 to port 80, with SYN and ACK or without.
fn segment_v6(from: Ipv6Addr, (syn, ack): (bool, bool), seq: u32, acknowledges: u32) -> Vec<u8> {
    let mut segment = vec![0; 20];
    let mut tcp = TcpPacket::new_unchecked(&mut segment);
    tcp.set_src_port(5000);
    tcp.set_dst_port(80);
    tcp.set_header_len(20);
    tcp.set_syn(syn);
    tcp.set_ack(ack);
    tcp.set_seq_number(TcpSeqNumber(seq as i32));
    tcp.set_ack_number(TcpSeqNumber(acknowledges as i32));
    tcp.set_window_len(1_000);
    tcp.fill_checksum(&from.into(), &OURS_V6.into());
    segment
}

fn packet_v6(from: Ipv6Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: OURS_V6,
        next_header,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 40 + payload.len()];
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut packet));
    packet[40..].copy_from_slice(payload);
    ethernet_frame((MAC[1], MAC[0]), EthernetProtocol::Ipv6, &packet)
}

/// Each word of the address counts: connections of all of them, with the same ports, are connections of their own.
#[test]
fn peers_whose_addresses_differ_in_one_word_are_different() {
    let mut host = Host::settled();
    let peers: Vec<_> = (0..8)
        .map(|word| {
            let mut words = PEER_V6.segments();
            words[word] ^= 0x0100;
            Ipv6Addr::from(words)
        })
        .collect();
    for (index, peer) in peers.iter().enumerate() {
        let seq = 1_000 * index as u32;
        let syn = segment_v6(*peer, (true, false), seq, 0);
        let answers = host.ask(packet_v6(*peer, IpProtocol::Tcp, &syn));
        let fields = answers.iter().find_map(|frame| tcp_fields(frame)).expect("a SYN-ACK");
        assert_eq!(fields.ack, seq + 1);
        let ack = segment_v6(*peer, (false, true), seq + 1, fields.seq.wrapping_add(1));
        host.ask(packet_v6(*peer, IpProtocol::Tcp, &ack));
        assert_eq!(host.0.stack.gauges().connections, index + 1);
    }
}

#[test]
fn rfc_5461_2_a_hard_error_ends_an_active_open_at_once() {
    for (reason, ends) in [
        (Icmpv4DstUnreachable::PortUnreachable, true),
        (Icmpv4DstUnreachable::NetUnreachable, false),
    ] {
        let mut host = Host::settled();
        let outcome = Rc::new(Cell::new(None));
        let (result, connector) = (outcome.clone(), host.0.stack.connector());
        host.0.executor.spawner().spawn("open", async move {
            let target: Target = "10.0.0.2:9".parse().unwrap();
            result.set(connector.connect(&target).await.err());
        });
        host.pass(Duration::from_millis(1));
        let frames = host.ask(arp(ArpOperation::Reply, MAC[1], PEER, OURS));
        let syn = frames.iter().find(|frame| tcp_fields(frame).is_some()).expect("a SYN");
        let header = Ipv4Repr::parse(
            &Ipv4Packet::new_checked(&syn[14..]).unwrap(),
            &ChecksumCapabilities::default(),
        );
        let message =
            Icmpv4Repr::DstUnreachable { reason, header: header.unwrap(), data: &syn[34..42] };
        host.ask(v4(MAC[0], PEER, OURS, 1, &icmp(&message)));
        assert_eq!(outcome.get(), ends.then_some(ConnectError::Unreachable), "{reason}");
    }
}

#[test]
fn rfc_3810_6_2_a_query_for_groups_is_answered() {
    let mut host = Host::settled();
    let (router, all_nodes): (Ipv6Addr, Ipv6Addr) =
        ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
    let ip = Ipv6Repr {
        src_addr: router,
        dst_addr: all_nodes,
        next_header: IpProtocol::HopByHop,
        payload_len: 36,
        hop_limit: 1,
    };
    let mut packet = vec![0; 76];
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut packet));
    packet[40..49].copy_from_slice(&[58, 0, 5, 2, 0, 0, 1, 0, 130]);
    Icmpv6Packet::new_unchecked(&mut packet[48..]).fill_checksum(&router, &all_nodes);
    let query = ethernet_frame((OTHER, [0x33, 0x33, 0, 0, 0, 1]), EthernetProtocol::Ipv6, &packet);
    let reports = host.ask(query);
    let [report] = &reports[..] else { panic!("{} answers", reports.len()) };
    assert_eq!(report[..6], [0x33, 0x33, 0, 0, 0, 0x16]);
    // A report about two groups: those of the static address and of the link-local one.
    assert_eq!((report[62], report[69]), (143, 2));
}

/// The content of a datagram, with its ports, if its checksums are right.
fn datagram(frame: &[u8]) -> Option<(u16, u16, Vec<u8>)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    assert_eq!(ethernet.dst_addr(), EthernetAddress(MAC[1]));
    let (from, to, payload): (IpAddress, IpAddress, Vec<u8>) = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            assert!(ip.verify_checksum());
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload().into())
        }
        _ => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload().into())
        }
    };
    let udp = UdpPacket::new_checked(&payload[..]).ok()?;
    assert!(udp.verify_checksum(&from, &to));
    assert!([(OURS.into(), PEER.into()), (OURS_V6.into(), PEER_V6.into())].contains(&(from, to)));
    Some((udp.src_port(), udp.dst_port(), udp.payload().into()))
}

#[test]
fn rfc_768_datagrams_leave_in_their_order_once_their_hop_is_known() {
    for peer in [IpAddr::from(PEER), PEER_V6.into()] {
        let mut host = Host::settled();
        for content in ["one", "", "three"] {
            host.0.stack.send_datagram((peer, 514).into(), content.as_bytes()).unwrap();
        }
        let asked = host.pass(Duration::from_millis(10));
        assert_eq!(asked.len(), 1, "the neighbour is asked for once: {asked:?}");
        let answer = match peer {
            IpAddr::V4(_) => arp(ArpOperation::Reply, MAC[1], PEER, OURS),
            IpAddr::V6(_) => {
                let lladdr = Some(RawHardwareAddress::from(EthernetAddress(MAC[1])));
                let flags = NdiscNeighborFlags::SOLICITED;
                let advert = NdiscRepr::NeighborAdvert { flags, target_addr: PEER_V6, lladdr };
                ndisc(PEER_V6, OURS_V6, advert)
            }
        };
        let frames = host.ask(answer);
        let sent: Vec<_> = frames.iter().filter_map(|frame| datagram(frame)).collect();
        let expected = ["one", "", "three"].map(|text| (49_152, 514, text.as_bytes().to_vec()));
        assert_eq!(sent, expected);
        assert_eq!(host.0.stack.count(Counter::DatagramsOut), 3);
        // The hop is known now: what follows leaves at once.
        host.0.stack.send_datagram((peer, 514).into(), b"four").unwrap();
        let sent = host.pass(Duration::from_millis(10));
        assert_eq!(datagram(&sent[0]).unwrap().2, b"four");
    }
}

#[test]
fn datagrams_that_cannot_leave_are_refused_or_lost_and_counted() {
    let mut host = Host::settled();
    let to = SocketAddr::from((PEER, 514));
    let send =
        |host: &Host, to: SocketAddr, bytes: usize| host.0.stack.send_datagram(to, &vec![0; bytes]);
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 514));
    assert_eq!(send(&host, elsewhere, 1), Err(DatagramError::Unreachable));
    assert_eq!(send(&host, to, 1500 - 20 - 8 + 1), Err(DatagramError::TooLong));
    assert_eq!(send(&host, to, 1500 - 20 - 8), Ok(()));
    let more = (0..1_000).take_while(|_| send(&host, to, 1_000).is_ok()).count();
    assert!((100..130).contains(&more), "{more} of a thousand bytes fit into 128 KiB");
    assert_eq!(send(&host, to, 1_000), Err(DatagramError::Full));
    // Nobody answers.
    let frames = host.pass(Duration::from_secs(10));
    assert!(frames.len() < 10, "{}", frames.len());
    assert_eq!(host.0.stack.count(Counter::DatagramsLost), more as u64 + 1);
    assert_eq!(host.0.stack.count(Counter::DatagramsOut), 0);
    assert_eq!(send(&host, to, 1_000), Ok(()), "there is room again");
}
