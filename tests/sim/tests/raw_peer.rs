//! A peer made by hand, against one stack.

use flow::{Flow, FlowError, FlowExt, Listener};
use net::{Counter, Limits};
use sim::by_hand::{Flows, endpoints, keep, last_from_stack, open, read, send};
use sim::{
    MAC, World, WorldConfig, check, fragmentation_needed, reply_frame, syn_frame, tcp_fields,
};
use smoltcp::wire::{Ipv4Packet, TcpControl};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// An echo server on stack 0; stack 1 hears nothing.
fn echo(world: &mut World) {
    world.wire.set_filter(Some(Box::new(|_, _| true)));
    let mut listener = world.stacks[0].listen(80).unwrap();
    let spawner = world.spawner();
    world.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("echo", async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = flow.read(&mut buffer).await {
                    flow.write_all(&buffer[..count]).await.unwrap();
                }
                flow.finish();
            });
        }
    });
    world.settle();
}

#[test]
fn a_handshake_carries_data_and_the_answer_rides_with_its_acknowledgement() {
    check("handshake", &WorldConfig::default(), |world| {
        echo(world);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 999));
        world.settle();
        let syn_ack = last_from_stack(world);
        assert_eq!((syn_ack.flags, syn_ack.ack), ((true, false, false, true), 1000));
        let before = world.wire.sent();
        send(world, 5000, TcpControl::None, 1000, Some(syn_ack.seq + 1), b"");
        send(world, 5000, TcpControl::Psh, 1000, Some(syn_ack.seq + 1), b"hello");
        assert_eq!(world.wire.sent(), before + 1);
        let answer = last_from_stack(world);
        assert_eq!((answer.data, answer.ack), (5, 1005));
        assert_eq!(answer.seq, syn_ack.seq + 1);
        send(world, 5000, TcpControl::Fin, 1005, Some(answer.seq + 5), b"");
        let fin = last_from_stack(world);
        assert!(fin.flags.1, "{fin:?}");
        send(world, 5000, TcpControl::None, 1006, Some(fin.seq + 1), b"");
        assert_eq!(world.stacks[0].count(Counter::Closed), 1);
    });
}

fn run(name: &str, test: impl FnOnce(&mut World)) {
    check(name, &WorldConfig::default(), test);
}

#[test]
fn sequence_numbers_may_wrap() {
    run("wrap", |world| {
        let flows = keep(world);
        let next = open(world, 5000, u32::MAX - 2);
        send(world, 5000, TcpControl::Psh, u32::MAX - 1, Some(next), b"abcdef");
        let bytes = read(&mut flows.borrow_mut()[0]);
        assert_eq!(bytes, Poll::Ready(Ok(b"abcdef".to_vec())));
    });
}

#[test]
fn a_lost_final_acknowledgement_is_made_good_by_data() {
    run("lost-ack", |world| {
        let flows = keep(world);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
        world.settle();
        let next = last_from_stack(world).seq + 1;
        // The second segment comes before the first, and neither is the bare acknowledgement.
        send(world, 5000, TcpControl::Psh, 103, Some(next), b"def");
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"abc");
        let bytes = read(&mut flows.borrow_mut()[0]);
        assert_eq!(bytes, Poll::Ready(Ok(b"abcdef".to_vec())));
    });
}

/// A neighbour that asked for them before would ask again after a second only.
#[test]
fn addresses_are_announced_at_once() {
    run("announced", |world| {
        world.settle();
        let is_arp = |frame: &[u8]| frame[6..12] == MAC[0] && frame[12..14] == [0x08, 0x06];
        assert!(world.wire.log().iter().any(|(_, frame)| is_arp(frame)));
    });
}

#[test]
fn a_syn_ack_that_gets_lost_is_sent_again() {
    run("syn-ack-again", |world| {
        keep(world);
        // By then a new stack has asked whether its addresses are its own.
        world.pass(Duration::from_secs(5));
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
        world.settle();
        let first = last_from_stack(world);
        let sent = world.wire.sent();
        world.pass(Duration::from_millis(1_600));
        assert_eq!((world.wire.sent(), last_from_stack(world)), (sent + 1, first));
        world.pass(Duration::from_secs(60));
        assert_eq!(world.wire.sent(), sent + 2);
        assert_eq!(world.stacks[0].count(Counter::HalfOpenExpired), 1);
    });
}

