//! What is counted of frames, and bounds of what is taken, opened and asked at a time.

use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target};
use net::{Config, Counter, Limits, TcpFlow};
use sim::by_hand::{endpoints, keep, last_from_stack, open, read};
use sim::{
    Link, Lone, MAC, Offloads, World, WorldConfig, address, check, reply_frame, syn_frame,
    tcp_fields,
};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, TcpControl};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

const COUNTERS: [Counter; 7] = [
    Counter::FramesIn,
    Counter::BytesIn,
    Counter::Malformed,
    Counter::NotOurs,
    Counter::BadChecksum,
    Counter::SynsIn,
    Counter::SynAcksOut,
];

#[test]
fn each_frame_counts_once_and_where_it_belongs() {
    check("counted", &WorldConfig::default(), |world| {
        keep(world);
        world.pass(Duration::from_secs(10));
        let (from, to) = endpoints(5000);
        let macs = (MAC[1], MAC[0]);
        let whole = || syn_frame(macs, from, to, 99);
        let changed = |at: usize, value: u8| {
            let mut frame = whole();
            frame[at] = value;
            frame
        };
        let from_ip =
            |host: u8| syn_frame(macs, SocketAddrV4::new([10, 0, 0, host].into(), 5000), to, 99);
        let group = |low: [u8; 4]| {
            let mut frame = [&[0x33, 0x33][..], &low, &MAC[1], &[0x86, 0xdd, 0x60]].concat();
            frame.resize(60, 0);
            frame
        };
        let elsewhere = SocketAddrV4::new([10, 0, 0, 3].into(), 80);
        // Malformed, not ours, with a wrong checksum, SYNs and their answers.
        for (name, frame, expected) in [
            ("no header", whole()[..13].to_vec(), [1, 0, 0, 0, 0]),
            ("cut short", whole()[..50].to_vec(), [1, 0, 0, 0, 0]),
            ("version 5", changed(14, 0x55), [1, 0, 0, 0, 0]),
            ("a header of 16 bytes", changed(14, 0x44), [1, 0, 0, 0, 0]),
            ("shorter than its header", changed(17, 19), [1, 0, 0, 0, 0]),
            ("a TCP header of 16 bytes", changed(46, 0x40), [1, 0, 0, 0, 0]),
            ("other hardware", changed(5, 9), [0, 1, 0, 0, 0]),
            ("another host's", syn_frame(macs, from, elsewhere, 99), [0, 1, 0, 0, 0]),
            ("from ourselves", from_ip(1), [0, 1, 0, 0, 0]),
            ("from all", from_ip(255), [0, 1, 0, 0, 0]),
            (
                "port zero",
                syn_frame(macs, SocketAddrV4::new(*from.ip(), 0), to, 9),
                [0, 1, 0, 0, 0],
            ),
            ("all routers", group([0, 0, 0, 2]), [0, 1, 0, 0, 0]),
            ("a group", group([1, 0, 0, 1]), [0, 1, 0, 0, 0]),
            ("a wrong TCP checksum", changed(50, whole()[50] ^ 1), [0, 0, 1, 0, 0]),
            ("a wrong IP checksum", changed(24, whole()[24] ^ 1), [0, 0, 1, 0, 0]),
            ("a SYN", whole(), [0, 0, 0, 1, 1]),
            ("again", whole(), [0, 0, 0, 1, 1]),
            ("anew", syn_frame(macs, from, to, 7_000), [0, 0, 0, 1, 1]),
        ] {
            let count = |world: &World| COUNTERS.map(|counter| world.stacks[0].count(counter));
            let before = count(world);
            let bytes = frame.len() as u64;
            world.wire.inject(0, frame);
            world.settle();
            let after = count(world);
            let more: Vec<u64> = after.iter().zip(before).map(|(new, old)| new - old).collect();
            assert_eq!((more[0], more[1], &more[2..]), (1, bytes, &expected[..]), "{name}");
        }
        assert_eq!(world.stacks[0].gauges().half_open, 1);
        assert_eq!(last_from_stack(world).ack, 7_001, "the last SYN counts");
    });
}

#[test]
fn a_turn_takes_as_many_frames_as_the_limit_says() {
    let limits = Limits { ingress_batch: 4, ..Limits::default() };
    let addresses = vec![([10, 0, 0, 1].into(), 24)];
    let config = Config { addresses, limits, dhcp: false, slaac: false, ..Config::default() };
    let mut lone = Lone::new(&config);
    lone.turn();
    let before = lone.stack.count(Counter::FramesIn);
    for port in 1..=10 {
        let (from, to) = endpoints(port);
        lone.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 9));
    }
    lone.wire.advance(lone.now);
    for (taken, more) in [(4, true), (8, true), (10, false), (10, false)] {
        assert_eq!(lone.stack.ingress(lone.now), more, "{taken}");
        assert_eq!(lone.stack.count(Counter::FramesIn) - before, taken);
    }
}

