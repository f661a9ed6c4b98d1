//! Limits and numbers that a peer reaches and does not pass: handshakes, errors, memory, routers and addresses.

use flow::{Connector, Flow, FlowError, FlowExt, Listener, Target};
use net::{Config, Counter, DatagramError, Limits};
use sim::by_hand::{endpoints, keep, last_from_stack, open, read, send};
use sim::{
    Link, Lone, MAC, Offloads, World, WorldConfig, address, check, ethernet_frame,
    fragmentation_needed, icmpv6_frame, reply_frame, router_advertisement, syn_frame, tcp_fields,
};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration as SmolDuration;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol, Icmpv6Repr, IpAddress,
    IpProtocol, Ipv4Packet, Ipv4Repr, NdiscNeighborFlags, NdiscPrefixInfoFlags,
    NdiscPrefixInformation, NdiscRepr, RawHardwareAddress, TcpControl, UdpPacket, UdpRepr,
};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

#[test]
fn rfc_9293_3_10_7_4_a_handshake_is_completed_by_the_numbers_of_our_syn_ack_only() {
    for (ahead, acknowledges, opens) in [
        (0, 1, true),
        (0xfffe, 1, true),
        (0xffff, 1, false),
        (u32::MAX, 1, false),
        (0, 0, false),
        (0, 2, false),
        (0, 1 << 31, false),
    ] {
        check("numbers", &WorldConfig::default(), |world| {
            let flows = keep(world);
            let (from, to) = endpoints(5000);
            world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
            world.settle();
            let iss = last_from_stack(world).seq;
            let seq = 100_u32.wrapping_add(ahead);
            send(world, 5000, TcpControl::None, seq, Some(iss.wrapping_add(acknowledges)), b"");
            let seen = (flows.borrow().len(), world.stacks[0].gauges().half_open);
            let expected = if opens { (1, 0) } else { (0, 1) };
            assert_eq!(seen, expected, "{ahead} {acknowledges}");
            assert_eq!(last_from_stack(world).flags.2, !opens, "others are reset");
        });
    }
}

#[test]
fn rfc_9293_3_10_7_4_an_end_may_complete_a_handshake_with_data_and_without() {
    for data in [&b""[..], b"abc"] {
        check("end-first", &WorldConfig::default(), |world| {
            let flows = keep(world);
            let (from, to) = endpoints(5000);
            world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
            world.settle();
            let next = last_from_stack(world).seq.wrapping_add(1);
            send(world, 5000, TcpControl::Fin, 100, Some(next), data);
            assert_eq!(last_from_stack(world).ack, 101 + data.len() as u32);
            let flow = &mut flows.borrow_mut()[0];
            assert_eq!(read(flow), Poll::Ready(Ok(data.to_vec())));
            assert_eq!(read(flow), Poll::Ready(Ok(Vec::new())), "the end");
        });
    }
}

/// A device that cuts would put CWR into each segment.
#[test]
fn rfc_3168_6_1_2_the_segment_that_says_cwr_leaves_by_itself() {
    const ECE: u8 = 0x40;
    const CWR: u8 = 0x80;
    let link = Link { offloads: Offloads::Segmentation, ..Link::default() };
    check("cwr", &WorldConfig { link, ..WorldConfig::default() }, |world| {
        let flows = keep(world);
        let (from, to) = endpoints(5000);
        let macs = (MAC[1], MAC[0]);
        let mut syn = syn_frame(macs, from, to, 99);
        syn[47] |= ECE | CWR;
        world.wire.inject(0, syn);
        world.settle();
        let next = last_from_stack(world).seq.wrapping_add(1);
        send(world, 5000, TcpControl::None, 100, Some(next), b"");
        let mut flow = flows.borrow_mut().pop().unwrap();
        world.spawner().spawn("write", async move {
            let _ = flow.write_all(&[b'x'; 60_000]).await;
            let _ = flow.drained().await;
        });
        world.settle();
        let last = last_from_stack(world);
        let mut expected = last.seq.wrapping_add(last.data as u32);
        assert!(last.data > 2_920, "the device cuts");
        let before = world.wire.log().len();
        // Not of all, since a mark is of what is on its way.
        let part = Some(last.seq.wrapping_add(last.data as u32 - 1_460));
        let mut ack = reply_frame(macs, from, to, TcpControl::None, 100, part, b"");
        ack[47] |= ECE;
        world.wire.inject(0, ack);
        world.settle();
        let log = world.wire.log();
        let own = log[before..].iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
        let sent: Vec<_> = own
            .map(|(_, frame)| (tcp_fields(frame).unwrap(), frame[47] & CWR != 0))
            .filter(|(fields, _)| fields.data > 0)
            .collect();
        assert!(sent.len() > 1 && sent[0].1 && sent[0].0.data <= 1_460, "{sent:?}");
        for (fields, _) in &sent {
            assert_eq!(fields.seq, expected, "no byte twice, none left out: {sent:?}");
            expected = expected.wrapping_add(fields.data as u32);
        }
        assert_eq!(sent.iter().filter(|(_, says_cwr)| *says_cwr).count(), 1, "{sent:?}");
    });
}

