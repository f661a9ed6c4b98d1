//! Notifications: none that nobody waits for, and none that is lost.

use super::{Fake, pair};
use crate::control::{CLIENT_NOTIFY, NOTIFY_READ, NOTIFY_WRITTEN, SERVER_NOTIFY};
use crate::{Readable, Ring};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// More accesses than any call makes.
const ACCESSES: usize = 40;

#[test]
fn a_side_is_notified_of_what_it_asked_for_and_once() {
    let (memory, mut server, mut client) = pair(12, 12);
    // Whoever comes is to be told of the first bytes, as libxenvchan has it.
    assert_eq!(memory.byte(CLIENT_NOTIFY) & NOTIFY_WRITTEN, NOTIFY_WRITTEN);
    assert_eq!(memory.byte(SERVER_NOTIFY) & NOTIFY_WRITTEN, NOTIFY_WRITTEN);
    client.write(b"first").unwrap();
    assert!(client.poll_transmit());
    client.write(b"second").unwrap();
    assert!(!client.poll_transmit(), "nobody asked again");
    assert_eq!(server.read(&mut [0; 99]), Ok(11));
    assert!(!server.poll_transmit(), "nobody waits for room");
    assert_eq!(server.await_readable(), Ok(Readable::Nothing));
    client.write(b"third").unwrap();
    assert!(client.poll_transmit());
    assert!(!client.poll_transmit());
}

#[test]
fn several_writes_are_one_notification() {
    let (_, mut server, mut client) = pair(12, 12);
    assert_eq!(server.await_readable(), Ok(Readable::Nothing));
    for _ in 0..9 {
        client.write(b"part").unwrap();
    }
    assert!(client.may_transmit() && client.poll_transmit());
    assert!(!client.may_transmit());
}

#[test]
fn who_waits_for_room_is_told_of_reading_and_not_of_writing() {
    let (memory, mut server, mut client) = pair(12, 12);
    client.write(&[7; 4096]).unwrap();
    client.poll_transmit();
    assert_eq!(client.await_room(), Ok(0));
    assert_eq!(memory.byte(SERVER_NOTIFY) & NOTIFY_READ, NOTIFY_READ);
    // The client has been told of the first bytes, and asked for no others.
    memory.clear(CLIENT_NOTIFY, 0);
    server.write(b"unasked").unwrap();
    server.poll_transmit();
    assert_eq!(memory.byte(SERVER_NOTIFY) & NOTIFY_READ, NOTIFY_READ, "it still waits for room");
    server.read(&mut [0; 1]).unwrap();
    assert!(server.poll_transmit());
    assert_eq!(client.await_room(), Ok(1));
}

#[test]
fn who_waits_for_delivery_is_told_of_reading() {
    let (_, mut server, mut client) = pair(12, 12);
    assert_eq!(client.await_delivery(), Ok(0));
    client.write(b"all of it").unwrap();
    assert_eq!(client.await_delivery(), Ok(9));
    server.read(&mut [0; 9]).unwrap();
    assert!(server.poll_transmit());
    assert_eq!(client.await_delivery(), Ok(0));
}

/// Lets the second act at each access that the first makes: one of the two must learn of the other.
fn no_wake_up_is_lost(
    prepare: impl Fn(&mut Ring<Fake>, &mut Ring<Fake>),
    waits: impl Fn(&mut Ring<Fake>) -> bool + 'static,
    acts: impl Fn(&mut Ring<Fake>) -> bool + 'static,
) {
    let (waits, acts) = (Rc::new(waits), Rc::new(acts));
    let mut interrupted = 0;
    for access in 1..ACCESSES {
        for waiter_first in [true, false] {
            let (memory, mut server, mut client) = pair(12, 12);
            client.write(b"x").unwrap();
            client.poll_transmit();
            server.read(&mut [0; 1]).unwrap();
            server.poll_transmit();
            prepare(&mut server, &mut client);
            let (waited, acted) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
            let wait = {
                let (waited, waits, server) = (waited.clone(), waits.clone(), RefCell::new(server));
                move || waited.set(Some(waits(&mut server.borrow_mut())))
            };
            let act = {
                let (acted, acts, client) = (acted.clone(), acts.clone(), RefCell::new(client));
                move || acted.set(Some(acts(&mut client.borrow_mut())))
            };
            if waiter_first {
                memory.interrupt(access, act);
                wait();
            } else {
                memory.interrupt(access, wait);
                act();
            }
            if memory.was_interrupted() {
                interrupted += 1;
                let learnt = waited.get() == Some(true) || acted.get() == Some(true);
                assert!(learnt, "at access {access}, the waiter first: {waiter_first}");
            }
        }
    }
    assert!(interrupted > 6, "{interrupted}");
}

#[test]
fn bytes_that_come_while_one_begins_to_wait_are_seen_or_told_of() {
    no_wake_up_is_lost(
        |_, _| {},
        |server| server.await_readable() != Ok(Readable::Nothing),
        |client| client.write(b"bytes") == Ok(5) && client.poll_transmit(),
    );
}

#[test]
fn room_that_comes_while_one_begins_to_wait_is_seen_or_told_of() {
    no_wake_up_is_lost(
        |server, _| assert_eq!(server.write(&[1; 4096]), Ok(4096)),
        |server| server.await_room() != Ok(0),
        |client| client.read(&mut [0; 9]) == Ok(9) && client.poll_transmit(),
    );
}

#[test]
fn delivery_that_comes_while_one_begins_to_wait_is_seen_or_told_of() {
    no_wake_up_is_lost(
        |server, _| assert_eq!(server.write(&[1; 9]), Ok(9)),
        |server| server.await_delivery() == Ok(0),
        |client| client.read(&mut [0; 9]) == Ok(9) && client.poll_transmit(),
    );
}

#[test]
fn an_end_that_comes_while_one_begins_to_wait_is_seen_or_told_of() {
    no_wake_up_is_lost(
        |_, _| {},
        |server| server.await_readable() == Ok(Readable::End),
        |client| {
            client.finish();
            client.poll_transmit()
        },
    );
}

impl Fake {
    /// Sets the notifications that are asked for there, others being as they were.
    fn clear(&self, offset: usize, asked: u8) {
        let others = self.byte(offset) & !(NOTIFY_READ | NOTIFY_WRITTEN);
        self.poke(offset, &[others | asked]);
    }
}
