//! What other systems send: their options, in their order, and what none of them should.

use flow::{Connector, Flow, FlowExt, Listener, Target};
use sim::by_hand::{endpoints, keep, last_from_stack, open, send};
use sim::{MAC, World, WorldConfig, address, check, syn_frame, tcp_fields, with_tcp_options};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Address, Ipv6Packet, Ipv6Repr, TcpControl,
};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

fn run(name: &str, test: impl FnOnce(&mut World)) {
    check(name, &WorldConfig::default(), test);
}

/// A SYN with these options; the SYN-ACK, whole.
fn offer(world: &mut World, port: u16, seq: u32, options: &[u8]) -> Option<Vec<u8>> {
    let (from, to) = endpoints(port);
    let sent = world.wire.log().len();
    let syn = syn_frame((MAC[1], MAC[0]), from, to, seq);
    world.wire.inject(0, with_tcp_options(&syn, options));
    world.settle();
    let log = world.wire.log();
    let own = log[sent..].iter().map(|(_, frame)| frame);
    own.filter(|frame| frame[6..12] == MAC[0]).find(|frame| tcp_fields(frame).is_some()).cloned()
}

/// The kinds of options of a TCP frame over IPv4, without padding.
fn kinds(frame: &[u8]) -> Vec<u8> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    let mut options = &frame[54..34 + usize::from(frame[46] >> 4) * 4];
    let mut kinds = Vec::new();
    while let [kind, rest @ ..] = options
        && *kind != END
    {
        options = rest;
        if *kind != NOP {
            kinds.push(*kind);
            options = &rest[usize::from(rest[0]) - 1..];
        }
    }
    kinds.sort_unstable();
    kinds
}

const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

#[test]
fn rfc_9293_3_1_options_are_read_in_any_order() {
    let all = &[MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS][..];
    let systems: [(&str, &[u8], &[u8]); 4] = [
        ("Linux", &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7], all),
        (
            "macOS",
            &[2, 4, 5, 180, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 4, 2, 0, 0],
            all,
        ),
        ("Windows", &[2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2], &[MSS, WINDOW_SCALE, SACK_PERMITTED]),
        ("an old one", &[], &[MSS]),
    ];
    for (name, options, expected) in systems {
        run("options", |world| {
            let flows = keep(world);
            let syn_ack = offer(world, 5000, 99, options).expect(name);
            assert_eq!(kinds(&syn_ack), expected, "{name}");
            let next = last_from_stack(world).seq + 1;
            send(world, 5000, TcpControl::None, 100, Some(next), b"");
            assert_eq!(flows.borrow().len(), 1, "{name}");
        });
    }
}

/// Data segments that stack 0 sends a peer with these options when it has `count` bytes for it.
fn segments(options: &[u8], count: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    run("segment-size", |world| {
        let flows = keep(world);
        offer(world, 5000, 99, options).expect("a SYN-ACK");
        let next = last_from_stack(world).seq + 1;
        send(world, 5000, TcpControl::None, 100, Some(next), b"");
        let mut flow = flows.borrow_mut().pop().unwrap();
        let mut left = count;
        let mut cx = Context::from_waker(Waker::noop());
        while left > 0 {
            let written = flow.poll_write_with(&mut cx, &mut |room| {
                let count = room.len().min(left);
                left -= count;
                count
            });
            assert!(written.is_ready());
        }
        world.settle();
        let log = world.wire.log();
        let own = log.iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
        lengths = own.filter_map(|(_, frame)| tcp_fields(frame)).map(|tcp| tcp.data).collect();
        lengths.retain(|length| *length > 0);
    });
    lengths
}

#[test]
fn rfc_9293_3_7_1_no_segment_is_longer_than_the_peer_takes() {
    assert_eq!(segments(&[2, 4, 2, 24], 1_608), [536; 3]);
    assert_eq!(segments(&[2, 4, 5, 180], 4_380), [1_460; 3]);
    // Section 3.7.1 (MUST-15): who says nothing takes 536.
    assert_eq!(segments(&[], 1_608), [536; 3]);
    // RFC 7323 appendix A: the size is that without options, which the timestamps' twelve bytes are.
    let timestamps = [2, 4, 2, 24, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0];
    assert_eq!(segments(&timestamps, 1_572), [524; 3]);
}