#[test]
fn rfc_9293_an_old_duplicate_syn_does_not_stand_in_the_way() {
    run("old-syn", |world| {
        let flows = keep(world);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 5));
        world.settle();
        let wrong = last_from_stack(world);
        assert_eq!(wrong.ack, 6);
        // The peer does not know the old number and resets it (figure 9), then its own SYN comes.
        send(world, 5000, TcpControl::Rst, 6, None, b"");
        assert_eq!(world.stacks[0].gauges().half_open, 0);
        open(world, 5000, 70_000);
        assert_eq!(flows.borrow().len(), 1);
    });
}

#[test]
fn rfc_5961_a_reset_needs_the_exact_number() {
    run("blind-reset", |world| {
        keep(world);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 5));
        world.settle();
        send(world, 5000, TcpControl::Rst, 7, None, b"");
        assert_eq!(world.stacks[0].gauges().half_open, 1);
    });
}

#[test]
fn a_reset_ends_the_flow_with_an_error_after_its_bytes() {
    run("reset", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"abc");
        send(world, 5000, TcpControl::Rst, 103, Some(next), b"");
        let flow = &mut flows.borrow_mut()[0];
        assert_eq!(read(flow), Poll::Ready(Ok(b"abc".to_vec())));
        assert_eq!(read(flow), Poll::Ready(Err(FlowError::Reset)));
        assert_eq!(world.stacks[0].gauges().connections, 0);
    });
}

#[test]
fn segments_of_nobody_are_reset_at_a_bounded_rate() {
    run("rst", |world| {
        keep(world);
        for port in 1..=1_000 {
            send(world, port, TcpControl::None, 1, Some(77), b"");
        }
        let stack = &world.stacks[0];
        assert_eq!(
            (stack.count(Counter::ResetsOut), stack.count(Counter::ResetsWithheld)),
            (200, 800)
        );
        let reset = last_from_stack(world);
        assert_eq!((reset.flags, reset.seq), ((false, false, true, false), 77));
    });
}

#[test]
fn rfc_9293_both_ends_close_at_once() {
    run("simultaneous-close", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        flows.borrow_mut()[0].finish();
        world.settle();
        assert!(last_from_stack(world).flags.1);
        // The peer's FIN does not know ours.
        send(world, 5000, TcpControl::Fin, 100, Some(next), b"");
        assert_eq!(last_from_stack(world).ack, 101);
        send(world, 5000, TcpControl::None, 101, Some(next + 1), b"");
        let gauges = world.stacks[0].gauges();
        assert_eq!((gauges.connections, gauges.time_wait), (0, 1));
        let end = read(&mut flows.borrow_mut()[0]);
        assert_eq!(end, Poll::Ready(Ok(Vec::new())));
    });
}

/// Opens a connection and closes it from the stack's side first; both next numbers.
fn into_time_wait(world: &mut World, flows: &Flows) -> (u32, u32) {
    let next = open(world, 5000, 99);
    flows.borrow_mut()[0].finish();
    world.settle();
    send(world, 5000, TcpControl::None, 100, Some(next + 1), b"");
    send(world, 5000, TcpControl::Fin, 100, Some(next + 1), b"");
    assert_eq!(world.stacks[0].gauges().time_wait, 1);
    flows.borrow_mut().clear();
    (next + 1, 101)
}

#[test]
fn time_wait_acknowledges_a_repeated_fin_and_ignores_inexact_resets() {
    run("time-wait", |world| {
        let flows = keep(world);
        let (send_next, receive_next) = into_time_wait(world, &flows);
        let sent = world.wire.sent();
        send(world, 5000, TcpControl::Fin, 100, Some(send_next), b"");
        let ack = last_from_stack(world);
        assert_eq!((world.wire.sent(), ack.seq, ack.ack), (sent + 1, send_next, receive_next));
        // RFC 1337: neither old resets nor bare acknowledgements end or answer it.
        send(world, 5000, TcpControl::Rst, receive_next + 1, None, b"");
        send(world, 5000, TcpControl::None, receive_next, Some(send_next), b"");
        assert_eq!((world.wire.sent(), world.stacks[0].gauges().time_wait), (sent + 1, 1));
        // RFC 5961 section 3.2: an exact one does.
        send(world, 5000, TcpControl::Rst, receive_next, None, b"");
        assert_eq!((world.wire.sent(), world.stacks[0].gauges().time_wait), (sent + 1, 0));
    });
}

