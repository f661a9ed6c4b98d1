//! Peers that write what they like, where they like.

use super::*;
use crate::layout::{self, peer, slot};

#[test]
fn what_is_no_region_is_of_no_use() {
    let host = Host::new(THREE_SLOTS);
    host.memory.poke(0, 0x464c_457f);
    let guest = host.guest(1);
    assert!(guest.region.own().is_none());
    let _listener = guest.region.listen("x", 8).unwrap();
    assert_eq!(guest.region.next_deadline(), None);
    host.pass(3, &[]);
    guest.region.handle_timeout(host.now.get());
    let outcome = host.connect(&guest, "x", &[]).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Unreachable));
    assert_eq!(host.memory.load_word(0), 0x464c_457f);
    let small = Host::new((32 << 10) - 1);
    assert_eq!(small.guest(1).region.next_deadline(), None);
}

/// The rings' size is whose who came first, and all follow.
#[test]
fn the_first_to_come_says_how_large_rings_are() {
    let host = Host::new(1 << 20);
    host.memory.poke(0, 0x4151_010d);
    let (one, other) = (host.guest(1), host.guest(2));
    let mut listener = other.region.listen("x", 8).unwrap();
    let (mut near, _far) = host.join(&one, &mut listener, "x", &[&one, &other]);
    assert_eq!(write(&mut near, &[0; 10_000]), Poll::Ready(Ok(8192)));
}

#[test]
fn a_broken_region_ends_its_flows_and_is_not_used_again() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    let (mut near, mut far) = host.join(&one, &mut listener, "x", &all);
    host.memory.poke(0, 0x4151_010d);
    host.now.set(host.now.get() + Duration::from_secs(1));
    for guest in all {
        guest.region.handle_timeout(host.now.get());
        guest.rings.notify();
        assert_eq!(guest.region.next_deadline(), None);
    }
    for flow in [&mut near, &mut far] {
        assert_eq!(read(flow), Poll::Ready(Err(FlowError::Reset)));
    }
    host.memory.poke(0, 0x4151_010c);
    let outcome = host.connect(&one, "x", &[]).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Unreachable));
}

/// A request for what nobody here listens at, whatever the table of names said, is refused.
#[test]
fn who_is_asked_for_anothers_name_refuses() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("real", 8).unwrap();
    let name = (0..layout::NAMES)
        .map(layout::name_at)
        .find(|at| host.memory.load_word(*at + layout::name::OWNER) != 0)
        .unwrap();
    host.memory.copy_in(name + layout::name::TEXT + 4, b"fake");
    let outcome = host.connect(&one, "fake", &all).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Refused));
    for bytes in [0, 108, u32::MAX] {
        host.memory.poke(name + layout::name::TEXT, bytes);
        let outcome = host.connect(&one, "fake", &all).unwrap();
        assert_eq!(outcome.err(), Some(ConnectError::NotFound), "{bytes}");
    }
    host.memory.poke(name + layout::name::TEXT, 4);
    host.memory.copy_in(name + layout::name::TEXT + 4, b"real");
    host.join(&one, &mut listener, "real", &all);
}

#[test]
fn a_state_that_cannot_be_ends_the_request() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let _listener = other.region.listen("x", 8).unwrap();
    let (connector, target) = (one.region.connector(), target("x"));
    let mut connecting = pin!(connector.connect(&target));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    host.memory.poke(layout::slot_at(0) + slot::STATE, 7);
    let Poll::Ready(outcome) = connecting.as_mut().poll(&mut cx) else { panic!("it waits") };
    assert_eq!(outcome.err(), Some(ConnectError::Unreachable));
}

/// What says that a slot is ours of which we know nothing is put right.
#[test]
fn a_slot_that_is_forged_to_be_ours_is_let_go_of() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    let (index, incarnation) = other.region.own().unwrap();
    for forged in 0..3 {
        host.memory.poke(layout::slot_at(forged) + slot::SERVER, incarnation);
        host.memory.poke(layout::slot_at(forged) + slot::STATE, slot::ACCEPTED);
    }
    host.memory.set_bits(layout::peer_at(index) + peer::NEWS, 0xff);
    host.memory.ring(2);
    host.turn(&all);
    let _flows: Vec<_> = (0..3).map(|_| host.join(&one, &mut listener, "x", &all)).collect();
}

/// Numbers that a seed gives (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

/// Whatever is scribbled over the tables and the rings, nobody panics, waits where nothing comes of it, or has more flows than
/// it may; and all of it is let go of in the end.
#[test]
fn scribbling_costs_flows_and_nothing_else() {
    for seed in 1..=60 {
        let mut random = Random(seed);
        let host = Host::new(THREE_SLOTS);
        let (one, other) = (host.guest_with(1, 3), host.guest_with(2, 3));
        let mut listener = other.region.listen("x", 8).unwrap();
        let mut flows = Vec::new();
        for _ in 0..200 {
            scribble(&host, &mut random);
            if one.region.own().is_some() && flows.len() < 4 {
                let (connector, target) = (one.region.connector(), target("x"));
                let mut connecting = pin!(connector.connect(&target));
                for _ in 0..3 {
                    let poll = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    turn_blindly(&host, &[&one, &other]);
                    if let Poll::Ready(outcome) = poll {
                        flows.extend(outcome.ok());
                        break;
                    }
                }
            }
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(flow) = listener.poll_accept(&mut cx) {
                flows.extend(flow.ok());
            }
            turn_blindly(&host, &[&one, &other]);
            for flow in &mut flows {
                let _ = (read(flow), write(flow, b"bytes"));
            }
            if random.below(4) == 0 && !flows.is_empty() {
                flows.swap_remove(random.below(flows.len()));
            }
            assert!(one.rings.flows() <= 3 && other.rings.flows() <= 3, "seed {seed}");
        }
        flows.clear();
        turn_blindly(&host, &[&one, &other]);
        drop(listener);
        assert_eq!((one.rings.flows(), other.rings.flows()), (0, 0), "seed {seed}");
    }
}

/// All act, whether they were rung at or not: their entries may be anybody's.
fn turn_blindly(host: &Host, guests: &[&Guest]) {
    host.now.set(host.now.get() + Duration::from_millis(300));
    for guest in guests {
        guest.region.handle_input();
        guest.region.handle_timeout(host.now.get());
        guest.rings.notify();
    }
}

/// The beginning is left alone: that is another test.
fn scribble(host: &Host, random: &mut Random) {
    let (places, words) = ([4 << 10, 8 << 10, 16 << 10, 32 << 10], [0, 1, 2, 3, 1000, 1001]);
    for _ in 0..random.below(4) {
        let place = places[random.below(places.len())] + 4 * random.below(64);
        let word = match random.below(3) {
            0 => random.below(usize::MAX) as u32,
            _ => words[random.below(words.len())],
        };
        host.memory.poke(place, word);
    }
}
