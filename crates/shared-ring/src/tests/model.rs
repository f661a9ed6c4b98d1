//! Two sides by a seed, against two queues: bytes in order, and no side asleep while there is something for it.

use super::{Fake, Random, pair};
use crate::{Readable, Ring};
use std::collections::VecDeque;
use std::vec;

/// A side that sleeps when it finds nothing to do, until it is notified.
struct Side {
    ring: Ring<Fake>,
    /// Written by the other side, and not yet read here.
    expected: VecDeque<u8>,
    awaits_bytes: bool,
    awaits_room: bool,
    is_finished: bool,
    has_seen_end: bool,
    next: u8,
}

impl Side {
    fn new(ring: Ring<Fake>) -> Self {
        Self {
            ring,
            expected: VecDeque::new(),
            awaits_bytes: false,
            awaits_room: false,
            is_finished: false,
            has_seen_end: false,
            next: 0,
        }
    }

    fn wake(&mut self) {
        self.awaits_bytes = false;
        self.awaits_room = false;
    }

    fn read(&mut self, random: &mut Random) {
        if self.awaits_bytes || self.has_seen_end {
            return;
        }
        match self.ring.await_readable().unwrap() {
            Readable::Nothing => self.awaits_bytes = true,
            Readable::End => self.has_seen_end = true,
            Readable::CutOff => panic!("nobody goes"),
            Readable::Bytes(_) => {
                let mut into = vec![0; 1 + random.below(2000)];
                let count = self.ring.read(&mut into).unwrap();
                let expected = self.expected.drain(..count);
                assert!(expected.eq(into[..count].iter().copied()));
            }
        }
    }

    fn write(&mut self, random: &mut Random, other: &mut Self) {
        if self.awaits_room || self.is_finished {
            return;
        }
        if self.ring.await_room().unwrap() == 0 {
            self.awaits_room = true;
            return;
        }
        let mut bytes = vec![0; 1 + random.below(2000)];
        bytes.fill_with(|| {
            self.next = self.next.wrapping_add(1);
            self.next
        });
        let written = self.ring.write(&bytes).unwrap();
        self.next = self.next.wrapping_sub((bytes.len() - written) as u8);
        other.expected.extend(&bytes[..written]);
    }
}

fn turn(side: &mut Side, other: &mut Side, random: &mut Random, may_write: bool) {
    for _ in 0..random.below(4) {
        side.read(random);
        if may_write {
            side.write(random, other);
        }
    }
    if side.ring.poll_transmit() {
        other.wake();
    }
}

#[test]
fn two_sides_carry_what_two_queues_do() {
    for seed in 1..400 {
        let random = &mut Random(seed);
        let orders = [(10, 11), (11, 10), (12, 12), (11, 12)][random.below(4)];
        let (_, server, client) = pair(orders.0, orders.1);
        let (mut server, mut client) = (Side::new(server), Side::new(client));
        for _ in 0..300 {
            if random.below(2) == 0 {
                turn(&mut server, &mut client, random, true);
            } else {
                turn(&mut client, &mut server, random, true);
            }
        }
        for side in [&mut server, &mut client] {
            side.is_finished = true;
            side.ring.finish();
        }
        // Each sleeps until it is told: a wake-up that is lost leaves bytes behind.
        for _ in 0..1000 {
            turn(&mut server, &mut client, random, false);
            turn(&mut client, &mut server, random, false);
        }
        for side in [server, client] {
            assert!(side.has_seen_end && side.expected.is_empty(), "seed {seed}");
        }
    }
}