/// The same for both versions: the one whose address another machine has ends, the other goes on.
#[test]
fn rfc_4862_5_4_4_connections_of_an_address_that_is_given_up_end_and_no_others() {
    check("given-up", &WorldConfig::default(), |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let (ends, spawner) = (Rc::new(RefCell::new(Vec::new())), world.spawner());
        let seen = ends.clone();
        world.spawner().spawn("accept", async move {
            while let Ok(mut flow) = listener.accept().await {
                let seen = seen.clone();
                spawner.spawn("read", async move {
                    let end = flow.read(&mut [0]).await;
                    seen.borrow_mut().push(end);
                });
            }
        });
        let held = Rc::new(RefCell::new(Vec::new()));
        for v6 in [false, true] {
            let (connector, held) = (world.stacks[1].connector(), held.clone());
            world.spawner().spawn("connect", async move {
                let target = Target::Address(address(0, v6, 80));
                let flow = connector.connect(&target).await.unwrap();
                held.borrow_mut().push(flow);
            });
        }
        // While the addresses are still probed, and others have been told of them.
        world.pass(Duration::from_millis(500));
        assert_eq!((held.borrow().len(), world.stacks[0].gauges().connections), (2, 2));
        let IpAddr::V6(ours) = address(0, true, 0).ip() else { panic!("of version 6") };
        let claim = NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::OVERRIDE,
            target_addr: ours,
            lladdr: Some(RawHardwareAddress::from_bytes(&[2, 0, 0, 0, 0, 9])),
        };
        world.wire.inject(0, neighbour_discovery(ours, claim));
        world.settle();
        assert_eq!(*ends.borrow(), [Err(FlowError::Down)]);
        let left = world.stacks[0].connections();
        assert_eq!(left.iter().map(|it| it.local).collect::<Vec<_>>(), [address(0, false, 80)]);
    });
}

/// The hardware address of neighbours.
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// A message of neighbour discovery to all nodes.
fn neighbour_discovery(source: Ipv6Addr, message: NdiscRepr<'_>) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    icmpv6_frame(OTHER, source, all_nodes, &Icmpv6Repr::Ndisc(message))
}

/// What leaves within so much time.
fn pass(lone: &mut Lone, period: Duration) -> Vec<Vec<u8>> {
    let until = lone.now + period;
    let mut frames = Vec::new();
    loop {
        frames.extend(lone.turn());
        if !lone.step(until) {
            return frames;
        }
    }
}

const MOMENT: Duration = Duration::from_millis(10);

#[test]
fn rfc_4861_6_3_4_packets_go_by_the_router_that_is_advertised_unless_one_was_written_down() {
    let advertise = |router: Ipv6Addr, seconds| {
        neighbour_discovery(router, router_advertisement(seconds, None))
    };
    let [router, other, written]: [Ipv6Addr; 3] =
        ["fe80::9", "fe80::8", "fd00::99"].map(|router| router.parse().unwrap());
    // Whom the stack looks for to send a packet far away.
    let sought = |lone: &mut Lone| {
        let far: SocketAddr = "[2001:db8:9::1]:514".parse().unwrap();
        lone.stack.send_datagram(far, b"x")?;
        let frames = pass(lone, MOMENT);
        let target =
            frames.iter().filter(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 135);
        let target = target.map(|frame| <[u8; 16]>::try_from(&frame[62..78]).unwrap());
        Ok(target.map(Ipv6Addr::from).next())
    };
    for (gateways, is_written) in [(vec![], false), (vec![IpAddr::V6(written)], true)] {
        let addresses = vec![("fd00::1".parse().unwrap(), 64)];
        let config = Config { addresses, gateways, dhcp: false, ..Config::default() };
        let mut lone = Lone::new(&config);
        pass(&mut lone, Duration::from_secs(10));
        let none = if is_written { Ok(Some(written)) } else { Err(DatagramError::Unreachable) };
        assert_eq!(sought(&mut lone), none);
        for (frame, expected) in [
            (advertise(router, 60), router),
            (advertise(other, 60), router),
            (advertise(router, 0), other),
        ] {
            lone.wire.inject(0, frame);
            // Until who was sought is silent, and is sought anew.
            pass(&mut lone, Duration::from_secs(5));
            let expected = if is_written { written } else { expected };
            assert_eq!(sought(&mut lone), Ok(Some(expected)));
        }
        pass(&mut lone, Duration::from_secs(61));
        assert_eq!(sought(&mut lone), none, "its time is over");
    }
}

