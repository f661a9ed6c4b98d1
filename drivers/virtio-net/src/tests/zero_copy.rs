//! Frames whose end the device reads where it lies.

use super::transmit::{complete, tcp};
use super::*;
use bytes::Bytes;

/// Sends a frame of which all behind the first `head_bytes` is shared; false when there is no room.
fn send(card: &mut Card, frame: &Bytes, head_bytes: usize, segment: u16) -> bool {
    let (head, tail) = (&frame[..head_bytes], Some(frame.slice(head_bytes..)));
    let frame = TxFrame { head_bytes, tail, segment_bytes: NonZeroU16::new(segment) };
    card.net.transmitter().transmit(frame, &mut |buffer| buffer.copy_from_slice(head))
}

/// A TCP frame without its checksum, in one shared piece.
fn frame(seed: u64, payload_bytes: usize) -> Bytes {
    tcp(false, &pattern(seed, payload_bytes), false).into()
}

#[test]
fn a_shared_tail_is_read_where_it_lies_and_let_go_of_when_the_device_has_it() {
    let mut card = Card::new(ALL);
    let frame = frame(3, 60_000);
    assert!(send(&mut card, &frame, 54, 1440));
    card.net.flush();
    let chain = card.side.take(TRANSMIT_QUEUE).unwrap();
    let at = frame[54..].as_ptr() as u64;
    assert_eq!(chain.buffers.len(), 2);
    assert_eq!((chain.buffers[0].1, chain.buffers[1]), (12 + 54, (at, 60_000, false)));
    let mut whole = Card::new(ALL);
    assert!(whole.send_in_segments(&frame, 1440));
    whole.net.flush();
    assert!(card.side.read(&chain) == whole.sent_one().unwrap(), "header and all as if copied");
    assert!(!frame.is_unique());
    card.side.put(TRANSMIT_QUEUE, chain.id.into(), 0);
    card.net.flush();
    assert!(frame.is_unique());
    let counters = card.net.counters();
    assert_eq!((counters.sent_segmented, counters.sent_bytes), (1, 60_054));
}

#[test]
fn the_checksum_is_right_wherever_the_tail_begins() {
    let frame = frame(4, 1_000);
    for head_bytes in 54..=frame.len() {
        let mut card = Card::new(ALL);
        assert!(send(&mut card, &frame, head_bytes, 0));
        card.net.flush();
        let sent = card.sent_one().unwrap();
        let (header, sent) = sent.split_at(12);
        let mut sent = sent.to_vec();
        complete(header, &mut sent);
        assert!(sent == tcp(false, &pattern(4, 1_000), true), "{head_bytes}");
    }
}

#[test]
fn without_checksum_offload_the_tail_is_copied() {
    let mut card = Card::new(ALL & !CSUM);
    let frame = frame(5, 1_000);
    assert!(send(&mut card, &frame, 54, 0));
    assert!(frame.is_unique());
    card.net.flush();
    assert_eq!(card.sent(), [[&[0; 12], &frame[..]].concat()]);
}

#[test]
fn shared_and_copied_frames_survive_many_rounds_of_the_region() {
    let mut card = Card::new(ALL);
    let mut random = Random(12);
    let mut queued = alloc::collections::VecDeque::new();
    for seed in 1..4_000 {
        let long = frame(seed, 1 + random.below(9_000) as usize);
        let head_bytes = 54 + random.below(2) as usize * (long.len() - 54);
        if send(&mut card, &long, head_bytes, 1440) {
            queued.push_back((long, head_bytes));
            card.net.flush();
        } else {
            assert!(!queued.is_empty(), "room for one when nothing is in flight");
        }
        while random.below(3) == 0
            && let Some((frame, head_bytes)) = queued.pop_front()
        {
            assert_eq!(frame.is_unique(), head_bytes == frame.len());
            // The checksum's place differs.
            assert!(card.sent_one().unwrap()[12 + 54..] == frame[54..], "frame {seed}");
            card.net.flush();
            assert!(frame.is_unique(), "frame {seed}");
        }
    }
    assert_eq!(card.net.error(), None);
}

#[test]
fn a_device_that_returns_a_shared_frame_twice_or_out_of_turn_is_stopped() {
    type Act = fn(&DeviceSide);
    let cases: [(&str, Fault, Act); 4] = [
        ("twice", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 0, 0);
            side.put(TRANSMIT_QUEUE, 0, 0);
        }),
        ("the second first", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 1, 0);
        }),
        ("by the tail", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 16, 0);
        }),
        ("more than there were", Fault::UsedIndex, |side| {
            side.set_put(TRANSMIT_QUEUE, 3);
        }),
    ];
    for (name, fault, act) in cases {
        let mut card = Card::new(ALL);
        let frames = [frame(6, 5_000), frame(7, 5_000)];
        for frame in &frames {
            assert!(send(&mut card, frame, 54, 1440));
        }
        card.net.flush();
        act(&card.side);
        card.net.flush();
        assert_eq!(card.net.error(), Some(Error::Broken(fault)), "{name}");
        assert!(!send(&mut card, &frames[0], 54, 1440), "{name}");
        // Until it has been reset it may read on.
        assert!(!frames[1].is_unique(), "{name}");
        card.net.restart().unwrap();
        assert!(frames.iter().all(Bytes::is_unique), "{name}");
        assert!(send(&mut card, &frames[1], 54, 1440), "{name}");
        card.net.flush();
        assert!(card.sent_one().unwrap()[12 + 54..] == frames[1][54..], "{name}");
    }
}

#[test]
fn a_card_that_is_dropped_lets_go_of_what_it_holds() {
    let mut card = Card::new(ALL);
    let frame = frame(8, 5_000);
    assert!(send(&mut card, &frame, 54, 1440));
    card.net.flush();
    drop(card);
    assert!(frame.is_unique());
}
