//! Frames from the device.

use super::*;
use offload::header::{CHECKSUM_VALID, NEEDS_CHECKSUM};

/// UDP from 10.0.0.1 to 10.0.0.2 with a right checksum.
fn udp() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0x66, 0xcb, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 53, 0, 53, 0, 12, 0xab, 0x09, 0x20, 0x30, 0x20, 0x30]);
    frame
}

#[test]
fn a_frame_is_lent_as_it_came() {
    let mut card = Card::new(ALL);
    let frame = pattern(1, 600);
    card.deliver(NEEDS_CHECKSUM, &frame);
    assert_eq!(card.receive(), Some(frame));
    assert_eq!(card.receive(), None);
    let counters = card.net.counters();
    assert_eq!((counters.received_frames, counters.received_bytes), (1, 600));
}

#[test]
fn frames_of_all_lengths_survive_many_rounds_of_the_ring() {
    let mut card = Card::new(ALL);
    let mut random = Random(7);
    for round in 0..3000 {
        let long = random.below(8) == 0;
        let bytes = 14 + random.below(if long { 65_536 } else { 1501 }) as usize;
        let frame = pattern(round + 1, bytes);
        card.deliver(CHECKSUM_VALID, &frame);
        assert!(card.receive() == Some(frame), "frame {round} of {bytes} bytes");
        if random.below(4) == 0 {
            card.net.flush();
        }
    }
    assert_eq!(card.net.error(), None);
}

#[test]
fn a_batch_is_received_in_order() {
    let mut card = Card::new(ALL);
    let frames: Vec<_> = (1..=60).map(|seed| pattern(seed, 100)).collect();
    for frame in &frames {
        card.deliver(CHECKSUM_VALID, frame);
    }
    for frame in frames {
        assert_eq!(card.receive(), Some(frame));
    }
}

#[test]
fn all_buffers_are_posted_again() {
    let mut card = Card::new(ALL);
    for round in 1..=10_u16 {
        for _ in 0..64 {
            card.deliver(CHECKSUM_VALID, &[0; 60]);
        }
        assert_eq!(card.side.take(RECEIVE_QUEUE), None);
        while card.receive().is_some() {}
        assert_eq!(card.side.available(RECEIVE_QUEUE), 64 * (round + 1));
    }
}

#[test]
fn a_frame_waits_for_all_of_its_buffers() {
    let mut card = Card::new(ALL);
    let frame = pattern(3, 3 * 2048 - 12);
    let mut bytes = vec![0; 12];
    bytes[0] = CHECKSUM_VALID;
    bytes[10] = 3;
    bytes.extend(&frame);
    for (index, piece) in bytes.chunks(2048).enumerate() {
        assert_eq!(card.receive(), None, "{index} of 3 buffers");
        assert!(card.net.prepare_to_wait(), "nothing to do until there are more");
        let chain = card.side.take(RECEIVE_QUEUE).unwrap();
        card.side.write(&chain, piece);
        let interrupt = card.side.put(RECEIVE_QUEUE, chain.id.into(), 2048);
        assert!(interrupt, "each of them makes a difference");
    }
    assert_eq!(card.receive(), Some(frame));
}

#[test]
fn a_frame_with_a_hole_is_dropped() {
    let mut card = Card::new(ALL);
    for (filled, last) in [(2047, 100), (2048, 100)] {
        let first = card.side.take(RECEIVE_QUEUE).unwrap();
        let mut header = [0; 12];
        header[0] = CHECKSUM_VALID;
        header[10] = 2;
        card.side.write(&first, &header);
        let second = card.side.take(RECEIVE_QUEUE).unwrap();
        card.side.put(RECEIVE_QUEUE, first.id.into(), filled);
        card.side.put(RECEIVE_QUEUE, second.id.into(), last);
    }
    assert_eq!(card.receive().map(|frame| frame.len()), Some(2048 - 12 + 100));
    assert_eq!(card.net.counters().received_dropped, 1);
    assert_eq!(card.net.error(), None);
}

#[test]
fn a_frame_without_a_whole_ethernet_header_is_dropped() {
    let mut card = Card::new(ALL);
    card.deliver(CHECKSUM_VALID, &[0; 13]);
    card.deliver(CHECKSUM_VALID, &[0; 14]);
    assert_eq!(card.receive(), Some(vec![0; 14]));
    assert_eq!(card.net.counters().received_dropped, 1);
}

#[test]
fn without_merging_the_buffer_count_means_nothing() {
    let mut card = Card::new(ALL & !MRG_RXBUF);
    let chain = card.side.take(RECEIVE_QUEUE).unwrap();
    let mut bytes = [0; 72];
    bytes[0] = CHECKSUM_VALID;
    bytes[10] = 77;
    card.side.write(&chain, &bytes);
    card.side.put(RECEIVE_QUEUE, chain.id.into(), 72);
    assert_eq!(card.receive(), Some(vec![0; 60]));
}

#[test]
fn without_merging_a_buffer_holds_the_longest_frame() {
    let mut offer = offer(ALL & !MRG_RXBUF);
    offer.configuration[10..].copy_from_slice(&9000_u16.to_le_bytes());
    let (device, side) = fake::device(offer);
    let _net = VirtioNet::open(device, &SETTINGS).unwrap();
    let (_, bytes, _) = side.take(RECEIVE_QUEUE).unwrap().buffers[0];
    // 12 and 14 and 9000, in whole cache lines.
    assert_eq!(bytes, 9088);
}

#[test]
fn checksums_are_checked_where_the_device_did_not() {
    let sound = udp();
    let mut damaged = sound.clone();
    damaged[44] ^= 1;
    let mut left_out = damaged.clone();
    left_out[40..42].fill(0);
    let mut fragment = damaged.clone();
    fragment[20] = 0x20;
    let cases = [
        ("sound", 0, &sound, true),
        ("damaged", 0, &damaged, false),
        ("damaged, but the device vouches", CHECKSUM_VALID, &damaged, true),
        ("not completed", NEEDS_CHECKSUM, &damaged, true),
        ("UDP without a checksum", 0, &left_out, true),
        ("a fragment", 0, &fragment, true),
    ];
    for (name, flags, frame, passes) in cases {
        let mut card = Card::new(ALL);
        card.deliver(flags, frame);
        assert_eq!(card.receive().is_some(), passes, "{name}");
        assert_eq!(card.net.counters().received_dropped, u64::from(!passes), "{name}");
    }
    // Without GUEST_CSUM the stack checks all frames itself.
    let mut card = Card::new(ALL & !GUEST_CSUM);
    assert!(!card.net.capabilities().receive_checksums);
    card.deliver(0, &damaged);
    assert_eq!(card.receive(), Some(damaged));
}
