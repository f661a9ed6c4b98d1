//! Connections are asked for, accepted and refused.

use super::*;
use alloc::boxed::Box;
use flow::{Address, ConnectError, Target};

#[test]
fn virtio_5_10_6_a_request_is_accepted_where_somebody_listens() {
    let world = World::new();
    let mut listener = world.listen();
    assert_eq!(listener.local(), Address::Vsock(VsockAddress { cid: GUEST, port: PORT }));
    assert!(accept(&mut listener).is_none());
    world.send(&request(PEER));
    let (response, _) = world.next().unwrap();
    let expected = Header {
        source: VsockAddress { cid: GUEST, port: PORT },
        destination: PEER,
        buffer_bytes: LIMITS.buffer_bytes,
        ..packet(Operation::Response)
    };
    assert_eq!(response, expected);
    assert!(world.next().is_none());
    let flow = accept(&mut listener).unwrap();
    assert_eq!((flow.peer(), flow.local()), (Address::Vsock(PEER), listener.local()));
}

/// A reset of the connection before would be taken for the answer.
#[test]
fn a_peer_that_asks_anew_hears_nothing_of_the_connection_before() {
    let world = World::new();
    let flow = world.accepted();
    let neighbour = VsockAddress { port: PEER.port + 1, ..PEER };
    world.send(&Header { source: neighbour, ..packet(Operation::Data) });
    drop(flow);
    let _listener = world.listen();
    world.send(&request(PEER));
    let left: Vec<_> = core::iter::from_fn(|| world.next()).collect();
    let left: Vec<_> = left.iter().map(|(it, _)| (it.operation, it.destination)).collect();
    assert_eq!(left, [(Operation::Reset, neighbour), (Operation::Response, PEER)]);
}

#[test]
fn whoever_accepts_is_woken() {
    let world = World::new();
    let mut listener = world.listen();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    assert!(listener.poll_accept(&mut Context::from_waker(&waker)).is_pending());
    world.send(&request(PEER));
    assert_eq!(wakes.count(), 1);
}

#[test]
fn what_belongs_to_nobody_is_reset_and_a_reset_is_not_answered() {
    let world = World::new();
    let _listener = world.listen();
    let elsewhere = VsockAddress { cid: GUEST, port: PORT + 1 };
    for operation in [Operation::Request, Operation::Data, Operation::Shutdown] {
        world.send(&Header { destination: elsewhere, ..packet(operation) });
        let (reset, _) = world.next().unwrap();
        assert_eq!(
            (reset.operation, reset.source, reset.destination),
            (Operation::Reset, elsewhere, PEER)
        );
        assert_eq!((reset.buffer_bytes, reset.forwarded, reset.socket_type), (0, 0, STREAM));
    }
    world.send(&Header { destination: elsewhere, ..packet(Operation::Reset) });
    assert!(world.next().is_none());
}

/// 5.10.6.4.1: an unknown type is answered by a reset of that type.
#[test]
fn virtio_5_10_6_4_other_types_than_streams_are_reset() {
    let world = World::new();
    let mut listener = world.listen();
    for socket_type in [0, 2, 3, u16::MAX] {
        world.send(&Header { socket_type, ..request(PEER) });
        let (reset, _) = world.next().unwrap();
        assert_eq!((reset.operation, reset.socket_type), (Operation::Reset, socket_type));
        world.send(&Header { socket_type, ..packet(Operation::Reset) });
        assert!(world.next().is_none());
    }
    assert!(accept(&mut listener).is_none());
}

#[test]
fn a_backlog_is_bounded_and_frees_by_accepting() {
    let world = World::new();
    let mut listener = world.network.listen(PORT, 2).unwrap();
    assert!(world.network.listen(PORT, 2).is_none(), "one listener for a port");
    let ask = |port| {
        world.send(&request(VsockAddress { cid: 2, port }));
        world.next().unwrap().0.operation
    };
    assert_eq!(
        (ask(1), ask(2), ask(3)),
        (Operation::Response, Operation::Response, Operation::Reset)
    );
    let _first = accept(&mut listener).unwrap();
    assert_eq!((ask(4), ask(5)), (Operation::Response, Operation::Reset));
    drop(listener);
    // Those that nobody accepted are reset, and the port is free.
    assert_eq!(world.operations(), [Operation::Reset; 2]);
    assert_eq!(ask(6), Operation::Reset);
    assert!(world.network.listen(PORT, 2).is_some());
}

