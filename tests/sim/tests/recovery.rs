//! What is lost is sent again soon, whatever is lost.
//!
//! Times are the simulated clock's. The round trip is 200 µs, so that a transfer in which every
//! loss is repaired by what the peer says ends in milliseconds, and one timeout takes 200 ms.

use flow::{Connector, Flow, FlowExt, Listener, Target};
use sim::{
    Faults, Filter, Link, MAC, Offloads, TcpFields, World, WorldConfig, ack_frame, address, check,
    reply_frame, syn_frame, tcp_fields,
};
use smoltcp::wire::TcpControl;
use std::cell::{Cell, RefCell};
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Stack 0 sends `total` bytes to stack 1, which counts them.
fn download(world: &mut World, total: usize) -> Rc<Cell<usize>> {
    let mut listener = world.stacks[0].listen(80).unwrap();
    let connector = world.stacks[1].connector();
    world.spawner().spawn("server", async move {
        let mut flow = listener.accept().await.unwrap();
        let mut left = total;
        while left > 0 {
            let written = flow.write_with(|space| {
                let count = space.len().min(left);
                space[..count].fill(b'x');
                (count, count)
            });
            left -= written.await.unwrap();
        }
        flow.finish();
        flow.drained().await.unwrap();
    });
    let received = Rc::new(Cell::new(0));
    let count = received.clone();
    world.spawner().spawn("client", async move {
        let target = Target::Address(address(0, false, 80));
        let mut flow = connector.connect(&target).await.unwrap();
        while let Ok(more @ 1..) = flow.read_with(|bytes| (bytes.len(), bytes.len())).await {
            count.set(count.get() + more);
        }
    });
    received
}

/// Takes away what stack 0 sends where `lost` says so: of a segment's place in the stream, in
/// bytes, and of the times that its first byte has been sent before.
fn lose(mut lost: impl FnMut(u32, usize) -> bool + 'static) -> Filter {
    let mut seen = Vec::new();
    Box::new(move |from, frame| {
        let Some(fields) = tcp_fields(frame).filter(|f| from == 0 && f.data > 0) else {
            return false;
        };
        let first = seen.first().map_or(fields.seq, |(first, _)| *first);
        let place = fields.seq.wrapping_sub(first);
        let covers = |(seq, len): &&(u32, u32)| fields.seq.wrapping_sub(*seq) < *len;
        let before = seen.iter().filter(covers).count();
        seen.push((fields.seq, fields.data as u32));
        lost(place, before)
    })
}

const TOTAL: usize = 1_000_000;

fn ends_within(name: &str, limit: Duration, lost: impl FnMut(u32, usize) -> bool + 'static) {
    check(name, &WorldConfig::default(), |world| {
        world.wire.set_filter(Some(lose(lost)));
        let received = download(world, TOTAL);
        let all = || received.get() == TOTAL;
        assert!(world.run_until(limit, all), "{} bytes by {limit:?}", received.get());
    });
}

#[test]
fn a_lost_segment_is_repaired_without_a_timeout() {
    let mut lost = false;
    ends_within("one", 150 * MS, move |place, _| {
        !lost && place > 300_000 && {
            lost = true;
            true
        }
    });
}

#[test]
fn rfc_6582_many_holes_in_a_window_are_repaired_without_a_timeout() {
    ends_within("holes", 150 * MS, |place, before| {
        before == 0 && (300_000..326_280).contains(&place) && place / 1_460 % 3 == 0
    });
}

#[test]
fn a_burst_takes_one_timeout() {
    ends_within("burst", 500 * MS, |place, before| {
        before == 0 && (300_000..320_000).contains(&place)
    });
}

#[test]
fn a_repetition_that_gets_lost_takes_a_timeout() {
    let mut victim = None;
    ends_within("again", 500 * MS, move |place, before| {
        if place > 300_000 && victim.is_none() {
            victim = Some(place);
        }
        victim == Some(place) && before < 2
    });
}

#[test]
fn timeouts_of_separate_losses_do_not_grow() {
    ends_within("bursts", 4_000 * MS, |place, before| before == 0 && place % 150_000 > 130_000);
}

