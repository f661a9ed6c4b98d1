//! Bytes go both ways, in order, as far as there is credit.

use super::*;
use crate::counters::Counter;
use alloc::collections::VecDeque;
use bytes::Bytes;
use flow::Target;

#[test]
fn a_stream_is_the_same_wherever_packets_cut_it() {
    const TEXT: &[u8] = b"the quick brown fox";
    for cut in 0..=TEXT.len() {
        for step in 1..=TEXT.len() {
            let world = World::new();
            let mut flow = world.accepted();
            world.send_data(&TEXT[..cut]);
            world.send_data(&TEXT[cut..]);
            let mut all = Vec::new();
            // Taken in steps, as by a core that wants no more at a time.
            while all.len() < TEXT.len() {
                let cx = &mut Context::from_waker(Waker::noop());
                let taken = flow.poll_read_with(cx, &mut |bytes| {
                    let count = bytes.len().min(step);
                    all.extend_from_slice(&bytes[..count]);
                    count
                });
                assert!(matches!(taken, Poll::Ready(Ok(1..))));
            }
            assert_eq!((all, read(&mut flow)), (TEXT.to_vec(), (Vec::new(), None)));
        }
    }
}

#[test]
fn bytes_may_be_changed_where_they_lie_and_are_shown_again() {
    let world = World::new();
    let mut flow = world.accepted();
    world.send_data(b"abc");
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(
        flow.poll_read_with(cx, &mut |bytes| {
            bytes[1] = b'x';
            1
        }),
        Poll::Ready(Ok(1))
    );
    assert_eq!(flow.poll_read_with(cx, &mut |_| 0), Poll::Ready(Ok(0)));
    // More than there is counts as all.
    assert_eq!(
        flow.poll_read_with(cx, &mut |bytes| 9 * usize::from(bytes == b"xc")),
        Poll::Ready(Ok(2))
    );
}

#[test]
fn virtio_5_10_6_3_no_more_is_sent_than_the_peer_has_room_for() {
    let world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 600]), Poll::Ready(Ok(600)));
    assert_eq!(world.next().unwrap().1.len(), 500);
    // It is asked for room once, however often it says that there is none.
    assert_eq!(world.operations(), [Operation::CreditRequest]);
    world.send(&forwarded(0));
    assert_eq!(world.operations(), []);
    world.send(&forwarded(1));
    assert_eq!(world.next().unwrap().1.len(), 1);
    assert_eq!(world.operations(), [Operation::CreditRequest]);
    world.send(&forwarded(501));
    assert_eq!(world.next().unwrap().1.len(), 99);
    assert_eq!(world.operations(), []);
    assert_eq!(drained(&mut flow), Poll::Ready(Ok(())));
}

#[test]
fn whoever_waits_to_write_is_woken_when_there_is_room() {
    let world = World::new();
    let mut flow = world.accepted();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    let mut written = 0;
    while let Poll::Ready(count) = flow.poll_write(cx, &[0; 100]) {
        written += count.unwrap();
    }
    assert_eq!(written, LIMITS.buffer_bytes as usize);
    assert!(flow.poll_write_with(cx, &mut |_| panic!("there is no room")).is_pending());
    assert!(flow.poll_drained(cx).is_pending());
    assert_eq!(wakes.count(), 0);
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    assert_eq!(wakes.count(), 1);
    assert!(matches!(flow.poll_write(cx, &[0; 100]), Poll::Ready(Ok(100))));
    assert!(flow.poll_drained(cx).is_pending());
    world.send(&forwarded(500));
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    world.send(&forwarded(1000));
    assert_eq!(world.operations(), [Operation::Data]);
    assert_eq!(wakes.count(), 2);
    assert_eq!(flow.poll_drained(cx), Poll::Ready(Ok(())));
}

#[test]
fn a_peer_is_told_of_room_after_a_quarter_or_when_it_asks() {
    let world = World::new();
    let mut flow = world.accepted();
    world.send_data(&[0; 249]);
    assert_eq!(read(&mut flow).0.len(), 249);
    assert_eq!(world.operations(), []);
    world.send(&packet(Operation::CreditRequest));
    let (update, _) = world.next().unwrap();
    assert_eq!((update.operation, update.forwarded), (Operation::CreditUpdate, 249));
    world.send_data(&[0; 250]);
    assert_eq!(world.operations(), [], "nobody has read them");
    assert_eq!(read(&mut flow).0.len(), 250);
    let (update, _) = world.next().unwrap();
    assert_eq!((update.operation, update.forwarded), (Operation::CreditUpdate, 499));
    assert_eq!(world.operations(), []);
    // Any packet tells it.
    world.send_data(&[0; 200]);
    assert_eq!((read(&mut flow).0.len(), write(&mut flow, b"x")), (200, Poll::Ready(Ok(1))));
    assert_eq!(world.next().unwrap().0.forwarded, 699);
    world.send_data(&[0; 200]);
    assert_eq!(read(&mut flow).0.len(), 200);
    assert_eq!(world.operations(), []);
}

