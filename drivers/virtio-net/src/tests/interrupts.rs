//! Who is told of what, and when not.

use super::*;

const PLAIN: u64 = ALL & !feature::EVENT_IDX;

#[test]
fn a_batch_has_one_doorbell() {
    for features in [ALL, PLAIN] {
        let mut card = Card::new(features);
        for _ in 0..10 {
            assert!(card.send(&[1; 60]));
        }
        assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), 0);
        card.net.flush();
        assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), 1);
        assert_eq!(card.side.available(TRANSMIT_QUEUE), 10);
        card.net.flush();
        assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), 1);
    }
}

#[test]
fn a_device_that_is_awake_gets_no_doorbell() {
    let mut card = Card::new(PLAIN);
    card.side.want_doorbells(TRANSMIT_QUEUE, false);
    assert!(card.send(&[1; 60]));
    card.net.flush();
    assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), 0);
    card.side.want_doorbells(TRANSMIT_QUEUE, true);
    assert!(card.send(&[1; 60]));
    card.net.flush();
    assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), 1);
}

#[test]
fn doorbells_follow_the_event_index_round_its_end() {
    let mut card = Card::new(ALL);
    let mut rung = 0;
    for sent in 0..70_000_u32 {
        // Every third frame is asked for.
        card.side.want_doorbell_after(TRANSMIT_QUEUE, (sent / 3 * 3) as u16);
        assert!(card.send(&[1; 60]));
        card.net.flush();
        card.sent();
        rung += u64::from(sent % 3 == 0);
        assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), rung, "after frame {sent}");
    }
}

#[test]
fn receive_buffers_are_announced_when_the_device_waits_for_them() {
    let mut card = Card::new(ALL);
    let announced = card.side.doorbells(RECEIVE_QUEUE);
    for _ in 0..5 {
        card.deliver(2, &[0; 60]);
    }
    while card.receive().is_some() {}
    card.net.flush();
    assert_eq!(card.side.doorbells(RECEIVE_QUEUE), announced, "it has buffers left");
    card.side.want_doorbell_after(RECEIVE_QUEUE, card.side.available(RECEIVE_QUEUE));
    card.deliver(2, &[0; 60]);
    assert!(card.receive().is_some());
    card.net.flush();
    assert_eq!(card.side.doorbells(RECEIVE_QUEUE), announced + 1);
}

#[test]
fn interrupts_are_off_while_polling_and_on_while_waiting() {
    for features in [ALL, PLAIN] {
        let mut card = Card::new(features);
        for _ in 0..200 {
            assert!(card.net.prepare_to_wait());
            assert!(card.deliver(2, &[0; 60]), "the first frame wakes");
            card.side.interrupt();
            assert!(card.receive().is_some());
            assert!(!card.deliver(2, &[0; 60]), "the second does not");
            assert!(card.receive().is_some());
        }
        card.net.prepare_to_wait();
        assert_eq!(card.net.counters().interrupts, 200);
    }
}

#[test]
fn a_frame_that_slips_in_before_the_wait_is_noticed() {
    for features in [ALL, PLAIN] {
        let mut card = Card::new(features);
        assert_eq!(card.receive(), None);
        card.deliver(2, &[0; 60]);
        assert!(!card.net.prepare_to_wait());
        assert!(card.receive().is_some());
        assert!(card.net.prepare_to_wait());
    }
}

#[test]
fn sent_frames_raise_no_interrupt() {
    for features in [ALL, PLAIN] {
        let mut card = Card::new(features);
        for _ in 0..100 {
            assert!(card.send(&[1; 60]));
            assert!(card.net.prepare_to_wait());
            let chain = card.side.take(TRANSMIT_QUEUE).unwrap();
            assert!(!card.side.put(TRANSMIT_QUEUE, chain.id.into(), 0));
        }
    }
}

#[test]
fn a_full_ring_wakes_once_there_is_some_room() {
    for features in [ALL, PLAIN] {
        let mut card = Card::new(features);
        for _ in 0..50 {
            while card.send(&[1; 60]) {}
            assert!(card.net.prepare_to_wait());
            let mut first = None;
            for returned in 1..=16 {
                let chain = card.side.take(TRANSMIT_QUEUE).unwrap();
                if card.side.put(TRANSMIT_QUEUE, chain.id.into(), 0) {
                    first.get_or_insert(returned);
                }
            }
            // Without event index the device cannot wait until the half is free.
            let expected = if features == ALL { 9 } else { 1 };
            assert_eq!(first, Some(expected));
            assert!(!card.net.prepare_to_wait(), "there is room now");
            assert!(card.send(&[1; 60]));
            assert!(card.net.prepare_to_wait());
            let chain = card.side.take(TRANSMIT_QUEUE).unwrap();
            assert!(!card.side.put(TRANSMIT_QUEUE, chain.id.into(), 0), "nobody waits for it");
        }
    }
}