/// Flows that only their owners hold count, too: a peer that leaves bytes behind and goes has them kept.
#[test]
fn connections_are_bounded_with_those_that_ended() {
    let world = World::new();
    let mut listener = world.network.listen(PORT, 100).unwrap();
    let mut flows = Vec::new();
    // One is kept for connections that we open.
    for port in 1..LIMITS.connections_max as u32 {
        let peer = VsockAddress { cid: 2, port };
        world.send(&request(peer));
        flows.push(accept(&mut listener).unwrap());
        world.send(&Header { source: peer, ..packet(Operation::Reset) });
    }
    assert_eq!(world.operations(), []);
    world.send(&request(PEER));
    assert_eq!(world.operations(), [Operation::Reset]);
    let target = Target::Vsock(PEER);
    let mut ours = connect(&world, &target);
    assert!(poll(ours.as_mut()).is_pending());
    assert_eq!(world.operations(), [Operation::Request]);
    let full = connect(&world, &target);
    assert_eq!(poll(pin!(full)).map(|flow| flow.err()), Poll::Ready(Some(ConnectError::Exhausted)));
    flows.pop();
    world.send(&request(PEER));
    assert_eq!(world.operations(), [Operation::Response]);
    assert_eq!(world.network.connections(), LIMITS.connections_max);
}

fn connect<'a>(world: &'a World, target: &'a Target) -> Connecting<'a> {
    Box::pin(world.network.connect(target))
}

#[test]
fn a_connect_asks_and_waits_for_the_answer() {
    let world = World::new();
    let target = Target::Vsock(PEER);
    let mut connecting = connect(&world, &target);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    assert!(connecting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let (asked, _) = world.next().unwrap();
    assert_eq!((asked.operation, asked.destination), (Operation::Request, PEER));
    assert_eq!(asked.buffer_bytes, LIMITS.buffer_bytes);
    assert!(world.next().is_none());
    world.send(&Header { destination: asked.source, ..packet(Operation::Response) });
    assert_eq!(wakes.count(), 1);
    let Poll::Ready(Ok(mut flow)) = poll(connecting.as_mut()) else { panic!("not connected") };
    assert_eq!(world.network.next_deadline().map(|_| ()), Some(()));
    // The credit of the response counts.
    assert_eq!(write(&mut flow, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(world.next().unwrap().1, b"hello");
}

#[test]
fn a_connect_fails_when_it_is_refused_or_not_answered() {
    let mut world = World::new();
    let target = Target::Vsock(PEER);
    let network = world.network.clone();
    let mut connecting: Connecting<'_> = Box::pin(network.connect(&target));
    assert!(poll(connecting.as_mut()).is_pending());
    let (asked, _) = world.next().unwrap();
    world.send(&Header { destination: asked.source, ..packet(Operation::Reset) });
    let refused = poll(connecting.as_mut()).map(|flow| flow.err());
    assert_eq!(refused, Poll::Ready(Some(ConnectError::Refused)));

    let mut connecting: Connecting<'_> = Box::pin(network.connect(&target));
    assert!(poll(connecting.as_mut()).is_pending());
    let (again, _) = world.next().unwrap();
    assert_ne!(again.source, asked.source);
    world.advance(NOW + LIMITS.connect_timeout - Duration::from_nanos(1));
    assert!(poll(connecting.as_mut()).is_pending());
    world.advance(NOW + LIMITS.connect_timeout);
    let late = poll(connecting.as_mut()).map(|flow| flow.err());
    assert_eq!(late, Poll::Ready(Some(ConnectError::TimedOut)));
    // The peer learns that it need not answer any more.
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!((world.network.connections(), world.network.next_deadline()), (0, None));
}

#[test]
fn a_connect_that_is_given_up_is_reset_if_it_was_sent() {
    let world = World::new();
    let target = Target::Vsock(PEER);
    let mut connecting = connect(&world, &target);
    assert!(poll(connecting.as_mut()).is_pending());
    drop(connecting);
    assert_eq!(world.operations(), []);
    let mut connecting = connect(&world, &target);
    assert!(poll(connecting.as_mut()).is_pending());
    assert_eq!(world.operations(), [Operation::Request]);
    drop(connecting);
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!(world.network.connections(), 0);
}

#[test]
fn other_schemes_are_not_for_it() {
    let world = World::new();
    let target = "memory:echo".parse().unwrap();
    let outcome = poll(connect(&world, &target).as_mut()).map(|flow| flow.err());
    assert_eq!(outcome, Poll::Ready(Some(ConnectError::Unsupported)));
}

/// Only a handshake that is asked for is answered: a response to an accepted connection, and a second request, are not.
#[test]
fn packets_out_of_turn_end_the_connection() {
    for operation in [Operation::Request, Operation::Response] {
        let world = World::new();
        let mut flow = world.accepted();
        world.send(&packet(operation));
        assert_eq!(world.operations(), [Operation::Reset]);
        assert_eq!(read(&mut flow).1, Some(Err(FlowError::Reset)));
    }
    for operation in [Operation::Data, Operation::Shutdown, Operation::CreditRequest] {
        let world = World::new();
        let target = Target::Vsock(PEER);
        let mut connecting = connect(&world, &target);
        assert!(poll(connecting.as_mut()).is_pending());
        let (asked, _) = world.next().unwrap();
        world.send(&Header { destination: asked.source, ..packet(operation) });
        let outcome = poll(connecting.as_mut()).map(|flow| flow.err());
        assert_eq!(outcome, Poll::Ready(Some(ConnectError::Refused)), "{operation:?}");
    }
}