#[test]
fn connections_take_turns() {
    let world = World::new();
    let mut listener = world.listen();
    let mut flows: Vec<_> = (1..=3)
        .map(|port| {
            world.send(&request(VsockAddress { cid: 2, port }));
            accept(&mut listener).unwrap()
        })
        .collect();
    assert_eq!(world.operations(), [Operation::Response; 3]);
    for flow in &mut flows {
        for _ in 0..2 {
            let mut shared = Bytes::from_static(&[0; 10]);
            let cx = &mut Context::from_waker(Waker::noop());
            assert_eq!(flow.poll_write_shared(cx, &mut shared), Poll::Ready(Ok(10)));
        }
    }
    let order: Vec<_> = core::iter::from_fn(|| world.next()).collect();
    let ports: Vec<_> = order.iter().map(|(header, _)| header.destination.port).collect();
    assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn shared_bytes_are_sent_from_where_they_lie() {
    let world = World::new();
    let mut flow = world.accepted();
    let content = Bytes::from_static(&[5; 400]);
    let mut shared = content.clone();
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(flow.poll_write_shared(cx, &mut shared), Poll::Ready(Ok(400)));
    assert!(shared.is_empty());
    let packet = world.network.poll_transmit(NOW).unwrap();
    assert_eq!(packet.payload.as_ptr(), content.as_ptr());
}

/// Two networks, whose wire loses nothing and delays each packet as chance has it; bytes of both directions arrive whole.
#[test]
fn two_networks_carry_whatever_is_written_however_it_is_cut() {
    for seed in 1..=60 {
        let target = Target::Vsock(VsockAddress { cid: GUEST, port: PORT });
        let mut pair = Pair::new(seed);
        let connector = pair.networks[0].clone();
        let mut connecting = pin!(connector.connect(&target));
        let mut listener = pair.networks[1].listen(PORT, 1).unwrap();
        let mut turns = 0;
        while pair.got != [LENGTH; 2] {
            turns += 1;
            assert!(turns < 1_000_000, "seed {seed}: no progress: {pair:?}");
            if pair.flows[0].is_none()
                && let Poll::Ready(flow) = poll(connecting.as_mut())
            {
                pair.flows[0] = Some(flow.unwrap());
            }
            pair.flows[1] = pair.flows[1].take().or_else(|| accept(&mut listener));
            pair.step();
        }
        pair.let_go();
    }
}

/// Bytes of each direction.
const LENGTH: usize = 20_000;

#[derive(Debug)]
struct Pair {
    networks: [VsockNetwork; 2],
    flows: [Option<VsockFlow>; 2],
    /// What each has sent and the other not received.
    wires: [VecDeque<Vec<u8>>; 2],
    /// Bytes that each has written and read.
    written: [usize; 2],
    got: [usize; 2],
    random: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let networks = [VsockNetwork::new(2, LIMITS), VsockNetwork::new(GUEST, LIMITS)];
        let (flows, wires) = ([None, None], Default::default());
        Self { networks, flows, wires, written: [0; 2], got: [0; 2], random: seed }
    }

    /// Does one thing at one side.
    fn step(&mut self) {
        let side = self.chance(2);
        match self.chance(4) {
            0 => self.transmit(side),
            1 => self.receive(side),
            2 => self.write(side),
            _ => self.read(side),
        }
    }

    fn chance(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % below
    }

    fn transmit(&mut self, side: usize) {
        if let Some(packet) = self.networks[side].poll_transmit(NOW) {
            self.wires[side].push_back([&packet.header[..], &packet.payload].concat());
        }
    }

    fn receive(&mut self, side: usize) {
        if let Some(packet) = self.wires[1 - side].pop_front() {
            self.networks[side].handle_input(NOW, &packet);
        }
    }

    fn write(&mut self, side: usize) {
        let count = (1 + self.chance(700)).min(LENGTH - self.written[side]);
        let Some(flow) = &mut self.flows[side] else { return };
        let bytes: Vec<u8> = (0..count).map(|at| content(side, self.written[side] + at)).collect();
        if count > 0
            && let Poll::Ready(count) = write(flow, &bytes)
        {
            self.written[side] += count.unwrap();
        }
        if self.written[side] == LENGTH {
            flow.finish();
        }
    }

    fn read(&mut self, side: usize) {
        let most = 1 + self.chance(700);
        let (Some(flow), got) = (&mut self.flows[side], &mut self.got[side]) else { return };
        let _ = flow.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| {
            let count = bytes.len().min(most);
            for &byte in &bytes[..count] {
                assert_eq!(byte, content(1 - side, *got));
                *got += 1;
            }
            count
        });
    }

    /// Both ends have said so: nothing is left when they let go.
    fn let_go(mut self) {
        self.flows = [None, None];
        for _ in 0..100 {
            for side in [0, 1] {
                self.transmit(side);
                self.receive(side);
            }
        }
        for network in &self.networks {
            assert_eq!(network.connections(), 0);
            assert_eq!(network.counts().get(Counter::Violations), 0);
        }
    }
}

fn content(side: usize, at: usize) -> u8 {
    (at * 7 + side * 13 + at / 256) as u8
}
