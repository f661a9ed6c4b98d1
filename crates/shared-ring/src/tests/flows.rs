//! Flows over rings: wake-ups, ends and errors, as tasks see them.

use super::{Fake, pair};
use crate::control::{LEFT_CONSUMED, LEFT_PRODUCED};
use crate::counters::Counter;
use crate::{Doorbell, RingFlow, Rings};
use flow::task::block_on;
use flow::{Address, Flow, FlowError, FlowExt};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::vec::Vec;

#[derive(Clone, Default)]
pub(super) struct Bell(Rc<Cell<usize>>);

impl Doorbell for Bell {
    fn ring(&self) {
        self.0.set(self.0.get() + 1);
    }
}

pub(super) struct World {
    memory: Fake,
    pub(super) rings: Rings,
    pub(super) server: RingFlow<Fake, Bell>,
    pub(super) client: RingFlow<Fake, Bell>,
    /// Those that ring at the other side.
    from_server: Bell,
    from_client: Bell,
}

pub(super) fn world() -> World {
    let (memory, server, client) = pair(12, 12);
    let rings = Rings::default();
    let (from_server, from_client) = (Bell::default(), Bell::default());
    let [one, other] = [1, 2].map(Address::Memory);
    let server = rings.open(server, from_server.clone(), one, other);
    let client = rings.open(client, from_client.clone(), other, one);
    World { memory, rings, server, client, from_server, from_client }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn read(flow: &mut impl Flow, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, FlowError>> {
    let mut bytes = Vec::new();
    let taken = flow.poll_read_with(cx, &mut |shown| {
        bytes = shown.to_vec();
        shown.len()
    });
    taken.map_ok(|_| bytes)
}

pub(super) fn peek() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn a_reader_is_woken_by_the_notification_that_it_asked_for() {
    let World { rings, mut server, mut client, from_client, .. } = world();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert_eq!(read(&mut server, &mut Context::from_waker(&waker)), Poll::Pending);
    block_on(client.write_all(b"one")).unwrap();
    block_on(client.write_all(b"two")).unwrap();
    assert_eq!(from_client.0.get(), 0, "notified once a turn");
    rings.notify();
    assert_eq!(from_client.0.get(), 1);
    rings.notify();
    assert_eq!(from_client.0.get(), 1);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    server.other_side().handle_notification();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(read(&mut server, &mut peek()), Poll::Ready(Ok(b"onetwo".to_vec())));
}

#[test]
fn who_still_looks_is_not_notified_and_finds_it() {
    let World { rings, mut server, mut client, from_client, .. } = world();
    // A side that has just been made asks.
    block_on(client.write_all(b"first")).unwrap();
    rings.notify();
    assert_eq!(from_client.0.replace(0), 1);
    assert!(!rings.is_awaiting());
    assert!(read(&mut server, &mut peek()).is_ready());
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert_eq!(read(&mut server, &mut Context::from_waker(&waker)), Poll::Pending);
    assert!(rings.is_awaiting());
    assert!(!rings.poll());
    block_on(client.write_all(b"next")).unwrap();
    rings.notify();
    assert_eq!(from_client.0.get(), 0, "the server does not sleep");
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    assert!(rings.poll());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(!rings.poll(), "its task knows");
    assert_eq!(read(&mut server, &mut peek()), Poll::Ready(Ok(b"next".to_vec())));
    assert!(rings.may_sleep());
    assert!(!rings.is_awaiting());
}

#[test]
fn what_comes_before_the_sleep_forbids_it() {
    let World { rings, mut server, mut client, .. } = world();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    for what in ["bytes", "room", "delivery", "the other side's going"] {
        let before = count.0.load(Ordering::Relaxed);
        match what {
            "bytes" => {
                assert_eq!(read(&mut server, &mut cx), Poll::Pending);
                block_on(client.write_all(b"late")).unwrap();
            }
            "room" => {
                assert!(read(&mut server, &mut cx).is_ready());
                assert_eq!(client.poll_write(&mut cx, &[1; 4096]), Poll::Ready(Ok(4096)));
                assert_eq!(client.poll_write(&mut cx, &[1]), Poll::Pending);
                assert!(read(&mut server, &mut cx).is_ready());
            }
            "delivery" => {
                assert_eq!(client.poll_write(&mut cx, &[1]), Poll::Ready(Ok(1)));
                assert_eq!(client.poll_drained(&mut cx), Poll::Pending);
                assert!(read(&mut server, &mut cx).is_ready());
            }
            _ => {
                assert_eq!(client.poll_write(&mut cx, &[1; 4096]), Poll::Ready(Ok(4096)));
                assert_eq!(client.poll_write(&mut cx, &[1]), Poll::Pending);
                server.abort();
            }
        }
        assert!(!rings.may_sleep(), "{what}");
        assert_eq!(count.0.load(Ordering::Relaxed), before + 1, "{what}");
        assert!(rings.may_sleep(), "{what}: its task is awake");
        rings.notify();
    }
}

#[test]
fn of_much_at_once_a_side_that_sleeps_is_told_before_the_turn_ends() {
    let (_, server, client) = pair(18, 18);
    let rings = Rings::default();
    let (from_server, from_client) = (Bell::default(), Bell::default());
    let [one, other] = [1, 2].map(Address::Memory);
    let mut server = rings.open(server, from_server.clone(), one, other);
    let mut client = rings.open(client, from_client.clone(), other, one);
    assert_eq!(read(&mut server, &mut peek()), Poll::Pending);
    assert!(rings.may_sleep());
    block_on(client.write_all(&[1; (64 << 10) - 1])).unwrap();
    assert_eq!(from_client.0.get(), 0);
    block_on(client.write_all(&[1])).unwrap();
    assert_eq!(from_client.0.get(), 1);
    block_on(client.write_all(&[1; 192 << 10])).unwrap();
    assert_eq!(client.poll_write(&mut peek(), &[1]), Poll::Pending);
    assert!(rings.may_sleep());
    assert_eq!(from_server.0.get(), 0);
    assert_eq!(
        server.poll_read_with(&mut peek(), &mut |bytes| bytes.len()),
        Poll::Ready(Ok(64 << 10))
    );
    assert_eq!(from_server.0.get(), 1);
}

#[test]
fn a_writer_waits_for_room_and_is_woken() {
    let World { rings, mut server, mut client, from_server, .. } = world();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(client.poll_write(&mut cx, &[1; 5000]), Poll::Ready(Ok(4096)));
    assert_eq!(client.poll_write(&mut cx, &[1; 5000]), Poll::Pending);
    assert_eq!(client.poll_write_with(&mut cx, &mut |_| panic!("no room")), Poll::Pending);
    assert_eq!(client.poll_drained(&mut cx), Poll::Pending);
    assert!(rings.may_sleep());
    assert!(read(&mut server, &mut peek()).is_ready());
    rings.notify();
    assert_eq!(from_server.0.get(), 1);
    client.other_side().handle_notification();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(client.poll_drained(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(client.poll_write_with(&mut cx, &mut |space| space.len()), Poll::Ready(Ok(4096)));
    assert_eq!(rings.counts().get(Counter::FullStalls), 2);
}

#[test]
fn what_is_not_consumed_is_shown_again_in_front_of_what_comes() {
    let World { mut server, mut client, .. } = world();
    block_on(client.write_all(b"abcdef")).unwrap();
    let taken = server.poll_read_with(&mut peek(), &mut |bytes| {
        bytes[2] = b'!';
        2
    });
    assert_eq!(taken, Poll::Ready(Ok(2)));
    block_on(client.write_all(b"gh")).unwrap();
    assert_eq!(read(&mut server, &mut peek()), Poll::Ready(Ok(b"!def".to_vec())));
    assert_eq!(read(&mut server, &mut peek()), Poll::Ready(Ok(b"gh".to_vec())));
}

#[test]
fn what_was_read_does_not_change_when_the_other_side_writes_there() {
    let World { memory, mut server, mut client, .. } = world();
    block_on(client.write_all(b"honest")).unwrap();
    let taken = server.poll_read_with(&mut peek(), &mut |bytes| {
        memory.poke(4096, b"lies!!");
        assert_eq!(bytes, b"honest");
        0
    });
    assert_eq!(taken, Poll::Ready(Ok(0)));
    assert_eq!(read(&mut server, &mut peek()), Poll::Ready(Ok(b"honest".to_vec())));
}

#[test]
fn half_close_leaves_the_other_direction_open_and_a_drop_after_it_loses_nothing() {
    let World { rings, mut server, mut client, from_client, .. } = world();
    block_on(async {
        client.write_all(b"question").await.unwrap();
        client.finish();
        assert_eq!(client.write_all(b"more").await, Err(FlowError::Closed));
        assert_eq!(server.read(&mut [0; 99]).await, Ok(8));
        assert_eq!(server.read(&mut [0; 99]).await, Ok(0));
        server.write_all(b"answer").await.unwrap();
        server.finish();
        drop(server);
        assert_eq!(client.read(&mut [0; 99]).await, Ok(6));
        assert_eq!(client.read(&mut [0; 99]).await, Ok(0));
    });
    let before = from_client.0.get();
    drop(client);
    rings.notify();
    assert_eq!((from_client.0.get(), rings.flows()), (before + 1, 0));
}

#[test]
fn a_drop_before_the_end_resets() {
    let World { mut server, client, .. } = world();
    drop(client);
    block_on(async {
        assert_eq!(server.read(&mut [0; 9]).await, Err(FlowError::Reset));
        assert_eq!(server.write_all(b"x").await, Err(FlowError::Reset));
    });
}

#[test]
fn bytes_for_who_is_gone_are_not_delivered() {
    let World { mut server, mut client, .. } = world();
    block_on(async {
        client.write_all(b"unread").await.unwrap();
        client.finish();
        server.finish();
        drop(server);
        assert_eq!(poll_fn(|cx| client.poll_drained(cx)).await, Err(FlowError::Reset));
    });
}

#[test]
fn an_abort_ends_both_directions_on_both_sides() {
    let World { mut server, mut client, .. } = world();
    block_on(async {
        server.write_all(b"x").await.unwrap();
        client.abort();
        assert_eq!(client.read(&mut [0; 9]).await, Err(FlowError::Closed));
        assert_eq!(client.write_all(b"x").await, Err(FlowError::Closed));
        assert_eq!(server.read(&mut [0; 9]).await, Err(FlowError::Reset));
    });
}

#[test]
fn whose_memory_is_lost_is_woken_and_cut_off_whatever_the_other_side_said() {
    let World { mut server, mut client, .. } = world();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(read(&mut server, &mut cx), Poll::Pending);
    client.finish();
    server.other_side().handle_lost();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(read(&mut server, &mut cx), Poll::Ready(Err(FlowError::Reset)));
    block_on(async {
        assert_eq!(server.write_all(b"x").await, Err(FlowError::Reset));
    });
}

#[test]
fn whose_other_side_has_vanished_is_woken_and_cut_off() {
    let World { mut server, client, .. } = world();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(read(&mut server, &mut cx), Poll::Pending);
    server.other_side().handle_gone();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(read(&mut server, &mut cx), Poll::Ready(Err(FlowError::Reset)));
    assert_eq!(server.poll_write(&mut cx, b"x"), Poll::Ready(Err(FlowError::Reset)));
    drop(client);
}

#[test]
fn a_lie_ends_the_flow_that_it_is_about_and_is_counted_once() {
    for counter in [LEFT_PRODUCED, LEFT_CONSUMED] {
        let World { memory, rings, mut server, mut client, .. } = world();
        memory.poke(counter, &[0, 0, 0, 0x80]);
        let lied_to: &mut RingFlow<_, _> =
            if counter == LEFT_PRODUCED { &mut server } else { &mut client };
        let (read, written) = block_on(async {
            let written = lied_to.write_all(&[1; 10]).await;
            (lied_to.read(&mut [0; 9]).await, written)
        });
        if counter == LEFT_CONSUMED {
            assert_eq!(written, Err(FlowError::Reset));
        }
        assert_eq!(read, Err(FlowError::Reset));
        assert_eq!(rings.counts().get(Counter::Violations), 1);
    }
}

/// Each flow has what is its own; all have what is counted for all.
#[test]
fn a_row_tells_of_its_flow_and_goes_with_it() {
    let mut world = world();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(read(&mut world.server, &mut cx).is_pending());
    assert_eq!(world.client.poll_write(&mut cx, &[7; 5000]), Poll::Ready(Ok(4096)));
    assert!(world.client.poll_write(&mut cx, &[7; 904]).is_pending());
    world.rings.notify();
    world.server.other_side().handle_notification();
    let rows = |rings: &Rings| {
        let mut rows = Vec::new();
        rings.visit_flows(&mut |row| rows.push((row.number, row.info.unwrap())));
        rows
    };
    let [(1, server), (2, client)] = rows(&world.rings)[..] else { panic!("two rows") };
    assert_eq!((client.sent_bytes, client.stalls_full, client.stalls_empty), (4096, 1, 0));
    assert_eq!((server.sent_bytes, server.stalls_full, server.stalls_empty), (0, 0, 1));
    assert_eq!((client.fill.undelivered_bytes, client.fill.unread_bytes), (Some(4096), Some(0)));
    assert_eq!((server.fill.undelivered_bytes, server.fill.unread_bytes), (Some(0), Some(4096)));
    assert_eq!((client.bytes_per_wake(), server.bytes_per_wake()), (None, Some(0)));
    assert!(read(&mut world.server, &mut cx).is_ready());
    assert_eq!(rows(&world.rings)[0].1.bytes_per_wake(), Some(4096));
    // What cannot be is left out, and found out by who reads.
    world.memory.poke(LEFT_PRODUCED, &9_999_999_u32.to_le_bytes());
    assert_eq!(rows(&world.rings)[0].1.fill.unread_bytes, None);
    assert_eq!(read(&mut world.server, &mut cx), Poll::Ready(Err(FlowError::Reset)));
    drop((world.server, world.client));
    world.rings.notify();
    assert_eq!(rows(&world.rings), []);
}