#[test]
fn the_last_segments_are_sent_again() {
    check("tail", &WorldConfig::default(), |world| {
        let mut tail = 0;
        world.wire.set_filter(Some(Box::new(move |from, frame| {
            let is_last = tcp_fields(frame).is_some_and(|f| from == 0 && f.flags.1);
            tail += usize::from(is_last);
            is_last && tail <= 2
        })));
        let received = download(world, 5_000);
        assert!(world.run_until(1_500 * MS, || received.get() == 5_000));
    });
}

#[test]
fn loss_and_reordering_cost_seconds_at_most() {
    let faults = Faults { loss: 2, reorder: 5, duplicate: 1, corrupt: 0 };
    for seed in 0..20 {
        for offloads in [Offloads::None, Offloads::SegmentationSplit] {
            let link = Link { faults, offloads, ..Link::default() };
            check("relay", &WorldConfig { link, seed, ..WorldConfig::default() }, |world| {
                let received = download(world, 2 * TOTAL);
                let all = || received.get() == 2 * TOTAL;
                let limit = Duration::from_secs(5);
                assert!(world.run_until(limit, all), "{} bytes", received.get());
            });
        }
    }
}

/// A peer by hand that has asked stack 0 for many bytes.
struct Peer {
    next: u32,
    flow: Rc<RefCell<Option<net::TcpFlow>>>,
}

const ENDS: (SocketAddrV4, SocketAddrV4) = (
    SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 2), 5000),
    SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 1), 80),
);

impl Peer {
    fn open(world: &mut World) -> Self {
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        let mut listener = world.stacks[0].listen(80).unwrap();
        let flow = Rc::new(RefCell::new(None));
        let accepted = flow.clone();
        world.spawner().spawn("accept", async move {
            *accepted.borrow_mut() = listener.accept().await.ok();
        });
        world.settle();
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), ENDS.0, ENDS.1, 99));
        world.settle();
        let next = sent(world).last().unwrap().seq.wrapping_add(1);
        let this = Self { next, flow };
        this.ack(world, 0, 0xffff, None);
        this
    }

    /// Acknowledges this many bytes.
    fn ack(&self, world: &mut World, bytes: u32, window: u16, sack: Option<(u32, u32)>) {
        let number = |bytes: u32| self.next.wrapping_add(bytes);
        let sack = sack.map(|(from, to)| (number(from), number(to)));
        let numbers = (100, number(bytes));
        let frame = ack_frame((MAC[1], MAC[0]), ENDS.0, ENDS.1, numbers, window, sack);
        world.wire.inject(0, frame);
        world.settle();
    }

    /// Writes as much as there is room for.
    fn write(&self, world: &mut World) -> usize {
        let mut flow = self.flow.borrow_mut();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut all = 0;
        let flow = flow.as_mut().unwrap();
        while flow
            .poll_write_with(&mut cx, &mut |space| {
                all += space.len();
                space.len()
            })
            .is_ready()
        {}
        world.settle();
        all
    }

    /// Positions and lengths of the data sent since the frame of this number.
    fn data(&self, world: &World, since: usize) -> Vec<(u32, usize)> {
        let all = sent(world);
        let with_data = all[since..].iter().filter(|fields| fields.data > 0);
        with_data.map(|fields| (fields.seq.wrapping_sub(self.next), fields.data)).collect()
    }
}

/// All TCP frames that stack 0 sent.
fn sent(world: &World) -> Vec<TcpFields> {
    let log = world.wire.log();
    let own = log.iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
    own.filter_map(|(_, frame)| tcp_fields(frame)).collect()
}

fn with_peer(name: &str, test: impl FnOnce(&mut World, &Peer)) {
    check(name, &WorldConfig::default(), |world| {
        let peer = Peer::open(world);
        test(world, &peer);
    });
}

/// Has the peer acknowledge until more than 10,000 bytes are on their way; their first and end.
fn fill_wire(world: &mut World, peer: &Peer) -> (u32, u32) {
    let mut first = 0;
    loop {
        peer.write(world);
        let (last, len) = *peer.data(world, 0).last().unwrap();
        let end = last + len as u32;
        if end - first > 10_000 {
            return (first, end);
        }
        first = end;
        peer.ack(world, end, 0xffff, None);
    }
}