#[test]
fn rfc_1122_a_later_syn_takes_over_time_wait_and_an_earlier_one_does_not() {
    run("time-wait-reuse", |world| {
        let flows = keep(world);
        let (send_next, receive_next) = into_time_wait(world, &flows);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, receive_next - 50));
        world.settle();
        let ack = last_from_stack(world);
        assert_eq!((ack.flags, ack.ack), ((false, false, false, true), receive_next));
        let next = open(world, 5000, receive_next + 1_000);
        assert!(next.wrapping_sub(send_next) < 1 << 31, "beyond the old connection's numbers");
        let stack = &world.stacks[0];
        assert_eq!((stack.count(Counter::TimeWaitReused), stack.gauges().time_wait), (1, 0));
        assert_eq!(flows.borrow().len(), 1);
    });
}

#[test]
fn rfc_9293_3_4_1_time_wait_lasts_a_minute() {
    for (seconds, is_reset) in [(58, false), (61, true)] {
        run("time-wait-over", |world| {
            let flows = keep(world);
            let (send_next, _) = into_time_wait(world, &flows);
            world.pass(Duration::from_secs(seconds));
            send(world, 5000, TcpControl::Fin, 100, Some(send_next), b"");
            assert_eq!(last_from_stack(world).flags.2, is_reset, "after {seconds} s");
        });
    }
}

#[test]
fn rfc_9293_3_10_7_4_a_repeated_end_begins_time_wait_anew_and_nothing_else_does() {
    for (control, seq, is_over) in [(TcpControl::Fin, 100, false), (TcpControl::Psh, 99, true)] {
        run("time-wait-anew", |world| {
            let flows = keep(world);
            let (send_next, _) = into_time_wait(world, &flows);
            world.pass(Duration::from_secs(30));
            send(world, 5000, control, seq, Some(send_next), b"");
            assert!(!last_from_stack(world).flags.2);
            world.pass(Duration::from_secs(58));
            send(world, 5000, TcpControl::Psh, 99, Some(send_next), b"");
            assert_eq!(last_from_stack(world).flags.2, is_over, "{control:?}");
            world.pass(Duration::from_secs(3));
            send(world, 5000, TcpControl::Fin, 100, Some(send_next), b"");
            assert!(last_from_stack(world).flags.2, "over a minute after the last");
        });
    }
}

#[test]
fn a_dropped_flow_resets_and_a_finished_one_delivers() {
    run("drop", |world| {
        let flows = keep(world);
        open(world, 5000, 99);
        flows.borrow_mut().clear();
        world.settle();
        assert!(last_from_stack(world).flags.2);
        let next = open(world, 5001, 99);
        let mut flow = flows.borrow_mut().pop().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let _ = flow.poll_write_with(&mut cx, &mut |space| {
            space[..3].copy_from_slice(b"end");
            3
        });
        flow.finish();
        drop(flow);
        world.settle();
        let last = last_from_stack(world);
        assert_eq!((last.data, last.flags.1, last.seq), (3, true, next));
        // What the peer still sends is taken and thrown away.
        send(world, 5001, TcpControl::Psh, 100, Some(next + 4), &[b'x'; 1_000]);
        world.pass(Duration::from_millis(20));
        assert_eq!(last_from_stack(world).ack, 1_100);
        assert_eq!(world.stacks[0].gauges().buffer_bytes, 0);
        world.pass(Duration::from_secs(18));
        assert_eq!(world.stacks[0].gauges().connections, 1);
        world.pass(Duration::from_secs(3));
        assert!(last_from_stack(world).flags.2, "nobody ends it, so it is given up");
        assert_eq!(world.stacks[0].gauges().connections, 0);
    });
}