#[test]
fn rfc_9293_3_1_unknown_options_are_passed_over() {
    let multipath = [30, 12, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    let fast_open = [34, 2, 1, 1];
    let experiment = [254, 4, 0xf9, 0x89];
    for unknown in [&multipath[..], &fast_open, &experiment] {
        // The size behind it is none that a peer has who says nothing.
        let options = [unknown, &[2, 4, 3, 232]].concat();
        assert_eq!(segments(&options, 2_000), [1_000; 2], "{unknown:?}");
    }
}

#[test]
fn rfc_9293_3_1_options_of_wrong_lengths_harm_nobody() {
    let wrong: [&[u8]; 6] = [
        &[2, 0, 5, 180],
        &[2, 1, 5, 180],
        &[2, 200, 5, 180],
        &[3, 4, 7, 0],
        &[8, 10, 0, 0],
        &[254, 0, 0, 2],
    ];
    run("wrong-options", |world| {
        let flows = keep(world);
        for (index, options) in wrong.iter().enumerate() {
            offer(world, 6000 + index as u16, 99, options);
        }
        open(world, 5000, 99);
        assert_eq!(flows.borrow().len(), 1);
    });
}

/// What a segment with these flags, as they stand in the header, is answered at a port where somebody listens.
fn answer(flags: u8) -> Option<(u32, bool)> {
    let mut answer = None;
    run("flags", |world| {
        keep(world);
        let (from, to) = endpoints(5000);
        let mut frame = syn_frame((MAC[1], MAC[0]), from, to, 99);
        frame[47] = flags;
        frame[42..46].copy_from_slice(&7_000_u32.to_be_bytes());
        // The checksum is made anew with them.
        let sent = world.wire.log().len();
        world.wire.inject(0, with_tcp_options(&frame, &[]));
        world.settle();
        let log = world.wire.log();
        let own = log[sent..].iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
        answer = own
            .filter_map(|(_, frame)| tcp_fields(frame))
            .next_back()
            .map(|tcp| (tcp.seq, tcp.flags.2));
        assert!(
            !answer.is_some_and(|(_, is_reset)| is_reset)
                || world.stacks[0].gauges().half_open == 0
        );
    });
    answer
}

#[test]
fn rfc_9293_3_10_7_2_only_a_syn_opens() {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    for flags in [0, FIN, FIN | 8 | 32, RST, SYN | RST, RST | ACK, SYN | RST | ACK] {
        assert_eq!(answer(flags), None, "flags {flags:#x}");
    }
    // Second: an acknowledgement is of nothing that was sent.
    for flags in [ACK, SYN | ACK, FIN | ACK] {
        assert_eq!(answer(flags), Some((7_000, true)), "flags {flags:#x}");
    }
    assert_eq!(answer(SYN).map(|(_, is_reset)| is_reset), Some(false));
}

/// A router's message (RFC 4443 section 3.2) that this packet of stack 0 was too long.
fn packet_too_big(frame: &[u8], mtu: u32) -> Vec<u8> {
    let router = Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
    let packet = Ipv6Packet::new_unchecked(&frame[14..]);
    let target = packet.src_addr();
    let header = Ipv6Repr {
        src_addr: packet.src_addr(),
        dst_addr: packet.dst_addr(),
        next_header: IpProtocol::Tcp,
        payload_len: usize::from(packet.payload_len()),
        hop_limit: 63,
    };
    let message = Icmpv6Repr::PktTooBig { mtu, header, data: &frame[54..frame.len().min(1_000)] };
    let ip = Ipv6Repr {
        src_addr: router,
        dst_addr: target,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = [&MAC[0][..], &MAC[1], &[0x86, 0xdd], &[0; 40]].concat();
    bytes.resize(54 + message.buffer_len(), 0);
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes[14..]));
    let mut body = Icmpv6Packet::new_unchecked(&mut bytes[54..]);
    message.emit(&router, &target, &mut body, &ChecksumCapabilities::default());
    bytes
}

#[test]
fn rfc_8201_4_segments_shrink_to_what_the_path_carries() {
    const MTU: u32 = 1_300;
    const BYTES: usize = 20_000;
    run("packet-too-big", |world| {
        world.wire.set_filter(Some(Box::new(|_, frame| {
            frame[12..14] == [0x86, 0xdd] && frame.len() > MTU as usize + 14
        })));
        let mut listener = world.stacks[0].listen(80).unwrap();
        let spawner = world.spawner();
        world.spawner().spawn("serve", async move {
            while let Ok(mut flow) = listener.accept().await {
                spawner.spawn("write", async move {
                    flow.write_all(&[7; BYTES]).await.unwrap();
                    flow.finish();
                });
            }
        });
        let received = Rc::new(Cell::new(0));
        let (connector, count) = (world.stacks[1].connector(), received.clone());
        world.spawner().spawn("read", async move {
            let mut flow = connector.connect(&Target::Address(address(0, true, 80))).await.unwrap();
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = flow.read(&mut bytes).await {
                count.set(count.get() + read);
            }
        });
        let is_long = |frame: &Vec<u8>| frame[6..12] == MAC[0] && frame.len() > MTU as usize + 14;
        let seen = world.wire.clone();
        let lost = move || seen.log().iter().any(|(_, frame)| is_long(frame));
        assert!(world.run_until(Duration::from_millis(900), lost), "a long one leaves");
        let long = world.wire.log().iter().map(|(_, f)| f).find(|f| is_long(f)).cloned().unwrap();
        let before = world.wire.log().len();
        world.wire.inject(0, packet_too_big(&long, MTU));
        let all = received.clone();
        assert!(world.run_until(Duration::from_secs(30), move || all.get() == BYTES));
        assert!(!world.wire.log()[before..].iter().any(|(_, frame)| is_long(frame)));
    });
}