/// Linux drops what its window allowed when its memory is short, and says that its window is
/// closed; a reader that is slower than the wire brings it there again and again.
#[test]
fn a_window_that_closes_over_lost_data_is_no_end() {
    with_peer("closed-over-loss", |world, peer| {
        let (first, end) = fill_wire(world, peer);
        // Half of it arrived, the rest was dropped.
        let taken = first + 1_460;
        assert!(taken < end);
        peer.ack(world, taken, 0, None);
        world.pass(Duration::from_secs(5));
        let frames = sent(world).len();
        peer.ack(world, taken, 0x4000, None);
        world.pass(500 * MS);
        let again = peer.data(world, frames);
        assert!(again.iter().any(|(at, len)| *at == taken && *len > 1), "{again:?}");
    });
}

#[test]
fn a_lost_window_update_is_asked_for() {
    with_peer("lost-update", |world, peer| {
        let (_, end) = fill_wire(world, peer);
        peer.ack(world, end, 0, None);
        peer.write(world);
        let frames = sent(world).len();
        world.pass(Duration::from_secs(4));
        let probes = peer.data(world, frames);
        assert!(!probes.is_empty() && probes.iter().all(|probe| *probe == (end, 1)), "{probes:?}");
        // The answer to a probe says that there is room.
        peer.ack(world, end, 0x4000, None);
        world.pass(50 * MS);
        assert!(peer.data(world, frames).last().unwrap().1 > 1);
    });
}

#[test]
fn rfc_6675_selective_acknowledgements_count_though_the_window_changes() {
    with_peer("sack", |world, peer| {
        let (first, end) = fill_wire(world, peer);
        let frames = sent(world).len();
        for window in 1..=3 {
            peer.ack(world, first, 0xff00 + window, Some((first + 1_460, end)));
        }
        let again = peer.data(world, frames);
        assert_eq!(again.first().map(|(at, _)| *at), Some(first), "{again:?}");
    });
}

#[test]
fn a_fin_is_repeated_though_duplicates_came_before() {
    with_peer("fin", |world, peer| {
        peer.flow.borrow_mut().as_mut().unwrap().finish();
        world.settle();
        for _ in 0..4 {
            peer.ack(world, 0, 0xffff, None);
        }
        let frames = sent(world).len();
        world.pass(Duration::from_secs(3));
        let fins = sent(world)[frames..].iter().filter(|fields| fields.flags.1).count();
        assert!(fins >= 1, "the FIN is sent again");
        let frame = reply_frame(
            (MAC[1], MAC[0]),
            ENDS.0,
            ENDS.1,
            TcpControl::Fin,
            100,
            Some(peer.next + 1),
            &[],
        );
        world.wire.inject(0, frame);
        world.settle();
        assert_eq!(world.stacks[0].gauges().connections, 0);
    });
}

#[test]
fn timeouts_double_while_nothing_is_heard() {
    with_peer("doubling", |world, peer| {
        peer.write(world);
        let frames = sent(world).len();
        world.pass(Duration::from_secs(58));
        let again = peer.data(world, frames).len();
        // They begin anew once, for smaller segments.
        assert!((8..=14).contains(&again), "{again} repetitions");
        world.pass(Duration::from_secs(5));
        assert_eq!(world.stacks[0].count(net::Counter::TimedOut), 1);
    });
}

/// The acknowledgement that ends a repair gets lost as often as anything else; on a local network a time-out is as
/// long as a hundred of its round trips.
#[test]
fn losses_of_segments_and_acknowledgements_are_found_by_probes_not_by_the_timer() {
    for (loss, total) in [(1, 50_000_000), (5, 5_000_000)] {
        for seed in 1..4 {
            let faults = Faults { loss, ..Faults::default() };
            let offloads = Offloads::SegmentationSplit;
            let link = Link { faults, offloads, ..Link::default() };
            check("probes", &WorldConfig { link, seed, ..WorldConfig::default() }, |world| {
                world.wire.log_at_most(0);
                let received = download(world, total);
                assert!(world.run_until(60_000 * MS, || received.get() == total));
                let timeouts = world.stacks[0].count(net::Counter::RetransmissionTimeouts);
                assert!(timeouts <= 1, "{timeouts} time-outs at {loss} %");
            });
        }
    }
}
