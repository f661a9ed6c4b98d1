//! Names, slots and flows among peers that keep the rules.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

#[test]
fn bytes_go_both_ways_and_ends_are_told() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("http", 8).unwrap();
    let (mut near, mut far) = host.join(&one, &mut listener, "http", &all);
    let bytes: Vec<u8> = (0..100_000).map(|place| (place % 251) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    let done = host.until(&all, |_| {
        if sent < bytes.len()
            && let Poll::Ready(count) = write(&mut near, &bytes[sent..])
        {
            sent += count.unwrap();
            if sent == bytes.len() {
                near.finish();
            }
        }
        match read(&mut far) {
            Poll::Ready(Ok(some)) if some.is_empty() => return Poll::Ready(()),
            Poll::Ready(some) => got.extend(some.unwrap()),
            Poll::Pending => {}
        }
        Poll::Pending
    });
    assert!(done.is_some() && got == bytes, "{} bytes came", got.len());
    assert_eq!(write(&mut far, b"answer"), Poll::Ready(Ok(6)));
    far.finish();
    drop(far);
    assert_eq!(host.until(&all, |_| read(&mut near)), Some(Ok(b"answer".to_vec())));
    assert_eq!(host.until(&all, |_| read(&mut near)), Some(Ok(Vec::new())));
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whoever sleeps is woken by the bell alone: no time passes here, and nobody looks who was not rung at.
#[test]
fn a_sleeping_side_is_woken() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    let (mut near, mut far) = host.join(&one, &mut listener, "x", &all);
    (0..4).for_each(|_| host.turn(&all));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    for round in 0..200 {
        for (from, to) in [(0, 1), (1, 0)] {
            let flows = [&mut near, &mut far];
            assert!(read_as(flows[to], &mut cx).is_pending());
            host.turn(&all);
            let before = (count.0.load(Ordering::Relaxed), host.rings());
            assert_eq!(write(flows[from], b"word"), Poll::Ready(Ok(4)));
            (0..2).for_each(|_| host.turn(&all));
            let after = (count.0.load(Ordering::Relaxed), host.rings());
            assert_eq!(after, (before.0 + 1, before.1 + 1), "round {round}");
            assert_eq!(read_as(flows[to], &mut cx), Poll::Ready(Ok(b"word".to_vec())));
            host.turn(&all);
        }
    }
}

#[test]
fn a_peer_reaches_itself() {
    let host = Host::new(THREE_SLOTS);
    let guest = host.guest(7);
    let mut listener = guest.region.listen("self", 8).unwrap();
    let (mut near, mut far) = host.join(&guest, &mut listener, "self", &[&guest]);
    assert_eq!(write(&mut near, b"one"), Poll::Ready(Ok(3)));
    assert_eq!(host.until(&[&guest], |_| read(&mut far)), Some(Ok(b"one".to_vec())));
    host.pass(20, &[&guest]);
    assert_eq!(write(&mut far, b"two"), Poll::Ready(Ok(3)));
    assert_eq!(host.until(&[&guest], |_| read(&mut near)), Some(Ok(b"two".to_vec())));
}

#[test]
fn names_are_found_as_long_as_somebody_listens() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let listener = other.region.listen("http", 8).unwrap();
    assert!(other.region.listen("http", 8).is_none(), "twice");
    assert!(other.region.listen("", 8).is_none());
    assert!(other.region.listen(&"n".repeat(108), 8).is_none());
    let long = "n".repeat(107);
    let mut long_one = other.region.listen(&long, 8).unwrap();
    host.join(&one, &mut long_one, &long, &all);
    for absent in ["htt", "httpd", "rpc"] {
        let outcome = host.connect(&one, absent, &all).unwrap();
        assert_eq!(outcome.err(), Some(ConnectError::NotFound), "{absent}");
    }
    drop(listener);
    let outcome = host.connect(&one, "http", &all).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::NotFound));
    assert!(other.region.listen("http", 8).is_some());
    let address = "10.0.0.1:80".parse().unwrap();
    let connector = one.region.connector();
    let outcome = block_on(connector.connect(&address));
    assert_eq!(outcome.err(), Some(ConnectError::Unsupported));
}

