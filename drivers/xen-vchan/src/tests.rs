//! Both domains in one process, which listens and connects to itself; or one of them is the test, as a program of libxenvchan's
//! or as one that means ill. Xen, its grants, event channels and xenstore are fakes.

mod hostile;
mod plain;
mod world;

use crate::{Settings, VchanFlow, VchanListener, Vchans};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::{ConnectError, FlowError, FlowExt, Listener};
use world::{RING_BYTES, World};

impl World {
    fn new(connections_max: usize) -> Self {
        Self::with_rings(connections_max, RING_BYTES)
    }

    /// Lets time pass, by a tenth of a second at once.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..10 * seconds {
            self.timers.advance(self.timers.now() + Duration::from_millis(100));
            self.settle();
        }
    }

    /// Nothing is shared any more.
    fn is_clean(&self) -> bool {
        self.vchans.next_deadline().is_none() && self.places_taken() == 0
    }

    fn places_taken(&self) -> usize {
        alloc::rc::Rc::strong_count(&self.vchans.0.places) - 1
    }
}

#[test]
fn many_come_by_a_name_and_are_carried_both_ways() {
    let mut world = World::new(8);
    let mut listener = world.listen("echo");
    let (mut one, mut other) = world.join(&mut listener, "vchan:1/echo");
    let (second, second_served) = world.join(&mut listener, "vchan:1/echo");
    let sent: Vec<u8> = (0..50_000_u32).map(|nth| (nth / 7) as u8).collect();
    for _ in 0..2 {
        let (got, write) = (carry(&mut other, sent.len()), one.write_all(&sent));
        let (got, written) = world.run(both(got, write)).unwrap();
        assert_eq!(got.as_ref(), Ok(&sent));
        written.unwrap();
        core::mem::swap(&mut one, &mut other);
    }
    assert_eq!(world.vchans.rings().flows(), 4);
    flow::Flow::finish(&mut one);
    assert_eq!(world.run(carry(&mut other, 1)), Some(Err(FlowError::Closed)));
    drop((one, other, second, second_served));
    world.settle();
    assert!(world.is_clean());
}

#[test]
fn what_both_wrote_to_meet_is_taken_back() {
    let mut world = World::new(8);
    let mut listener = world.listen("echo");
    let told = world.daemon.get("data/services/vchan-echo");
    assert_eq!(told.as_deref(), Some("one vchan vchan:1/echo"));
    assert_eq!(world.daemon.permissions("/local/domain/1/data/services/vchan-echo"), ["r1"]);
    let ends = world.join(&mut listener, "vchan:1/echo");
    world.settle();
    // Only its own folder tells a domain who it is: none but these two may read there.
    assert_eq!(world.daemon.permissions("/local/domain/1/data/vchan/to/1"), ["n1", "r1"]);
    let answer = "/local/domain/1/data/vchan/echo/1-0";
    for node in
        [answer.to_string(), [answer, "/ring-ref"].concat(), [answer, "/event-channel"].concat()]
    {
        assert_eq!(world.daemon.permissions(&node), ["n1", "r1"], "{node}");
        assert_eq!(world.daemon.get(&node), None, "{node}");
    }
    assert_eq!(world.daemon.get("data/vchan/to/1/echo-0"), None);
    drop((ends, listener));
    world.settle();
    assert_eq!(world.daemon.get("data/services/vchan-echo"), None);
    assert!(world.is_clean());
    assert_eq!(world.connect("vchan:1/echo").unwrap().unwrap_err(), ConnectError::NotFound);
}

#[test]
fn rings_become_smaller_as_grants_become_few() {
    let mut world = World::with_rings(64, 1 << 20);
    let mut listener = world.listen("echo");
    let ends: Vec<_> = (0..20).map(|_| world.join(&mut listener, "vchan:1/echo")).collect();
    let mut sizes = Vec::new();
    world.vchans.rings().visit_flows(&mut |row| {
        let info = row.info.expect("it is not in use");
        sizes.push(info.fill.outgoing_ring_bytes >> 10);
    });
    // Both ends of each.
    assert_eq!(sizes, [&[1024; 32][..], &[512; 8]].concat());
    drop((ends, listener));
    world.settle();
    world.pass(1);
    assert!(world.is_clean());
    assert_eq!(world.vchans.ring_bytes(), 1 << 20, "they are given back");
}

#[test]
fn connections_leave_no_grants_and_event_channels() {
    // 2 * 64 + 1 pages each: more than there are grants for, if they were not given back.
    let mut world = World::with_rings(2, 256 << 10);
    let mut listener = world.listen("echo");
    for nth in 0..200 {
        let (mut client, mut server) = world.join(&mut listener, "vchan:1/echo");
        assert_eq!(world.run(client.write_all(b"water")), Some(Ok(())), "{nth}");
        assert_eq!(world.run(carry(&mut server, 5)), Some(Ok(b"water".to_vec())));
        // Either may go first.
        let (first, second) = if nth % 2 == 0 { (client, server) } else { (server, client) };
        drop(first);
        world.settle();
        drop(second);
        world.settle();
        world.pass(1);
    }
    assert!(world.is_clean());
}

