//! Who is told of what, and when not; and what a wait waits for.

use super::*;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::time::Duration;
use machine::idle::fake::meanwhile;

/// An interface that works, with its backend.
fn working() -> (Bench, Backend) {
    let mut bench = Bench::new();
    let backend = bench.connect();
    (bench, backend)
}

fn queue(bench: &mut Bench, bytes: usize) -> bool {
    let build = &mut |buffer: &mut [u8]| buffer.fill(1);
    bench.card.transmitter().transmit(TxFrame::new(bytes), build)
}

#[test]
fn a_batch_has_one_event() {
    let (mut bench, mut backend) = working();
    let [transmit, receive] = bind_events(&bench).try_into().unwrap();
    for _ in 0..3 {
        assert!(queue(&mut bench, 60));
        assert!(!transmit.take());
    }
    for is_told in [true, false] {
        bench.card.flush();
        assert_eq!((transmit.take(), receive.take()), (is_told, false));
    }
    assert_eq!(bench.card.counters().notifications, 1);
    // A backend that is awake needs none.
    bench.send(&[1; 60], None);
    assert!(!transmit.take());
    while let Some(sent) = backend.take() {
        backend.complete(&sent);
    }
    backend.want_offers();
    backend.send(&tcp_frame(20), 1, false);
    assert!(bench.receive().is_some());
    bench.card.flush();
    assert_eq!((transmit.take(), receive.take()), (false, true));
    assert_eq!(bench.card.counters().notifications, 2);
}

#[test]
fn one_channel_tells_of_both_directions() {
    let mut bench = Bench::with(&[("feature-split-event-channels", "0")]);
    let mut backend = bench.connect();
    let [port] = bind_events(&bench).try_into().unwrap();
    for (sends, receives) in [(true, false), (false, true), (true, true), (false, false)] {
        if sends {
            backend.want_frames();
            assert!(queue(&mut bench, 60));
        }
        if receives {
            backend.want_offers();
            backend.send(&tcp_frame(20), 1, false);
            assert!(bench.receive().is_some());
        }
        bench.card.flush();
        assert_eq!(port.take(), sends || receives, "{sends} {receives}");
        while let Some(sent) = backend.take() {
            backend.complete(&sent);
        }
    }
    assert_eq!(bench.card.counters().notifications, 3);
    for interrupts in 1..=2 {
        port.notify();
        assert!(bench.card.prepare_to_wait());
        assert_eq!(bench.card.counters().interrupts, interrupts);
    }
}

#[test]
fn events_of_one_wait_count_once() {
    let (mut bench, _backend) = working();
    let [transmit, receive] = bind_events(&bench).try_into().unwrap();
    for (ports, interrupts) in
        [(&[&transmit][..], 1), (&[&receive], 2), (&[&transmit, &receive], 3), (&[], 3)]
    {
        ports.iter().for_each(|port| port.notify());
        assert!(bench.card.prepare_to_wait());
        assert_eq!(bench.card.counters().interrupts, interrupts);
    }
}

#[test]
fn events_are_off_while_polling_and_on_while_waiting() {
    let (mut bench, mut backend) = working();
    for _ in 0..100 {
        assert!(bench.card.prepare_to_wait());
        assert!(backend.send(&tcp_frame(20), 1, false), "the first frame wakes");
        assert!(bench.receive().is_some());
        assert!(!backend.send(&tcp_frame(20), 1, false), "the second does not");
        assert!(bench.receive().is_some());
    }
}

#[test]
fn a_frame_that_slips_in_before_the_wait_is_noticed() {
    let (mut bench, mut backend) = working();
    assert_eq!(bench.receive(), None);
    backend.send(&tcp_frame(20), 1, false);
    assert!(!bench.card.prepare_to_wait());
    assert!(bench.receive().is_some());
    assert!(bench.card.prepare_to_wait());
}

#[test]
fn sent_frames_raise_no_event() {
    let (mut bench, mut backend) = working();
    for nth in 0..100 {
        bench.send(&[1; 60], None);
        assert!(bench.card.prepare_to_wait());
        let sent = backend.take().unwrap();
        // A ring begins with one that is wanted (io/ring.h).
        assert_eq!(backend.complete(&sent), nth == 0);
    }
}

#[test]
fn a_full_ring_wakes_once_half_of_it_is_free() {
    let (mut bench, mut backend) = working();
    for _ in 0..50 {
        for _ in 0..4 {
            assert!(queue(&mut bench, 60));
        }
        assert!(!queue(&mut bench, 60));
        assert!(bench.card.prepare_to_wait());
        let wakes: Vec<bool> =
            core::iter::from_fn(|| backend.take().map(|sent| backend.complete(&sent))).collect();
        assert_eq!(wakes, [false, false, true, false]);
        assert!(!bench.card.prepare_to_wait(), "there is room now");
        assert!(queue(&mut bench, 60));
        assert!(bench.card.prepare_to_wait());
        let sent = backend.take().unwrap();
        assert!(!backend.complete(&sent), "nobody waits for it");
    }
}

#[test]
fn frames_wait_while_there_is_no_room_to_answer() {
    let (mut bench, mut backend) = working();
    while queue(&mut bench, 60) {}
    backend.send(&tcp_frame(20), 1, false);
    assert_eq!(bench.receive(), None);
    assert!(bench.card.prepare_to_wait(), "nothing to do until there is room");
    while let Some(sent) = backend.take() {
        backend.complete(&sent);
    }
    assert!(!bench.card.prepare_to_wait());
    assert!(bench.card.receive(&mut |_, answer| {
        assert!(answer.transmit(TxFrame::new(42), &mut |buffer| buffer.fill(5)));
    }));
    bench.card.flush();
    assert_eq!(backend.take().unwrap().bytes, [5; 42]);
}

/// Until the backend has copied them, or for half a second.
#[test]
fn a_domain_that_ends_waits_for_its_last_frames() {
    let (mut bench, mut backend) = working();
    for byte in 1..=4 {
        let build = &mut |buffer: &mut [u8]| buffer.fill(byte);
        assert!(bench.card.transmitter().transmit(TxFrame::new(60), build));
    }
    let left = Rc::new(RefCell::new(Vec::new()));
    let taken = left.clone();
    meanwhile(move || {
        while let Some(sent) = backend.take() {
            taken.borrow_mut().push(sent.bytes[0]);
            if backend.complete(&sent) {
                return true;
            }
        }
        false
    });
    drop(bench);
    assert_eq!(*left.borrow(), [1, 2, 3, 4]);
    assert_eq!(machine::clock::now(), Duration::ZERO, "no longer than it takes");
}

#[test]
fn a_domain_that_ends_does_not_wait_for_ever() {
    let (mut bench, _backend) = working();
    assert!(queue(&mut bench, 60));
    drop(bench);
    assert_eq!(machine::clock::now(), Duration::from_millis(500));
}

#[test]
fn a_domain_that_ends_waits_for_no_backend_that_has_all_or_breaks_the_rules() {
    for index in [0, 1 << 20] {
        let (mut bench, mut backend) = working();
        if index > 0 {
            assert!(queue(&mut bench, 60));
        }
        backend.set_transmit_responses(index);
        backend.send(&tcp_frame(20), 1, false);
        drop(bench);
        assert_eq!(machine::clock::now(), Duration::ZERO);
    }
}
