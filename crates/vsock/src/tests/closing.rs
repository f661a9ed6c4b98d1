//! Ends of connections: of one direction, of both, by reset, by time-out, and of the transport below.

use super::*;
use crate::packet::direction::{BOTH, RECEIVE, SEND};
use alloc::vec;
use flow::{ConnectError, Target};

#[test]
fn virtio_5_10_6_6_a_peer_may_end_its_direction_alone() {
    let world = World::new();
    let mut flow = world.accepted();
    world.send_data(b"last");
    world.send(&shutdown(SEND));
    assert_eq!(read(&mut flow), (b"last".to_vec(), Some(Ok(()))));
    assert_eq!(write(&mut flow, b"answer"), Poll::Ready(Ok(6)));
    assert_eq!(world.next().unwrap().1, b"answer");
    // What is ended stays ended.
    world.send(&shutdown(0));
    assert_eq!(read(&mut flow).1, Some(Ok(())));
    world.send_data(b"more");
    assert_eq!(world.operations(), [Operation::Reset]);
}

#[test]
fn a_peer_that_takes_no_more_ends_our_direction() {
    let world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[7; 100]), Poll::Ready(Ok(100)));
    let wakes = Arc::new(Wakes::default());
    assert!(flow.poll_drained(&mut Context::from_waker(&Waker::from(wakes.clone()))).is_pending());
    world.send(&shutdown(RECEIVE));
    assert_eq!(wakes.count(), 1);
    assert_eq!(drained(&mut flow), Poll::Ready(Err(FlowError::Reset)));
    assert_eq!(write(&mut flow, b"x"), Poll::Ready(Err(FlowError::Reset)));
    world.send_data(b"still");
    assert_eq!(read(&mut flow), (b"still".to_vec(), None));
    assert_eq!(world.operations(), []);
}

#[test]
fn virtio_5_10_6_6_both_directions_ended_are_answered_by_a_reset() {
    for flags in [&[BOTH][..], &[SEND, RECEIVE], &[RECEIVE, BOTH], &[!0]] {
        let world = World::new();
        let mut flow = world.accepted();
        world.send_data(b"last");
        flags.iter().for_each(|&flags| world.send(&shutdown(flags)));
        assert_eq!(world.operations(), [Operation::Reset]);
        // What came before is read, and the peer may have the port again.
        assert_eq!(read(&mut flow), (b"last".to_vec(), Some(Ok(()))));
        assert_eq!(drained(&mut flow), Poll::Ready(Ok(())));
        assert_eq!(write(&mut flow, b"x"), Poll::Ready(Err(FlowError::Reset)));
        let _listener = world.listen();
        world.send(&request(PEER));
        assert_eq!(world.operations(), [Operation::Response]);
        drop(flow);
        assert_eq!(world.operations(), []);
    }
}

#[test]
fn our_end_follows_what_was_written() {
    let mut world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 600]), Poll::Ready(Ok(600)));
    flow.finish();
    flow.finish();
    assert_eq!(write(&mut flow, b"x"), Poll::Ready(Err(FlowError::Closed)));
    assert_eq!(world.network.undelivered(), 1);
    assert_eq!(world.next().unwrap().1.len(), PEER_BUFFER as usize);
    assert_eq!(world.operations(), [Operation::CreditRequest], "no end before the last byte");
    world.send(&forwarded(PEER_BUFFER));
    assert_eq!(world.next().unwrap().1.len(), 100);
    let (end, _) = world.next().unwrap();
    assert_eq!((end.operation, end.flags), (Operation::Shutdown, SEND));
    assert_eq!((world.operations().len(), world.network.undelivered()), (0, 0));
    // Reading goes on.
    world.forwarded = PEER_BUFFER;
    world.send_data(b"answer");
    assert_eq!(read(&mut flow), (b"answer".to_vec(), None));
}

#[test]
fn a_close_delivers_waits_for_the_peer_and_is_forgotten() {
    let mut world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 600]), Poll::Ready(Ok(600)));
    flow.finish();
    drop(flow);
    assert_eq!(world.next().unwrap().1.len(), PEER_BUFFER as usize);
    assert_eq!(world.operations(), [Operation::CreditRequest]);
    // The peer takes its time, but not all of it.
    world.advance(NOW + LIMITS.close_timeout - Duration::from_nanos(1));
    world.send(&forwarded(PEER_BUFFER));
    assert_eq!(world.next().unwrap().1.len(), 100);
    let (end, _) = world.next().unwrap();
    assert_eq!((end.operation, end.flags), (Operation::Shutdown, BOTH));
    world.advance(NOW + LIMITS.close_timeout);
    // What still comes is of no use to anybody.
    world.forwarded = PEER_BUFFER;
    world.send_data(&[0; 900]);
    world.send_data(&[0; 900]);
    assert_eq!(world.operations(), [Operation::CreditUpdate]);
    assert_eq!((world.network.connections(), world.network.undelivered()), (1, 1));
    world.send(&packet(Operation::Reset));
    assert_eq!((world.network.connections(), world.operations().len()), (0, 0));
}