/// What became of connections to stack 0, begun together.
fn connect(world: &mut World, count: usize) -> Vec<Result<TcpFlow, ConnectError>> {
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..count {
        let (connector, outcomes) = (world.stacks[1].connector(), outcomes.clone());
        world.spawner().spawn("connect", async move {
            let flow = connector.connect(&Target::Address(address(0, false, 80))).await;
            outcomes.borrow_mut().push(flow);
        });
    }
    world.pass(Duration::from_millis(100));
    outcomes.take()
}

#[test]
fn rfc_6056_3_3_3_all_ports_of_the_range_are_used_and_no_others() {
    let limits = Limits { ephemeral_ports: (50_000, 50_003), ..Limits::default() };
    let config = WorldConfig { limits: [Limits::default(), limits], ..WorldConfig::default() };
    check("ports", &config, |world| {
        let _listener = world.stacks[0].listen(80).unwrap();
        world.pass(Duration::from_secs(5));
        let opened = connect(world, 6);
        let ports: BTreeSet<u16> =
            world.stacks[1].connections().iter().map(|it| it.local.port()).collect();
        assert_eq!(Vec::from_iter(ports), [50_000, 50_001, 50_002, 50_003]);
        let refused = |outcome: &&Result<_, _>| matches!(outcome, Err(ConnectError::Exhausted));
        assert_eq!((opened.len(), opened.iter().filter(refused).count()), (6, 2));
        assert_eq!(world.stacks[1].count(Counter::Connected), 4);
        assert_eq!(world.stacks[0].count(Counter::Accepted), 4);
        // To be ended by a reset gives the port back at once.
        drop(opened);
        world.pass(Duration::from_millis(100));
        assert_eq!(connect(world, 4).iter().filter(|outcome| outcome.is_ok()).count(), 4);
    });
}

/// One port is held all the time; the others are free again when they are asked for.
#[test]
fn rfc_6056_3_3_3_ports_are_given_in_turn_and_what_is_passed_over_counts() {
    let limits = Limits { ephemeral_ports: (50_000, 50_003), ..Limits::default() };
    let config = WorldConfig { limits: [Limits::default(), limits], ..WorldConfig::default() };
    check("turns", &config, |world| {
        let _listener = world.stacks[0].listen(80).unwrap();
        world.pass(Duration::from_secs(5));
        let port = |world: &World| {
            let all = world.stacks[1].connections();
            all.iter().min_by_key(|it| it.age).unwrap().local.port()
        };
        let _held = connect(world, 1);
        let first = port(world);
        for distance in [1, 2, 3, 1, 2, 3, 1] {
            let flow = connect(world, 1);
            assert_eq!((port(world) + 4 - first) % 4, distance);
            drop(flow);
            world.pass(Duration::from_millis(100));
        }
    });
}

#[test]
fn sixty_four_names_are_looked_up_at_a_time() {
    let addresses = vec![([10, 0, 0, 1].into(), 24)];
    let name_servers = vec![[10, 0, 0, 2].into()];
    let config = Config { addresses, name_servers, dhcp: false, slaac: false, ..Config::default() };
    let mut lone = Lone::new(&config);
    assert!(lone.stack.name_servers().eq([std::net::IpAddr::from([10, 0, 0, 2])]));
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let ask = |lone: &mut Lone, count: usize| {
        for _ in 0..count {
            let (connector, outcomes) = (lone.stack.connector(), outcomes.clone());
            lone.executor.spawner().spawn("connect", async move {
                let target: Target = "db.example:9".parse().unwrap();
                let outcome = connector.connect(&target).await;
                outcomes.borrow_mut().push(outcome.err());
            });
        }
        for _ in 0..3 {
            lone.turn();
        }
    };
    ask(&mut lone, 64);
    assert!(outcomes.borrow().is_empty());
    ask(&mut lone, 2);
    assert_eq!(*outcomes.borrow(), [Some(ConnectError::Exhausted); 2]);
}

/// Nobody answers at the old place: the neighbour is asked for again, and found where it is now.
#[test]
fn rfc_4861_7_3_1_a_silent_peer_is_sought_and_followed_to_its_new_hardware() {
    check("sought", &WorldConfig::default(), |world| {
        let flows = keep(world);
        world.pass(Duration::from_secs(10));
        open(world, 5000, 99);
        let mut flow = flows.borrow_mut().remove(0);
        world.spawner().spawn("write", async move {
            let _ = flow.write_all(b"hello").await;
            let _ = flow.drained().await;
        });
        let asks = |frame: &[u8]| {
            frame[6..12] == MAC[0] && frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 2]
        };
        world.settle();
        assert!(!world.wire.log().iter().any(|(_, frame)| asks(frame)), "not before it is silent");
        world.pass(Duration::from_secs(5));
        assert!(world.wire.log().iter().any(|(_, frame)| asks(frame)));
        let moved = [2, 0, 0, 0, 0, 9];
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(moved),
            source_protocol_addr: [10, 0, 0, 2].into(),
            target_hardware_addr: EthernetAddress(MAC[0]),
            target_protocol_addr: [10, 0, 0, 1].into(),
        };
        let mut frame = [&MAC[0][..], &moved, &[8, 6]].concat();
        frame.resize(14 + reply.buffer_len(), 0);
        reply.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
        for _ in 0..4 {
            world.wire.inject(0, frame.clone());
            world.pass(Duration::from_secs(5));
        }
        let log = world.wire.log();
        let own = |frame: &[u8]| frame[6..12] == MAC[0] && tcp_fields(frame).is_some();
        let (_, last) = log.iter().rev().find(|(_, frame)| own(frame)).unwrap();
        assert_eq!((&last[..6], tcp_fields(last).unwrap().data), (&moved[..], 5));
    });
}

