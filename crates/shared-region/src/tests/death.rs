//! Peers that are killed, paused, or start again.

use super::*;
use crate::SILENCE_MAX;

/// The longest that a flow outlives the other side: an answer's time, and what is between two looks, twice.
const NOTICED: u64 = SILENCE_MAX.as_secs() + 2;

#[test]
fn a_flow_ends_when_its_other_side_is_killed_and_no_earlier() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let mut listener = other.region.listen("x", 8).unwrap();
    let (mut near, _far) = host.join(&one, &mut listener, "x", &[&one, &other]);
    host.pass(120, &[&one, &other]);
    assert!(read(&mut near).is_pending(), "both are there");
    host.pass(SILENCE_MAX.as_secs() - 1, &[&one]);
    assert!(read(&mut near).is_pending(), "it may answer yet");
    host.pass(NOTICED, &[&one]);
    assert_eq!(read(&mut near), Poll::Ready(Err(FlowError::Reset)));
    assert_eq!(write(&mut near, b"x"), Poll::Ready(Err(FlowError::Reset)));
    drop(near);
    host.turn(&[&one]);
    // All that it held is free.
    let outcome = host.connect(&one, "x", &[&one]).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::NotFound));
    let mut listener = one.region.listen("x", 8).unwrap();
    let _all: Vec<_> = (0..3).map(|_| host.join(&one, &mut listener, "x", &[&one])).collect();
}

#[test]
fn who_asks_a_peer_that_is_gone_hears_of_it() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    host.pass(10, &[&one, &other]);
    let _listener = other.region.listen("x", 8).unwrap();
    let (connector, target) = (one.region.connector(), target("x"));
    let mut connecting = pin!(connector.connect(&target));
    let mut poll = || connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    host.pass(SILENCE_MAX.as_secs() - 1, &[&one]);
    assert!(poll().is_pending());
    host.pass(NOTICED, &[&one]);
    let Poll::Ready(outcome) = poll() else { panic!("nothing comes") };
    assert_eq!(outcome.err(), Some(ConnectError::Unreachable));
}

#[test]
fn slots_of_the_dead_are_found_when_there_is_no_other() {
    let host = Host::new(THREE_SLOTS);
    let (one, two, three) = (host.guest(1), host.guest(2), host.guest(3));
    let all = [&one, &two, &three];
    host.pass(10, &all);
    let mut listener = two.region.listen("x", 8).unwrap();
    let mut other = three.region.listen("y", 8).unwrap();
    let _held: Vec<_> = (0..3).map(|_| host.join(&one, &mut listener, "x", &all)).collect();
    // Both ends of all slots are gone, and nobody who lives has a flow with either.
    let outcome = host.connect(&three, "y", &[&three]).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Exhausted));
    host.pass(NOTICED, &[&three]);
    let _found = host.join(&three, &mut other, "y", &[&three]);
}

/// A machine that the host did not run for a while is gone to the others; it comes again.
#[test]
fn a_peer_that_was_paused_ends_its_flows_and_is_found_again() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    let (mut near, mut far) = host.join(&one, &mut listener, "x", &all);
    host.pass(60, &[&one]);
    assert_eq!(read(&mut near), Poll::Ready(Err(FlowError::Reset)));
    assert!(read(&mut far).is_pending(), "it does not know yet");
    host.pass(2, &all);
    assert_eq!(read(&mut far), Poll::Ready(Err(FlowError::Reset)));
    drop((near, far));
    host.turn(&all);
    let _again = host.join(&one, &mut listener, "x", &all);
}

/// One without flows looks less often, and does so at last.
#[test]
fn an_idle_peer_that_was_paused_is_found_again() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    host.pass(10, &all);
    one.region.sweep();
    host.pass(20, &[&one]);
    assert_eq!(host.connect(&one, "x", &[&one]).unwrap().err(), Some(ConnectError::NotFound));
    host.pass(40, &all);
    let _again = host.join(&one, &mut listener, "x", &all);
}

/// A machine that is reset has the device that it had.
#[test]
fn a_peer_that_starts_again_is_not_taken_for_its_past() {
    let host = Host::new(THREE_SLOTS);
    let (one, past) = (host.guest(1), host.guest(2));
    let mut listener = past.region.listen("x", 8).unwrap();
    let (mut near, _far) = host.join(&one, &mut listener, "x", &[&one, &past]);
    let present = host.guest(2);
    let mut listener = present.region.listen("x", 8).unwrap();
    let all = [&one, &present];
    host.pass(2, &all);
    assert_eq!(read(&mut near), Poll::Ready(Err(FlowError::Reset)));
    drop(near);
    let _again = host.join(&one, &mut listener, "x", &all);
}

#[test]
fn entries_of_the_dead_are_given_to_those_who_come() {
    let host = Host::new(THREE_SLOTS);
    let dead: Vec<_> = (0..64).map(|device| host.guest(100 + device)).collect();
    assert!(dead.iter().all(|guest| guest.region.own().is_some()));
    let late = host.guest(1);
    assert!(late.region.own().is_none());
    let mut listener = late.region.listen("x", 8).unwrap();
    for _ in 0..20 {
        late.region.handle_timeout(host.now.get());
        host.now.set(host.now.get() + Duration::from_secs(1));
    }
    assert!(late.region.own().is_some());
    let _found = host.join(&late, &mut listener, "x", &[&late]);
}