/// Two peers listen at one name: who is full is passed over.
#[test]
fn another_listener_of_the_name_is_asked_if_one_refuses() {
    let host = Host::new(THREE_SLOTS);
    let (one, full, other) = (host.guest(1), host.guest(2), host.guest(3));
    let all = [&one, &full, &other];
    let _full = full.region.listen("http", 0).unwrap();
    let outcome = host.connect(&one, "http", &all).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Refused));
    let mut listener = other.region.listen("http", 1).unwrap();
    host.join(&one, &mut listener, "http", &all);
}

#[test]
fn slots_are_used_again_and_no_more_than_there_are() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    let mut flows: Vec<_> = (0..3).map(|_| host.join(&one, &mut listener, "x", &all)).collect();
    for _ in 0..20 {
        let outcome = host.connect(&one, "x", &all).unwrap();
        assert_eq!(outcome.err(), Some(ConnectError::Exhausted));
        // One side alone does not make a slot free: the other may be reading.
        let (near, far) = flows.remove(0);
        drop(near);
        host.turn(&all);
        let outcome = host.connect(&one, "x", &all).unwrap();
        assert_eq!(outcome.err(), Some(ConnectError::Exhausted));
        drop(far);
        host.turn(&all);
        flows.push(host.join(&one, &mut listener, "x", &all));
    }
    // What was in the slot before is not read by the next.
    assert!(flows.iter_mut().all(|(near, far)| read(near).is_pending() && read(far).is_pending()));
}

#[test]
fn one_name_does_not_get_all_connections() {
    let host = Host::new(1 << 20);
    let (one, other) = (host.guest(1), host.guest_with(2, 4));
    let all = [&one, &other];
    let mut greedy = other.region.listen("greedy", 8).unwrap();
    let mut modest = other.region.listen("modest", 8).unwrap();
    let _flows: Vec<_> = (0..3).map(|_| host.join(&one, &mut greedy, "greedy", &all)).collect();
    let outcome = host.connect(&one, "greedy", &all).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Refused));
    let _fourth = host.join(&one, &mut modest, "modest", &all);
    let outcome = host.connect(&one, "modest", &all).unwrap();
    assert_eq!(outcome.err(), Some(ConnectError::Refused));
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    let host = Host::new(THREE_SLOTS);
    let (one, other) = (host.guest(1), host.guest(2));
    let all = [&one, &other];
    let mut listener = other.region.listen("x", 8).unwrap();
    for turns in [0, 1, 2] {
        let (connector, target) = (one.region.connector(), target("x"));
        let mut connecting = std::boxed::Box::pin(connector.connect(&target));
        assert!(connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        (0..turns).for_each(|_| host.turn(&all));
        drop(connecting);
        (0..3).for_each(|_| host.turn(&all));
        // It was withdrawn, or accepted first: then it is cut off.
        if let Some(flow) = host.until(&all, |cx| listener.poll_accept(cx)) {
            assert_eq!(read(&mut flow.unwrap()), Poll::Ready(Err(FlowError::Reset)));
        }
        host.turn(&all);
    }
    let _all: Vec<_> = (0..3).map(|_| host.join(&one, &mut listener, "x", &all)).collect();
}

/// Peers without flows are not woken by each other, however long.
#[test]
fn idle_peers_cost_nothing() {
    let host = Host::new(THREE_SLOTS);
    let guests: Vec<_> = (1..5).map(|device| host.guest(device)).collect();
    let all: Vec<_> = guests.iter().collect();
    let _listeners: Vec<_> = guests.iter().map(|guest| guest.region.listen("x", 8)).collect();
    // They look at who is there once they came.
    host.pass(30, &all);
    let before = host.rings();
    host.pass(600, &all);
    assert_eq!(host.rings(), before);
}