#[test]
fn rfc_4862_5_5_4_an_advertised_address_comes_and_goes_and_others_stay() {
    let addresses = vec![("fd00::1".parse().unwrap(), 64), (OURS.into(), 24)];
    let mut lone = Lone::new(&Config { addresses, dhcp: false, ..Config::default() });
    pass(&mut lone, Duration::from_secs(5));
    let shown = |lone: &Lone| {
        let mut all: Vec<_> =
            lone.stack.addresses().map(|(own, bits)| (own.to_string(), bits)).collect();
        all.sort();
        all
    };
    let own =
        [("10.0.0.1", 24), ("2001:db8::ff:fe00:1", 64), ("fd00::1", 64), ("fe80::ff:fe00:1", 64)];
    let own = own.map(|(address, bits)| (address.to_string(), bits));
    let others: Vec<_> =
        own.iter().filter(|(address, _)| !address.starts_with('2')).cloned().collect();
    assert_eq!(shown(&lone), others);
    let prefix = NdiscPrefixInformation {
        prefix_len: 64,
        flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
        valid_lifetime: SmolDuration::from_secs(100),
        preferred_lifetime: SmolDuration::from_secs(50),
        prefix: "2001:db8::".parse().unwrap(),
    };
    let advertisement = router_advertisement(1_800, Some(prefix));
    lone.wire.inject(0, neighbour_discovery("fe80::9".parse().unwrap(), advertisement));
    pass(&mut lone, Duration::from_secs(99));
    assert_eq!(shown(&lone), own);
    pass(&mut lone, Duration::from_secs(2));
    assert_eq!(shown(&lone), others);
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let ip = Ipv4Repr {
        src_addr: PEER,
        dst_addr: OURS,
        next_header: IpProtocol::Udp,
        payload_len: 8 + payload.len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 28 + payload.len()];
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &caps);
    let repr = UdpRepr { src_port: ports.0, dst_port: ports.1 };
    let (from, to) = (IpAddress::Ipv4(PEER), IpAddress::Ipv4(OURS));
    let mut datagram = UdpPacket::new_unchecked(&mut packet[20..]);
    let copy = |place: &mut [u8]| place.copy_from_slice(payload);
    repr.emit(&mut datagram, &from, &to, payload.len(), copy, &caps);
    ethernet_frame((OTHER, MAC[0]), EthernetProtocol::Ipv4, &packet)
}

/// RFC 826: where the peer is.
fn arp_reply() -> Vec<u8> {
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress([2, 0, 0, 0, 0, 9]),
        source_protocol_addr: PEER,
        target_hardware_addr: EthernetAddress(MAC[0]),
        target_protocol_addr: OURS,
    };
    let mut payload = vec![0; reply.buffer_len()];
    reply.emit(&mut ArpPacket::new_unchecked(&mut payload));
    ethernet_frame((OTHER, MAC[0]), EthernetProtocol::Arp, &payload)
}

/// The limit of ICMP errors is not one of the answers that somebody waits for.
#[test]
fn rfc_1035_an_answer_that_was_asked_for_arrives_also_in_a_flood_of_datagrams() {
    let addresses = vec![(OURS.into(), 24)];
    let name_servers = vec![PEER.into()];
    let config = Config { addresses, name_servers, dhcp: false, slaac: false, ..Config::default() };
    let mut lone = Lone::new(&config);
    pass(&mut lone, Duration::from_secs(10));
    let connector = lone.stack.connector();
    lone.executor.spawner().spawn("connect", async move {
        let target: Target = "db.example:9".parse().unwrap();
        let _ = connector.connect(&target).await;
    });
    pass(&mut lone, MOMENT);
    lone.wire.inject(0, arp_reply());
    let frames = pass(&mut lone, Duration::from_secs(2));
    let query = frames.iter().rfind(|frame| frame[12..14] == [8, 0] && frame[23] == 17);
    let query = query.expect("the name server is asked");
    assert_eq!(query[36..38], [0, 53]);
    let port = u16::from_be_bytes([query[34], query[35]]);
    let mut answer = query[42..].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 77]);
    for _ in 0..200 {
        lone.wire.inject(0, udp((9, 9), b""));
    }
    lone.wire.inject(0, udp((53, port), &answer));
    let frames = pass(&mut lone, MOMENT);
    assert!(lone.stack.count(Counter::IcmpErrorsWithheld) >= 100);
    let asks = |frame: &&Vec<u8>| frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 77];
    assert!(frames.iter().any(|frame| asks(&frame)), "the host of that name is sought");
    // Nobody waits for anything any more: such datagrams are like others.
    pass(&mut lone, Duration::from_secs(2));
    let before = lone.stack.count(Counter::IcmpErrorsWithheld);
    for _ in 0..200 {
        lone.wire.inject(0, udp((53, port), &answer));
    }
    pass(&mut lone, MOMENT);
    assert!(lone.stack.count(Counter::IcmpErrorsWithheld) - before >= 100);
}