/// A peer that has forwarded all need not say that it took notice of the end.
#[test]
fn a_close_is_over_when_all_is_forwarded() {
    let world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 100]), Poll::Ready(Ok(100)));
    flow.finish();
    world.send(&forwarded(0));
    assert_eq!(world.operations(), [Operation::Data, Operation::Shutdown]);
    world.send(&forwarded(50));
    drop(flow);
    assert_eq!(world.operations(), [Operation::Shutdown]);
    world.send(&forwarded(99));
    assert_eq!((world.operations().len(), world.network.connections()), (0, 1));
    world.send(&forwarded(100));
    assert_eq!((world.operations(), world.network.connections()), (vec![Operation::Reset], 0));
}

#[test]
fn a_close_that_is_not_confirmed_ends_at_its_time() {
    let mut world = World::new();
    let mut flow = world.accepted();
    flow.finish();
    drop(flow);
    world.advance(NOW + Duration::from_secs(3));
    assert_eq!(world.operations(), [Operation::Shutdown]);
    let end = NOW + Duration::from_secs(3) + LIMITS.close_timeout;
    for _ in 0..3 {
        if let Some(deadline) = world.network.next_deadline().filter(|deadline| *deadline < end) {
            world.advance(deadline);
        }
    }
    assert_eq!(world.network.next_deadline(), Some(end));
    world.advance(end - Duration::from_nanos(1));
    assert_eq!(world.network.connections(), 1);
    world.advance(end);
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!((world.network.connections(), world.network.next_deadline()), (0, None));
}

/// A peer without room does not hold what was written for it for ever.
#[test]
fn a_close_that_cannot_be_delivered_ends_at_its_time() {
    let mut world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[1; 600]), Poll::Ready(Ok(600)));
    flow.finish();
    drop(flow);
    assert_eq!(world.operations(), [Operation::Data, Operation::CreditRequest]);
    world.advance(NOW + LIMITS.close_timeout);
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!((world.network.connections(), world.network.next_deadline()), (0, None));
}

#[test]
fn a_flow_that_is_dropped_or_aborted_is_reset() {
    let world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, b"lost"), Poll::Ready(Ok(4)));
    drop(flow);
    assert_eq!(world.operations(), [Operation::Reset]);
    let mut flow = world.accepted();
    world.send_data(b"lost");
    flow.abort();
    assert_eq!(read(&mut flow), (Vec::new(), Some(Err(FlowError::Closed))));
    assert_eq!(write(&mut flow, b"x"), Poll::Ready(Err(FlowError::Closed)));
    assert_eq!(drained(&mut flow), Poll::Ready(Err(FlowError::Closed)));
    assert_eq!(world.operations(), [Operation::Reset]);
    drop(flow);
    assert_eq!((world.operations().len(), world.network.connections()), (0, 0));
}

#[test]
fn a_reset_wakes_both_sides_and_keeps_what_came_before() {
    let world = World::new();
    let mut flow = world.accepted();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    assert_eq!(read(&mut flow).1, None);
    assert!(flow.poll_read_with(&mut Context::from_waker(&waker), &mut |_| 0).is_pending());
    while write(&mut flow, &[0; 100]).is_ready() {}
    assert!(flow.poll_write(&mut Context::from_waker(&waker), b"x").is_pending());
    world.send_data(b"last");
    assert_eq!(wakes.count(), 1);
    world.send(&packet(Operation::Reset));
    assert_eq!(wakes.count(), 2);
    assert_eq!(read(&mut flow), (b"last".to_vec(), Some(Err(FlowError::Reset))));
    assert_eq!(write(&mut flow, b"x"), Poll::Ready(Err(FlowError::Reset)));
    drop(flow);
    assert_eq!(world.operations(), []);
}

/// 5.10.6.7: connections end, listeners stay, and the machine may have another number.
#[test]
fn virtio_5_10_6_7_a_reset_of_the_transport_ends_all_connections() {
    let mut world = World::new();
    let mut listener = world.listen();
    world.send(&request(PEER));
    let mut accepted = accept(&mut listener).unwrap();
    let target = Target::Vsock(PEER);
    let network = world.network.clone();
    let mut connecting = pin!(network.connect(&target));
    assert!(poll(connecting.as_mut()).is_pending());
    world.network.reset(7);
    assert_eq!(world.operations(), [], "what was to leave is of another life");
    assert_eq!(read(&mut accepted).1, Some(Err(FlowError::Reset)));
    let outcome = poll(connecting.as_mut()).map(|flow| flow.err());
    assert_eq!(outcome, Poll::Ready(Some(ConnectError::Refused)));
    world.send(&request(PEER));
    assert_eq!(world.operations(), [], "for a machine that is no longer this one");
    let destination = VsockAddress { cid: 7, port: PORT };
    world.send(&Header { destination, ..request(PEER) });
    let (response, _) = world.next().unwrap();
    assert_eq!((response.operation, response.source), (Operation::Response, destination));
    assert!(accept(&mut listener).is_some());
    world.advance(NOW + Duration::from_secs(100));
}

#[test]
fn without_a_device_all_ends_and_nothing_begins() {
    let world = World::new();
    let mut flow = world.accepted();
    world.network.shut_down();
    assert_eq!(read(&mut flow).1, Some(Err(FlowError::Down)));
    let target = Target::Vsock(PEER);
    let outcome = poll(pin!(world.network.connect(&target))).map(|flow| flow.err());
    assert_eq!(outcome, Poll::Ready(Some(ConnectError::Unreachable)));
    drop(flow);
    assert!(world.network.connections() == 0 && !world.network.wants_transmit());
    world.network.reset(GUEST);
    assert!(poll(pin!(world.network.connect(&target))).is_pending());
}
