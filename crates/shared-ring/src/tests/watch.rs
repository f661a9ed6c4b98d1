//! Watching: each step of a flow is shown with what it made of the flow, as long as somebody looks.

use super::flows::{World, peek, read, world};
use crate::{FlowInfo, Waits, Watcher};
use flow::Flow;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::vec::Vec;

#[derive(Default)]
struct Steps(RefCell<Vec<FlowInfo>>);

impl Watcher for Steps {
    fn step(&self, info: &FlowInfo) {
        self.0.borrow_mut().push(*info);
    }
}

/// Watches the flow of this number of a world: 1 is the server, 2 the client.
fn watched(world: &World, number: u64) -> Rc<Steps> {
    let steps = Rc::new(Steps::default());
    let watcher: Rc<dyn Watcher> = steps.clone();
    assert!(world.rings.watch(number, &watcher));
    steps
}

const FOR_BYTES: Waits = Waits { for_bytes: true, for_room: false };
const FOR_ROOM: Waits = Waits { for_bytes: false, for_room: true };
const FOR_NOTHING: Waits = Waits { for_bytes: false, for_room: false };

#[test]
fn reads_writes_waits_and_notifications_are_steps() {
    let mut world = world();
    let steps = watched(&world, 2);
    let take = || -> FlowInfo {
        let taken = steps.0.take();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken[0]
    };
    let mut cx = peek();
    assert_eq!(world.client.poll_write(&mut cx, &[7; 5000]), Poll::Ready(Ok(4096)));
    let step = take();
    assert_eq!((step.sent_bytes, step.fill.undelivered_bytes), (4096, Some(4096)));
    assert_eq!((step.waits, step.peer_waits), (FOR_NOTHING, FOR_BYTES));
    assert!(world.client.poll_write(&mut cx, &[7; 904]).is_pending());
    let step = take();
    assert_eq!((step.stalls_full, step.waits), (1, FOR_ROOM));
    world.rings.notify();
    let step = take();
    assert_eq!((step.notifications_out, step.peer_waits), (1, FOR_NOTHING));
    // What the other side does is no step, but seen in the next one.
    assert!(read(&mut world.server, &mut cx).is_ready());
    assert!(steps.0.borrow().is_empty());
    world.client.other_side().handle_notification();
    let step = take();
    assert_eq!((step.notifications_in, step.fill.undelivered_bytes), (1, Some(0)));
    assert_eq!(world.client.poll_write(&mut cx, &[7; 10]), Poll::Ready(Ok(10)));
    assert_eq!(
        (take().waits, world.rings.flow(2).unwrap().info.unwrap().sent_bytes),
        (FOR_NOTHING, 4106)
    );
    world.rings.notify();
    assert_eq!(take().notifications_suppressed, 1, "the server has not asked again");
    assert!(read(&mut world.client, &mut cx).is_pending());
    let step = take();
    assert_eq!((step.stalls_empty, step.waits), (1, FOR_BYTES));
    assert_eq!(world.server.poll_write(&mut cx, b"answer"), Poll::Ready(Ok(6)));
    assert!(read(&mut world.client, &mut cx).is_ready());
    let step = take();
    assert_eq!((step.received_bytes, step.fill.unread_bytes), (6, Some(0)));
    world.client.abort();
    take();
}

#[test]
fn the_other_side_that_waits_for_room_is_seen() {
    let mut world = world();
    let steps = watched(&world, 1);
    let mut cx = peek();
    assert_eq!(world.client.poll_write(&mut cx, &[7; 4096]), Poll::Ready(Ok(4096)));
    assert!(world.client.poll_write(&mut cx, &[7]).is_pending());
    assert!(world.rings.may_sleep());
    world.server.other_side().handle_notification();
    assert_eq!(steps.0.take()[0].peer_waits, Waits { for_bytes: true, for_room: true });
}

#[test]
fn who_looks_no_more_is_shown_nothing_and_others_still_are() {
    let mut world = world();
    let (one, other) = (watched(&world, 2), watched(&world, 2));
    let mut cx = peek();
    assert!(world.client.poll_write(&mut cx, &[7]).is_ready());
    assert_eq!((one.0.borrow().len(), other.0.borrow().len()), (1, 1));
    let weak = Rc::downgrade(&one);
    drop(one);
    assert!(weak.upgrade().is_none(), "a flow keeps no watcher");
    assert!(world.client.poll_write(&mut cx, &[7]).is_ready());
    assert_eq!(other.0.borrow().len(), 2);
}

#[test]
fn there_is_no_flow_of_another_number() {
    let world = world();
    let watcher: Rc<dyn Watcher> = Rc::new(Steps::default());
    for number in [0, 3] {
        assert!(!world.rings.watch(number, &watcher) && world.rings.flow(number).is_none());
    }
    drop(world.server);
    world.rings.notify();
    assert!(!world.rings.watch(1, &watcher));
    assert!(world.rings.watch(2, &watcher));
}