#[test]
fn the_configured_limit_of_packets_counts_where_the_device_has_a_greater_one() {
    let addresses = vec![(OURS.into(), 24), ("fd00::1".parse().unwrap(), 64)];
    for (mtu_bytes, longest) in [(1_400, 1_400), (9_000, 1_500)] {
        let limits = Limits { mtu_bytes, ..Limits::default() };
        let addresses = addresses.clone();
        let config = Config { addresses, limits, dhcp: false, slaac: false, ..Config::default() };
        let mut lone = Lone::new(&config);
        // The device's own does not come back with its link.
        for up in [true, false, true] {
            lone.wire.set_link_up(up);
            pass(&mut lone, MOMENT);
            for (to, headers) in [("10.0.0.2:514", 28), ("[fd00::2]:514", 48)] {
                let to: SocketAddr = to.parse().unwrap();
                let send = |bytes: usize| lone.stack.send_datagram(to, &vec![0; bytes - headers]);
                assert_eq!(send(longest + 1), Err(DatagramError::TooLong));
                assert_eq!(send(longest), Ok(()));
            }
        }
    }
}

/// Answers who opens a connection, and reads nothing.
fn fill(world: &mut World, port: u16) {
    let (from, to) = endpoints(port);
    world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
    world.settle();
    let next = last_from_stack(world).seq.wrapping_add(1);
    for part in 0..40 {
        let (control, seq) = (TcpControl::Psh, 100 + 1_000 * part);
        let macs = (MAC[1], MAC[0]);
        let data = [1; 1_000];
        world.wire.inject(0, reply_frame(macs, from, to, control, seq, Some(next), &data));
        world.settle();
    }
}

