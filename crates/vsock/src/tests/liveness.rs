//! Who is there, who takes what is sent, and how many may be.

use super::*;
use bytes::Bytes;

/// What leaves when its deadline has come, which must be then.
fn at_deadline(world: &mut World, deadline: Duration) -> Vec<Operation> {
    assert_eq!(world.network.next_deadline(), Some(deadline));
    world.advance(deadline - Duration::from_nanos(1));
    assert_eq!(world.operations(), []);
    world.advance(deadline);
    world.operations()
}

#[test]
fn virtio_5_10_6_3_a_silent_peer_is_asked_once_and_given_up() {
    let mut world = World::new();
    let mut flow = world.accepted();
    world.advance(NOW + Duration::from_secs(50));
    world.send(&forwarded(0));
    // What it said counts from when it said it.
    let asked = NOW + Duration::from_secs(120);
    assert_eq!(at_deadline(&mut world, asked), []);
    let asked = asked + Duration::from_secs(50);
    assert_eq!(at_deadline(&mut world, asked), [Operation::CreditRequest]);
    assert_eq!(read(&mut flow).1, None);
    let given_up = asked + LIMITS.close_timeout;
    assert_eq!(at_deadline(&mut world, given_up), [Operation::Reset]);
    assert_eq!(read(&mut flow).1, Some(Err(FlowError::TimedOut)));
    assert_eq!(world.network.next_deadline(), None);
}

#[test]
fn a_peer_that_answers_stays() {
    let mut world = World::new();
    let mut flow = world.accepted();
    let mut asked = NOW;
    for _ in 0..3 {
        asked += LIMITS.keep_alive;
        world.advance(asked);
        assert_eq!(world.operations(), [Operation::CreditRequest]);
        asked += LIMITS.close_timeout - Duration::from_nanos(1);
        world.advance(asked);
        world.send(&forwarded(0));
        world.advance(asked + Duration::from_nanos(2));
        assert_eq!((world.operations(), read(&mut flow).1), (Vec::new(), None));
    }
}

#[test]
fn a_machine_that_was_stopped_for_long_asks_before_it_gives_up() {
    let mut world = World::new();
    let mut flow = world.accepted();
    let resumed = NOW + Duration::from_secs(3600);
    world.advance(resumed);
    world.advance(resumed + Duration::from_secs(1));
    assert_eq!(world.operations(), [Operation::CreditRequest]);
    world.send(&forwarded(0));
    assert_eq!(read(&mut flow).1, None);
}

#[test]
fn a_connection_that_we_open_is_asked_too() {
    let mut world = World::new();
    let (network, target) = (world.network.clone(), flow::Target::Vsock(PEER));
    let mut connecting = std::boxed::Box::pin(network.connect(&target));
    assert!(poll(connecting.as_mut()).is_pending());
    let (asked, _) = world.next().unwrap();
    world.send(&Header { destination: asked.source, ..packet(Operation::Response) });
    let Poll::Ready(Ok(_flow)) = poll(connecting.as_mut()) else { panic!("not open") };
    drop(connecting);
    world.advance(NOW + LIMITS.connect_timeout);
    assert_eq!(at_deadline(&mut world, NOW + LIMITS.keep_alive), [Operation::CreditRequest]);
}

/// As a core sees it at its deadline: when the last byte went, not that the queue had room meanwhile.
#[test]
fn progress_is_what_left_while_somebody_waited() {
    let mut world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 2000]), Poll::Ready(Ok(1000)));
    assert!(write(&mut flow, &[1]).is_pending());
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    let late = NOW + Duration::from_secs(60);
    let expected = flow::Taken { bytes: PEER_BUFFER as usize, at: NOW };
    assert_eq!((flow.newly_taken(late), flow.newly_taken(late)), (Some(expected), None));
    assert_eq!(world.network.buffered_bytes(), 500);
    // Half is free now, so that it may write; nothing that goes then was waited for.
    assert_eq!(write(&mut flow, &[1; 100]), Poll::Ready(Ok(100)));
    world.advance(late);
    world.send(&forwarded(100));
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    assert_eq!(flow.newly_taken(late), None);
}

#[test]
fn who_is_woken_too_early_writes_nothing() {
    let world = World::new();
    let mut flow = world.accepted();
    let mut shared = Bytes::from(std::vec![1; 1 << 20]);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(flow.poll_write_shared(&mut cx, &mut shared), Poll::Ready(Ok(256 << 10)));
    assert!(flow.poll_write_shared(&mut cx, &mut shared).is_pending());
    // So much room there is, which is not much of all.
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    assert!(flow.poll_write_shared(&mut cx, &mut shared).is_pending());
    assert!(write(&mut flow, &[1]).is_pending());
}

#[test]
fn one_ports_clients_do_not_have_all_connections() {
    let world = World::new();
    let (mut listener, mut other) = (world.listen(), world.network.listen(PORT + 1, 8).unwrap());
    let ask = |source: u32, port: u32| {
        let destination = VsockAddress { cid: GUEST, port };
        let source = VsockAddress { cid: 2, port: source };
        world.send(&Header { destination, ..request(source) });
        world.next().map(|(header, _)| header.operation)
    };
    // Of eight, one is kept for the other port and one for connections that we open.
    let flows: Vec<_> = (0..8)
        .filter_map(|source| {
            let is_open = ask(source, PORT) == Some(Operation::Response);
            is_open.then(|| accept(&mut listener).unwrap())
        })
        .collect();
    assert_eq!(flows.len(), 6);
    assert_eq!(ask(100, PORT + 1), Some(Operation::Response));
    assert_eq!(ask(101, PORT + 1), Some(Operation::Reset));
    let mut ours = pin!(world.network.connect(&flow::Target::Vsock(PEER)));
    assert!(poll(ours.as_mut()).is_pending());
    assert_eq!(world.network.connections(), 8);
    // Who goes makes room for its own port's next.
    drop(accept(&mut other));
    world.operations();
    assert_eq!(ask(102, PORT), Some(Operation::Reset));
    assert_eq!(ask(103, PORT + 1), Some(Operation::Response));
}