#[test]
fn a_peer_that_moves_is_followed_and_a_forger_is_not() {
    run("moves", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        let (from, to) = endpoints(5000);
        let moved = [2, 0, 0, 0, 0, 9];
        let from_mac = |world: &mut World, seq: u32, data: &[u8]| {
            let control = TcpControl::Psh;
            let frame = reply_frame((moved, MAC[0]), from, to, control, seq, Some(next), data);
            world.wire.inject(0, frame);
            world.pass(Duration::from_millis(20));
            let log = world.wire.log();
            let own = |frame: &&(Duration, Vec<u8>)| frame.1[6..12] == MAC[0];
            log.iter().rev().find(own).unwrap().1[..6].to_vec()
        };
        assert_eq!(from_mac(world, 100u32.wrapping_add(1 << 30), b"forged"), MAC[1]);
        assert_eq!(from_mac(world, 100, b"true"), moved);
        assert_eq!(flows.borrow().len(), 1);
    });
}

#[test]
fn probes_tell_what_happens() {
    run("probe", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"hello");
        world.pass(Duration::from_secs(3));
        let all = world.stacks[0].view().connections();
        let [connection] = &all[..] else { panic!("{all:?}") };
        assert_eq!((connection.peer.port(), connection.local.port()), (5000, 80));
        assert_eq!((connection.bytes_in, connection.receive_queue), (5, 5));
        assert_eq!(connection.state, net::TcpState::Established);
        assert!(!connection.is_orphan && connection.age >= Duration::from_secs(3));
        assert_eq!((connection.mss, connection.peer_window), (1_460, 0xffff << 7));
        let [flow] = &flows.borrow()[..] else { panic!("one is accepted") };
        assert_eq!(format!("{flow:?}"), "TcpFlow(10.0.0.1:80 to 10.0.0.2:5000)");
    });
}

#[test]
fn connections_are_listed_also_while_one_is_read() {
    run("listed", |world| {
        let flows = keep(world);
        for port in [5000, 5001] {
            let next = open(world, port, 99);
            send(world, port, TcpControl::Psh, 100, Some(next), b"hello");
        }
        let view = world.stacks[0].view();
        let mut others = Vec::new();
        let cx = &mut Context::from_waker(Waker::noop());
        let read = flows.borrow_mut()[0].poll_read_with(cx, &mut |bytes| {
            others = view.connections();
            bytes.len()
        });
        assert_eq!(read, Poll::Ready(Ok(5)));
        assert_eq!(others.iter().map(|it| it.peer.port()).collect::<Vec<_>>(), [5001]);
        assert_eq!(view.connections().len(), 2);
    });
}

#[test]
fn an_idle_connection_holds_no_memory_for_bytes() {
    run("fast-path", |world| {
        echo(world);
        let next = open(world, 5000, 99);
        let rings = |world: &World| world.stacks[0].gauges().buffer_bytes;
        assert_eq!(rings(world), 0);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"hello");
        assert!(rings(world) > 0, "the answer may have to be sent again");
        send(world, 5000, TcpControl::None, 105, Some(next + 5), b"");
        assert_eq!(rings(world), 0);
    });
}

/// What happened before a segment came out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Unread,
    Unacknowledged,
    Both,
    OurEnd,
    TheirEnd,
}

/// Brings a connection into its stage; the peer's next number, and what its next acknowledgement
/// says.
fn reach(world: &mut World, flow: &mut net::TcpFlow, stage: Stage, next: u32) -> (u32, u32) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut seq = 100;
    if matches!(stage, Stage::Unread | Stage::Both | Stage::TheirEnd) {
        let control = if stage == Stage::TheirEnd { TcpControl::Fin } else { TcpControl::Psh };
        send(world, 5000, control, seq, Some(next), b"abc");
        seq += 3 + u32::from(stage == Stage::TheirEnd);
    }
    if matches!(stage, Stage::Unacknowledged | Stage::Both | Stage::OurEnd) {
        let wrote = flow.poll_write_with(&mut cx, &mut |room| {
            room[..4].copy_from_slice(b"wxyz");
            4
        });
        assert_eq!(wrote, Poll::Ready(Ok(4)));
    }
    if stage == Stage::OurEnd {
        flow.finish();
    }
    world.settle();
    (seq, next)
}

