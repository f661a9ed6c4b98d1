//! Peers that lie, and packets that are none: each ends its own connection at most.

use super::*;
use crate::counters::Counter;
use alloc::string::{String, ToString};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_packet_that_is_cut_anywhere_changes_nothing_or_ends_its_connection() {
    let whole = {
        let header = Header { payload_bytes: 10, ..packet(Operation::Data) };
        [&header.to_bytes()[..], b"0123456789"].concat()
    };
    for length in 0..whole.len() {
        let world = World::new();
        let mut flow = world.accepted();
        world.network.handle_input(NOW, &whole[..length]);
        let (bytes, end) = read(&mut flow);
        assert_eq!(bytes, b"", "{length}");
        if length < HEADER_BYTES {
            assert_eq!((end, world.operations().len()), (None, 0), "{length}");
        } else {
            assert_eq!(end, Some(Err(FlowError::Reset)), "{length}");
            assert_eq!(world.operations(), [Operation::Reset], "{length}");
        }
    }
}

#[test]
fn what_follows_the_payload_is_ignored() {
    let world = World::new();
    let mut flow = world.accepted();
    let header = Header { payload_bytes: 3, ..packet(Operation::Data) };
    world.network.handle_input(NOW, &[&header.to_bytes()[..], b"abcdef"].concat());
    assert_eq!(read(&mut flow).0, b"abc");
}

#[test]
fn more_bytes_than_there_is_credit_for_end_the_connection() {
    let world = World::new();
    let mut flow = world.accepted();
    world.send_data(&[1; 999]);
    world.send_data(&[1; 1]);
    assert_eq!(world.operations(), []);
    world.send_data(&[1; 1]);
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!(read(&mut flow), ([1; 1000].to_vec(), Some(Err(FlowError::Reset))));
    assert_eq!(world.network.counts().get(Counter::Violations), 1);
    // A huge length that is not there is none either.
    let world = World::new();
    let mut flow = world.accepted();
    world.send(&Header { payload_bytes: u32::MAX, ..packet(Operation::Data) });
    assert_eq!(read(&mut flow).1, Some(Err(FlowError::Reset)));
}

#[test]
fn credit_that_was_never_ours_ends_the_connection() {
    let world = World::new();
    let mut flow = world.accepted();
    assert_eq!(write(&mut flow, &[0; 10]), Poll::Ready(Ok(10)));
    assert_eq!(world.operations(), [Operation::Data]);
    world.send(&forwarded(11));
    assert_eq!(world.operations(), [Operation::Reset]);
    let world = World::new();
    let _listener = world.listen();
    world.send(&Header { forwarded: 1, ..request(PEER) });
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!(world.network.connections(), 0);
}

#[test]
fn packets_for_another_machine_are_dropped() {
    let world = World::new();
    let _listener = world.listen();
    let destination = VsockAddress { cid: GUEST + 1, port: PORT };
    world.send(&Header { destination, ..request(PEER) });
    assert!(!world.network.wants_transmit());
    assert_eq!(world.network.counts().get(Counter::Dropped), 1);
}

/// A violation is its connection's: a neighbour goes on.
#[test]
fn others_do_not_notice() {
    let world = World::new();
    let mut listener = world.listen();
    world.send(&request(PEER));
    let neighbour = VsockAddress { port: PEER.port + 1, ..PEER };
    world.send(&request(neighbour));
    let mut flows = [accept(&mut listener).unwrap(), accept(&mut listener).unwrap()];
    assert_eq!(world.operations(), [Operation::Response; 2]);
    world.send_data(&[0; 1001]);
    assert_eq!(world.operations(), [Operation::Reset]);
    assert_eq!(write(&mut flows[1], b"on"), Poll::Ready(Ok(2)));
    let (header, payload) = world.next().unwrap();
    assert_eq!((header.destination, &payload[..]), (neighbour, &b"on"[..]));
}

#[test]
fn answers_that_nobody_takes_stop_the_input() {
    let world = World::new();
    let mut asked = 0;
    while world.network.wants_input() {
        world.send(&Header { source: VsockAddress { cid: 2, port: asked }, ..request(PEER) });
        asked += 1;
        assert!(asked < 1000, "answers are kept without bound");
    }
    assert_eq!(world.next().unwrap().0.operation, Operation::Reset);
    assert!(world.network.wants_input());
}

#[test]
fn a_panic_ends_the_connection_that_it_was_about() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let world = World::new();
    world.network.catch_panics(|body| {
        catch_unwind(AssertUnwindSafe(body)).map_err(|cause| match cause.downcast_ref::<&str>() {
            Some(message) => message.to_string(),
            None => String::new(),
        })
    });
    let mut flow = world.accepted();
    let waker = Waker::from(Arc::new(Panics));
    assert!(flow.poll_read_with(&mut Context::from_waker(&waker), &mut |_| 0).is_pending());
    world.send_data(b"bytes");
    assert_eq!(world.network.counts().get(Counter::Panics), 1);
    assert_eq!(read(&mut flow), (b"bytes".to_vec(), Some(Err(FlowError::Down))));
    assert_eq!(world.operations(), [Operation::Reset]);
}