#[test]
fn while_memory_is_short_one_connection_ends_in_a_tenth_of_a_second() {
    let limits = Limits { buffers_max_bytes: 1 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("relief-pause", &config, |world| {
        let _flows = keep(world);
        for port in 1_000..1_060 {
            fill(world, port);
        }
        let relieved = |world: &World| world.stacks[0].count(Counter::Relieved);
        // By then nothing has moved for a second.
        world.pass(Duration::from_secs(2));
        let before = relieved(world);
        let refused = Cell::new(world.stacks[0].count(Counter::NoBufferMemory));
        assert!(refused.get() > 0);
        for round in 1..4 {
            let ports = 2_000 + 10 * round..2_010 + 10 * round;
            for port in ports {
                fill(world, port);
            }
            let now = world.stacks[0].count(Counter::NoBufferMemory);
            assert!(now > refused.replace(now), "somebody is refused in each round");
            assert_eq!(relieved(world) - before, u64::from(round), "one in a round");
            world.pass(Duration::from_millis(99));
            world.pass(Duration::from_millis(1));
        }
    });
}

/// Whether its peer takes nothing, or nobody reads what that sent.
#[test]
fn memory_is_taken_from_who_has_not_moved_for_a_second_and_from_nobody_before() {
    let limits = Limits { buffers_max_bytes: 1 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    const SECOND: Duration = Duration::from_secs(1);
    let (half, moment) = (SECOND / 2, Duration::from_micros(1));
    for (reads, pause, ended) in [
        (false, SECOND - moment, 0),
        (false, SECOND, 1),
        (true, half, 0),
        (true, SECOND - moment, 0),
        (true, SECOND, 1),
    ] {
        check("stalled", &config, |world| {
            let flows = keep(world);
            for port in 1_000..1_060 {
                fill(world, port);
            }
            if reads {
                world.pass(half);
                let cx = &mut Context::from_waker(Waker::noop());
                // Those that came when there was no memory have nothing to read, and go.
                flows
                    .borrow_mut()
                    .retain_mut(|flow| flow.poll_read_with(cx, &mut |_| 1).is_ready());
                assert!(flows.borrow().len() > 20);
            }
            world.pass(pause);
            let before = world.stacks[0].count(Counter::NoBufferMemory);
            for port in 2_000..2_010 {
                fill(world, port);
            }
            let stack = &world.stacks[0];
            assert!(stack.count(Counter::NoBufferMemory) > before, "somebody is refused");
            assert_eq!(stack.count(Counter::Relieved), ended, "{reads} {pause:?}");
            let mut flows = flows.take();
            let ends = flows.iter_mut().filter_map(|flow| {
                let _ = read(flow);
                match read(flow) {
                    Poll::Ready(end) => Some(end),
                    Poll::Pending => None,
                }
            });
            let expected = vec![Err(FlowError::TimedOut); ended as usize];
            assert_eq!(ends.collect::<Vec<_>>(), expected, "{reads} {pause:?}");
        });
    }
}

#[test]
fn who_comes_while_memory_is_scarce_may_send_two_segments() {
    let limits = Limits { buffers_max_bytes: 1 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("scarce", &config, |world| {
        let _flows = keep(world);
        for port in 1_000..1_060 {
            let before = world.stacks[0].gauges().buffer_bytes;
            let (from, to) = endpoints(port);
            world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
            world.settle();
            let expected = if before > 3 << 18 { 2_920 } else { 65_535 };
            assert_eq!(last_from_stack(world).window, expected, "{before} bytes are held");
            fill(world, port);
        }
        assert!(world.stacks[0].gauges().buffer_bytes > 3 << 18);
    });
}

/// Whether routers may cut the last packet of stack 0, and its bytes of data.
fn last_packet(world: &World) -> (bool, usize) {
    let log = world.wire.log();
    let mut own = log.iter().rev().filter(|(_, frame)| frame[6..12] == MAC[0]);
    let (_, frame) = own.find(|(_, frame)| tcp_fields(frame).is_some()).unwrap();
    (frame[20] & 0x40 == 0, tcp_fields(frame).unwrap().data)
}

#[test]
fn rfc_5927_7_a_forged_message_about_a_path_changes_nothing_and_a_true_one_is_remembered() {
    check("forged", &WorldConfig::default(), |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        let mut flow = flows.borrow_mut().pop().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(flow.poll_write_with(&mut cx, &mut |_| 2_920).is_ready());
        world.settle();
        for seq in [next - 1, next.wrapping_add(1 << 20), next.wrapping_sub(1 << 20)] {
            world.wire.inject(0, fragmentation_needed(5000, seq, 68));
        }
        world.settle();
        send(world, 5000, TcpControl::None, 100, Some(next + 2_920), b"");
        assert!(flow.poll_write_with(&mut cx, &mut |_| 2_920).is_ready());
        world.settle();
        assert_eq!(last_packet(world), (false, 1_460));
        let mss = |world: &World, port: u16| {
            let all = world.stacks[0].connections();
            all.iter().find(|it| it.peer.port() == port).map(|it| it.mss)
        };
        open(world, 5001, 99);
        assert_eq!((mss(world, 5000), mss(world, 5001)), (Some(1_460), Some(1_460)));
        world.wire.inject(0, fragmentation_needed(5000, next + 2_920, 1_000));
        world.settle();
        // The next connection with that peer begins with what this one has found.
        open(world, 5002, 99);
        assert_eq!((mss(world, 5000), mss(world, 5001)), (Some(960), Some(1_460)));
        assert_eq!(mss(world, 5002), Some(960));
        assert!(!last_packet(world).0);
        // A link that is too narrow to be believed: routers cut from then on.
        let again = next + 2_920;
        world.wire.inject(0, fragmentation_needed(5000, again, 68));
        world.pass(Duration::from_secs(3));
        let (may_be_cut, data) = last_packet(world);
        assert!(may_be_cut && (1..=512).contains(&data), "{data}");
    });
}

#[test]
fn rfc_4861_6_3_7_machines_that_start_together_do_not_ask_for_routers_together() {
    let addresses = vec![(OURS.into(), 24)];
    let mut lone = Lone::new(&Config { addresses, dhcp: false, ..Config::default() });
    let solicitations = |frames: Vec<Vec<u8>>| {
        frames.iter().filter(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 133).count()
    };
    assert_eq!(solicitations(pass(&mut lone, Duration::from_millis(99))), 0);
    assert_eq!(solicitations(pass(&mut lone, Duration::from_millis(901))), 1);
}