#[test]
fn what_comes_out_of_turn_is_kept_in_whatever_state_the_connection_is() {
    use Stage::*;
    for stage in [Nothing, Unread, Unacknowledged, Both, OurEnd, TheirEnd] {
        run("out-of-turn", |world| {
            let flows = keep(world);
            let next = open(world, 5000, 99);
            let mut flow = flows.borrow_mut().pop().unwrap();
            let (mut seq, ack) = reach(world, &mut flow, stage, next);
            // A reset that is near but not exact, or what overtook something.
            if stage == TheirEnd {
                send(world, 5000, TcpControl::Rst, seq + 9, Some(ack), b"");
            } else {
                send(world, 5000, TcpControl::Psh, seq + 3, Some(ack), b"ghi");
                send(world, 5000, TcpControl::Psh, seq, Some(ack), b"def");
                seq += 6;
            }
            let expected = match stage {
                TheirEnd => b"abc".to_vec(),
                Unread | Both => b"abcdefghi".to_vec(),
                _ => b"defghi".to_vec(),
            };
            assert_eq!(read(&mut flow), Poll::Ready(Ok(expected)), "{stage:?}");
            // What had left before is sent again if nobody acknowledges it.
            let mut end = next;
            if matches!(stage, Unacknowledged | Both | OurEnd) {
                let sent = world.wire.sent();
                world.pass(Duration::from_millis(1_500));
                assert!(world.wire.sent() > sent);
                let again = last_from_stack(world);
                let is_end = stage == OurEnd;
                assert_eq!((again.seq, again.data, again.flags.1), (next, 4, is_end), "{stage:?}");
                end = next + 4 + u32::from(is_end);
            }
            send(world, 5000, TcpControl::None, seq, Some(end), b"");
            close(world, flow, stage, (seq, end));
        });
    }
}

/// Both ends end, whichever has not yet.
fn close(world: &mut World, mut flow: net::TcpFlow, stage: Stage, (seq, ack): (u32, u32)) {
    flow.finish();
    world.settle();
    let fin = u32::from(stage != Stage::OurEnd);
    let control = if stage == Stage::TheirEnd { TcpControl::None } else { TcpControl::Fin };
    send(world, 5000, control, seq, Some(ack + fin), b"");
    assert_eq!(world.stacks[0].count(Counter::Closed), 1, "{stage:?}");
}

#[test]
fn what_was_out_of_order_takes_no_memory_once_it_is_read() {
    run("quiet", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        send(world, 5000, TcpControl::Psh, 103, Some(next), b"def");
        assert!(world.stacks[0].gauges().buffer_bytes > 0);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"abc");
        assert!(read(&mut flows.borrow_mut()[0]).is_ready());
        assert_eq!(world.stacks[0].gauges().buffer_bytes, 0);
        send(world, 5000, TcpControl::Psh, 106, Some(next), b"ghi");
        let bytes = read(&mut flows.borrow_mut()[0]);
        assert_eq!(bytes, Poll::Ready(Ok(b"ghi".to_vec())));
    });
}

#[test]
fn rfc_9293_a_repeated_segment_is_acknowledged_again() {
    run("repeated", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"abc");
        world.pass(Duration::from_millis(20));
        let sent = world.wire.sent();
        for (seq, data) in [(100, &b"abc"[..]), (102, b"c"), (102, b"")] {
            send(world, 5000, TcpControl::None, seq, Some(next), data);
            assert_eq!(last_from_stack(world).ack, 103);
        }
        assert_eq!(world.wire.sent(), sent + 3);
        // Two ends that disagree must not tell each other so for ever (RFC 5961 section 7).
        for _ in 0..100 {
            send(world, 5000, TcpControl::None, 102, Some(next), b"");
        }
        assert!(world.wire.sent() <= sent + 13);
        let bytes = read(&mut flows.borrow_mut()[0]);
        assert_eq!(bytes, Poll::Ready(Ok(b"abc".to_vec())));
    });
}

#[test]
fn a_corrupted_segment_changes_nothing() {
    run("corrupted", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        let (from, to) = endpoints(5000);
        let macs = (MAC[1], MAC[0]);
        let frame = reply_frame(macs, from, to, TcpControl::Psh, 100, Some(next), b"abc");
        for at in [22, 24, 36, 44, 54] {
            let mut wrong = frame.clone();
            wrong[at] ^= 0x40;
            world.wire.inject(0, wrong);
            world.settle();
            assert!(read(&mut flows.borrow_mut()[0]).is_pending(), "byte {at}");
        }
        assert_eq!(world.stacks[0].gauges().buffer_bytes, 0);
    });
}