#[test]
fn whoever_finds_no_place_is_told_at_once() {
    let mut world = World::new(4);
    let mut listener = world.listen("echo");
    // Of four places one connection has two here, one at each end; three may be one listener's.
    let first = world.join(&mut listener, "vchan:1/echo");
    let second = world.join(&mut listener, "vchan:1/echo");
    assert_eq!(world.places_taken(), 4);
    assert_eq!(world.connect("vchan:1/echo").unwrap().unwrap_err(), ConnectError::Exhausted);
    let refused = "data/vchan/echo/1-2/refused";
    assert!(world.daemon.get(refused).is_some());
    drop(first);
    world.settle();
    let third = world.join(&mut listener, "vchan:1/echo");
    world.pass(11);
    assert_eq!(world.daemon.get(refused), None);
    drop((second, third));
    world.settle();
    assert!(world.is_clean());
}

#[test]
fn one_listener_has_three_quarters_of_the_places() {
    let world = World::new(4);
    let [places, others] = [(), ()].map(alloc::rc::Rc::new);
    let taken: Vec<_> = (0..5).map(|_| world.vchans.take_place(Some(&places))).collect();
    assert_eq!(taken.iter().flatten().count(), 3);
    let other = world.vchans.take_place(Some(&others));
    assert!(other.is_some());
    assert!(world.vchans.take_place(None).is_none());
    drop(taken);
    assert_eq!(world.places_taken(), 1);
}

#[test]
fn connections_that_nobody_accepts_are_as_many_as_the_backlog() {
    let mut world = World::new(32);
    let mut listener = world.vchans.listen("echo", 2).unwrap();
    world.settle();
    let _waiting = [(); 2].map(|()| world.connect("vchan:1/echo").unwrap().unwrap());
    assert_eq!(world.connect("vchan:1/echo").unwrap().unwrap_err(), ConnectError::Exhausted);
    assert!(world.run(listener.accept()).is_some());
    assert!(world.connect("vchan:1/echo").unwrap().is_ok());
}

#[test]
fn where_nobody_listens_nobody_is_waited_for() {
    let mut world = World::new(4);
    let _listener = world.listen("echo");
    for target in ["vchan:1/other", "vchan:2/echo"] {
        assert_eq!(world.connect(target).unwrap().unwrap_err(), ConnectError::NotFound);
    }
    let unsupported = world.connect("shm:/echo").unwrap().unwrap_err();
    assert_eq!(unsupported, ConnectError::Unsupported);
}

#[test]
fn a_name_or_a_domain_and_a_path_are_places_to_listen_at() {
    let world = World::new(4);
    for place in ["", "a.b", "/run/http", "x/data", "0/", "0//x", "a b"] {
        assert!(world.vchans.listen(place, 1).is_err(), "{place}");
    }
    for place in ["http", "0/data/vchan/http", "a-b_c"] {
        assert!(world.vchans.listen(place, 1).is_ok(), "{place}");
    }
}

#[test]
fn a_flow_that_is_dropped_cuts_the_other_side_off() {
    let mut world = World::new(8);
    let mut listener = world.listen("echo");
    let (client, mut server) = world.join(&mut listener, "vchan:1/echo");
    let mut read = pin!(carry(&mut server, 1));
    let is_waiting = read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(is_waiting);
    drop(client);
    assert_eq!(world.run(read), Some(Err(FlowError::Reset)));
}

#[test]
fn a_connection_asks_for_a_look_twice_a_second_and_none_for_none() {
    let mut world = World::new(8);
    let mut listener = world.listen("echo");
    assert_eq!(world.vchans.next_deadline(), None);
    let ends = world.join(&mut listener, "vchan:1/echo");
    let deadline = world.vchans.next_deadline().unwrap();
    assert!(deadline <= world.timers.now() + Duration::from_millis(500));
    world.pass(2);
    assert!(world.vchans.next_deadline().unwrap() > world.timers.now());
    drop(ends);
    world.settle();
    assert_eq!(world.vchans.next_deadline(), None);
}

/// Reads so many bytes; an end before them is [`FlowError::Closed`].
async fn carry(flow: &mut VchanFlow, count: usize) -> Result<Vec<u8>, FlowError> {
    let mut got = Vec::new();
    while got.len() < count {
        let taken = flow.read_with(|bytes| {
            got.extend_from_slice(bytes);
            (bytes.len(), bytes.len())
        });
        if taken.await? == 0 {
            return Err(FlowError::Closed);
        }
    }
    Ok(got)
}

async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

fn number(world: &World, node: &str) -> Option<u32> {
    world.daemon.get(node).map(|text: String| text.parse().unwrap())
}