#[test]
fn the_checksum_of_a_datagram_is_left_to_a_device_that_writes_it() {
    for (offloads, is_left) in [(Offloads::None, false), (Offloads::Checksums, true)] {
        let link = Link { offloads, ..Link::default() };
        check("udp", &WorldConfig { link, ..WorldConfig::default() }, |world| {
            world.pass(Duration::from_secs(5));
            world.stacks[0].send_datagram(address(1, false, 514), b"hello").unwrap();
            world.pass(Duration::from_millis(10));
            let log = world.wire.log();
            let is_udp = |frame: &[u8]| frame[12..14] == [8, 0] && frame[23] == 17;
            let (_, frame) = log.iter().rfind(|(_, frame)| is_udp(frame)).expect("a datagram");
            assert_eq!((&frame[36..38], &frame[42..]), (&[2, 2][..], &b"hello"[..]));
            assert_eq!(frame[40..42] == [0, 0], is_left, "{offloads:?}");
        });
    }
}

#[test]
fn flows_end_with_their_stack() {
    let addresses = vec![([10, 0, 0, 1].into(), 24)];
    let config = Config { addresses, dhcp: false, slaac: false, ..Config::default() };
    let mut lone = Lone::new(&config);
    let mut listener = lone.stack.listen(80).unwrap();
    let end = Rc::new(RefCell::new(None));
    let seen = end.clone();
    lone.executor.spawner().spawn("read", async move {
        let mut flow = listener.accept().await.unwrap();
        let read = flow.read(&mut [0]).await;
        *seen.borrow_mut() = Some(read);
    });
    let (from, to) = endpoints(5000);
    let macs = (MAC[1], MAC[0]);
    let turns = |lone: &mut Lone, frame: Vec<u8>| {
        lone.wire.inject(0, frame);
        let mut frames = Vec::new();
        for _ in 0..4 {
            frames.extend(lone.turn());
            lone.now += Duration::from_millis(1);
        }
        frames.iter().rev().find_map(|frame| tcp_fields(frame))
    };
    let syn_ack = turns(&mut lone, syn_frame(macs, from, to, 99)).expect("a SYN-ACK");
    let ack = Some(syn_ack.seq.wrapping_add(1));
    turns(&mut lone, reply_frame(macs, from, to, TcpControl::None, 100, ack, b""));
    assert_eq!((lone.stack.gauges().connections, end.borrow().is_none()), (1, true));
    let Lone { stack, executor, .. } = lone;
    drop(stack);
    executor.run(10);
    assert_eq!(*end.borrow(), Some(Err(FlowError::Down)));
}

#[test]
fn an_aborted_flow_resets_its_connection() {
    check("abort", &WorldConfig::default(), |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        flows.borrow_mut()[0].abort();
        world.settle();
        let last = last_from_stack(world);
        assert_eq!((last.flags.2, last.seq), (true, next));
        assert_eq!(read(&mut flows.borrow_mut()[0]), Poll::Ready(Err(FlowError::Closed)));
        assert_eq!(world.stacks[0].gauges().connections, 0);
    });
}

/// A loop that is late, as on a machine with much to do.
#[test]
fn a_neighbour_is_asked_for_three_times_also_where_turns_come_late() {
    let addresses = vec![([10, 0, 0, 1].into(), 24)];
    let config = Config { addresses, dhcp: false, slaac: false, ..Config::default() };
    let mut lone = Lone::new(&config);
    for _ in 0..20 {
        lone.turn();
        lone.now += Duration::from_millis(700);
    }
    let outcome = Rc::new(RefCell::new(None));
    let (seen, connector) = (outcome.clone(), lone.stack.connector());
    lone.executor.spawner().spawn("connect", async move {
        let target = Target::Address("10.0.0.2:9".parse().unwrap());
        let opened = connector.connect(&target).await;
        *seen.borrow_mut() = opened.err();
    });
    let mut questions = 0;
    for _ in 0..12 {
        questions += lone.turn().iter().filter(|frame| frame[12..14] == [8, 6]).count();
        lone.now += Duration::from_millis(700);
    }
    assert_eq!((questions, *outcome.borrow()), (3, Some(ConnectError::Unreachable)));
}