fn catch(body: &mut dyn FnMut()) -> Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| "caught".into())
}

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    run("panic", |world| {
        echo(world);
        world.stacks[0].catch_panics(catch);
        let next = [5000, 5001, 5002].map(|port| (port, open(world, port, 99)));
        // The device panics over what is sent to one of them.
        world.wire.set_filter(Some(Box::new(|_, frame| {
            assert!(tcp_fields(frame).is_none_or(|tcp| tcp.ports.1 != 5001), "on purpose");
            true
        })));
        for (port, next) in next {
            let (from, to) = endpoints(port);
            let macs = (MAC[1], MAC[0]);
            let frame = reply_frame(macs, from, to, TcpControl::Psh, 100, Some(next), b"hello");
            world.wire.inject(0, frame);
        }
        // All three are answered in one round, the doomed one in its middle.
        world.settle();
        assert_eq!(
            (world.stacks[0].count(Counter::Panics), world.stacks[0].count(Counter::Closed)),
            (1, 1)
        );
        assert_eq!(last_from_stack(world).ports.1, 5002);
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        for (port, next) in next {
            send(world, port, TcpControl::Psh, 105, Some(next + 5), b"again");
            assert_eq!(last_from_stack(world).flags.2, port == 5001, "only that one is reset");
        }
        assert_eq!(world.stacks[0].gauges().connections, 2);
    });
}

#[test]
fn a_panic_beside_connections_leaves_them_alone() {
    run("panic-beside", |world| {
        echo(world);
        let next = open(world, 5000, 99);
        world.stacks[0].catch_panics(catch);
        // The device panics over all that is not TCP; a link that came up makes the stack say where it is.
        world.wire.set_filter(Some(Box::new(|from, frame| {
            assert!(from == 1 || tcp_fields(frame).is_some(), "on purpose");
            true
        })));
        world.wire.set_link_up(false);
        world.settle();
        world.wire.set_link_up(true);
        world.settle();
        assert!(world.stacks[0].count(Counter::Panics) > 0);
        send(world, 5000, TcpControl::Psh, 100, Some(next), b"hello");
        assert_eq!((last_from_stack(world).data, last_from_stack(world).ack), (5, 105));
        // Nothing has to be sent again, for which the next hop would be asked for.
        send(world, 5000, TcpControl::None, 105, Some(next + 5), b"");
        let panics = world.stacks[0].count(Counter::Panics);
        world.pass(Duration::from_secs(10));
        assert!(world.stacks[0].count(Counter::Panics) <= panics + 11, "not in each turn");
        // Once nothing panics any more, all goes on.
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        world.pass(Duration::from_secs(2));
        send(world, 5000, TcpControl::Psh, 105, Some(next + 5), b"again");
        assert_eq!(last_from_stack(world).ack, 110);
    });
}

#[test]
fn rfc_1191_segments_shrink_to_what_the_path_carries() {
    run("path-mtu", |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        let mut flow = flows.borrow_mut().pop().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(flow.poll_write_with(&mut cx, &mut |_| 2_000).is_ready());
        world.settle();
        let segment_max = |world: &World| world.stacks[0].connections()[0].mss;
        // About a segment that is not on its way, and about one that is.
        for (seq, expected) in [(next - 1, 1_460), (next + 2_000, 1_460), (next, 960)] {
            world.wire.inject(0, fragmentation_needed(5000, seq, 1_000));
            world.settle();
            assert_eq!(segment_max(world), expected, "{seq}");
        }
        world.pass(Duration::from_millis(1_500));
        let again = last_from_stack(world);
        assert!((1..=960).contains(&again.data), "{again:?}");
    });
}

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Sets bits in the flags of a TCP frame, and its congestion codepoint.
fn with_ecn(mut frame: Vec<u8>, flags: u8, codepoint: u8) -> Vec<u8> {
    frame[15] |= codepoint;
    Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    frame[47] |= flags;
    let (from, to) = endpoints(0);
    let mut tcp = smoltcp::wire::TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.fill_checksum(&(*from.ip()).into(), &(*to.ip()).into());
    frame
}

/// The flags and the congestion codepoint of the last TCP frame that stack 0 sent.
fn last_ecn(world: &World) -> (u8, u8) {
    let log = world.wire.log();
    let mut own = log.iter().rev().filter(|(_, frame)| frame[6..12] == MAC[0]);
    let (_, frame) = own.find(|(_, frame)| tcp_fields(frame).is_some()).unwrap();
    (frame[47] & (ECE | CWR), frame[15] & 3)
}

#[test]
fn rfc_3168_congestion_notification_is_agreed_to_and_marks_are_echoed() {
    for asks in [true, false] {
        run("ecn", |world| {
            echo(world);
            let (from, to) = endpoints(5000);
            let macs = (MAC[1], MAC[0]);
            let syn = syn_frame(macs, from, to, 99);
            let flags = if asks { ECE | CWR } else { 0 };
            world.wire.inject(0, with_ecn(syn, flags, 0));
            world.settle();
            assert_eq!(last_ecn(world), (if asks { ECE } else { 0 }, 0));
            let next = last_from_stack(world).seq + 1;
            send(world, 5000, TcpControl::None, 100, Some(next), b"");
            // Section 6.1.3: a mark is echoed until the sender has reduced its window; 6.1.5: data is capable.
            const MARKED: u8 = 3;
            let data = |seq: u32, ack: u32| {
                reply_frame(macs, from, to, TcpControl::Psh, seq, Some(ack), b"hello")
            };
            world.wire.inject(0, with_ecn(data(100, next), 0, MARKED));
            world.settle();
            assert_eq!(last_ecn(world), if asks { (ECE, 2) } else { (0, 0) });
            world.wire.inject(0, with_ecn(data(105, next + 5), CWR, 2));
            world.settle();
            assert_eq!(last_ecn(world), (0, if asks { 2 } else { 0 }));
        });
    }
}

/// Data that stack 0 has sent to a port.
fn sent_to(world: &World, port: u16) -> usize {
    let log = world.wire.log();
    let own = log.iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
    let tcp = own.filter_map(|(_, frame)| tcp_fields(frame));
    tcp.filter(|fields| fields.ports.1 == port).map(|fields| fields.data).sum()
}

/// Each asks for more than its share of all memory, and acknowledges nothing.
#[test]
fn peers_that_ask_and_do_not_read_do_not_keep_others_from_being_answered() {
    let limits = Limits { buffers_max_bytes: 2 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    for shares in [false, true] {
        check("hoarders", &config, |world| {
            world.wire.set_filter(Some(Box::new(|_, _| true)));
            let mut listener = world.stacks[0].listen(80).unwrap();
            let spawner = world.spawner();
            world.spawner().spawn("accept", async move {
                while let Ok(mut flow) = listener.accept().await {
                    spawner.spawn("serve", async move {
                        let mut bytes = bytes::Bytes::from(vec![b'x'; 100_000]);
                        let _ = flow.read(&mut [0]).await;
                        while shares && !bytes.is_empty() {
                            let share =
                                std::future::poll_fn(|cx| flow.poll_write_shared(cx, &mut bytes));
                            if share.await.is_err() {
                                return;
                            }
                        }
                        let _ = flow.write_all(&bytes).await;
                        let _ = flow.drained().await;
                    });
                }
            });
            world.settle();
            for port in 1_000..1_600 {
                let next = open(world, port, 99);
                send(world, port, TcpControl::Psh, 100, Some(next), b"?");
            }
            world.pass(Duration::from_secs(2));
            let next = open(world, 5_000, 99);
            send(world, 5_000, TcpControl::Psh, 100, Some(next), b"?");
            world.pass(Duration::from_secs(3));
            assert!(sent_to(world, 5_000) > 0, "an honest peer is answered");
            assert!(world.stacks[0].count(Counter::Relieved) > 0);
            let gauges = world.stacks[0].gauges();
            assert!(gauges.connections > 300 && gauges.buffer_bytes <= 2 << 20, "{gauges:?}");
        });
    }
}
