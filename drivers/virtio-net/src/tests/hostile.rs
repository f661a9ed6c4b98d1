//! Devices that break the rules.

use super::*;

/// The driver has seen the fault, reset the device, and touches it no more.
fn assert_stopped(card: &mut Card, fault: Fault, name: &str) {
    assert_eq!(card.net.error(), Some(Error::Broken(fault)), "{name}");
    assert_eq!(card.side.status(), 0, "{name}: reset");
    assert_eq!(card.receive(), None, "{name}");
    assert!(!card.send(&[1; 60]), "{name}");
    let doorbells = card.side.doorbells(TRANSMIT_QUEUE);
    card.net.flush();
    assert!(card.net.arm(), "{name}: nothing will come");
    assert_eq!(card.side.doorbells(TRANSMIT_QUEUE), doorbells, "{name}");
}

/// Offsets in the used ring (2.7.8).
const USED_ID: u64 = 4;
const USED_LENGTH: u64 = 8;

#[test]
fn receive_rings_that_lie_stop_the_device() {
    type Act = fn(&DeviceSide);
    fn put(side: &DeviceSide, id: u32, bytes: u32) {
        side.put(RECEIVE_QUEUE, id, bytes);
    }
    fn merged(side: &DeviceSide, buffers: u16) {
        let chain = side.take(RECEIVE_QUEUE).unwrap();
        let mut header = [0; 12];
        header[10..].copy_from_slice(&buffers.to_le_bytes());
        side.write(&chain, &header);
        put(side, chain.id.into(), 72);
    }
    let cases: [(&str, Fault, Act); 14] = [
        ("one more buffer than there are", Fault::UsedIndex, |side| {
            side.set_put(RECEIVE_QUEUE, 65);
        }),
        ("a count far ahead", Fault::UsedIndex, |side| {
            side.set_put(RECEIVE_QUEUE, 0x8000);
        }),
        ("a count that goes back", Fault::UsedIndex, |side| {
            side.set_put(RECEIVE_QUEUE, 0xffff);
        }),
        ("the second buffer first", Fault::UsedId, |side| put(side, 1, 72)),
        ("the last buffer first", Fault::UsedId, |side| put(side, 63, 72)),
        ("a buffer beyond the table", Fault::UsedId, |side| put(side, 64, 72)),
        ("a buffer far beyond the table", Fault::UsedId, |side| put(side, u32::MAX, 72)),
        ("an id that is right in its low half", Fault::UsedId, |side| put(side, 0x1_0000, 72)),
        ("a byte more than the buffer has", Fault::UsedLength, |side| put(side, 0, 2049)),
        ("far more than the buffer has", Fault::UsedLength, |side| put(side, 0, u32::MAX)),
        ("nothing", Fault::UsedLength, |side| put(side, 0, 0)),
        ("less than a header", Fault::UsedLength, |side| put(side, 0, 11)),
        ("a frame in no buffers", Fault::Merged, |side| merged(side, 0)),
        ("a frame in more buffers than there are", Fault::Merged, |side| merged(side, 65)),
    ];
    for (name, fault, act) in cases {
        let mut card = Card::new(ALL);
        act(&card.side);
        assert_eq!(card.receive(), None, "{name}");
        assert_stopped(&mut card, fault, name);
    }
}

#[test]
fn a_lie_in_a_later_buffer_of_a_frame_stops_the_device() {
    let cases = [
        ("a wrong id", Fault::UsedId, 2, 2048),
        ("a length beyond the buffer", Fault::UsedLength, 1, 4096),
        ("no length", Fault::UsedLength, 1, 0),
    ];
    for (name, fault, id, bytes) in cases {
        let mut card = Card::new(ALL);
        let chain = card.side.take(RECEIVE_QUEUE).unwrap();
        card.side.write(&chain, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
        card.side.put(RECEIVE_QUEUE, chain.id.into(), 2048);
        card.side.put(RECEIVE_QUEUE, id, bytes);
        assert_eq!(card.receive(), None, "{name}");
        assert_stopped(&mut card, fault, name);
    }
}

#[test]
fn a_count_that_goes_back_while_a_frame_is_incomplete_stops_the_device() {
    let mut card = Card::new(ALL);
    let chain = card.side.take(RECEIVE_QUEUE).unwrap();
    card.side.write(&chain, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    card.side.put(RECEIVE_QUEUE, chain.id.into(), 2048);
    assert_eq!(card.receive(), None);
    assert_eq!(card.net.error(), None);
    card.side.set_put(RECEIVE_QUEUE, 0);
    assert_eq!(card.receive(), None);
    assert_stopped(&mut card, Fault::UsedIndex, "back");
}

/// The longest that there can be: no lie.
#[test]
fn a_frame_in_all_buffers_and_one_without_a_byte_are_no_faults() {
    let mut card = Card::new(ALL);
    card.deliver(2, &[]);
    assert_eq!(card.receive(), None);
    assert_eq!((card.net.error(), card.net.counters().received_dropped), (None, 1));
    let frame = pattern(1, 64 * 2048 - 12);
    card.net.flush();
    card.deliver(2, &frame);
    assert!(card.receive() == Some(frame));
}

#[test]
fn a_buffer_returned_twice_stops_the_device() {
    let mut card = Card::new(ALL);
    card.deliver(2, &[0; 60]);
    assert!(card.receive().is_some());
    card.side.put(RECEIVE_QUEUE, 0, 72);
    assert_eq!(card.receive(), None);
    assert_stopped(&mut card, Fault::UsedId, "twice");
}

#[test]
fn transmit_rings_that_lie_stop_the_device() {
    type Act = fn(&DeviceSide);
    let cases: [(&str, Fault, Act); 5] = [
        ("one more frame than was sent", Fault::UsedIndex, |side| {
            side.set_put(TRANSMIT_QUEUE, 4);
        }),
        ("a count that goes back", Fault::UsedIndex, |side| {
            side.set_put(TRANSMIT_QUEUE, 0xfff0);
        }),
        ("the second frame first", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 1, 0);
        }),
        ("a frame never sent", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 9, 0);
        }),
        ("a frame beyond the table", Fault::UsedId, |side| {
            side.put(TRANSMIT_QUEUE, 1 << 31, 0);
        }),
    ];
    for (name, fault, act) in cases {
        let mut card = Card::new(ALL);
        for _ in 0..3 {
            assert!(card.send(&[1; 60]));
        }
        card.net.flush();
        act(&card.side);
        card.net.flush();
        assert_stopped(&mut card, fault, name);
    }
}

#[test]
fn frames_that_the_device_was_not_shown_cannot_be_returned() {
    let mut card = Card::new(ALL);
    assert!(card.send(&[1; 60]));
    card.side.put(TRANSMIT_QUEUE, 0, 0);
    card.net.flush();
    assert_stopped(&mut card, Fault::UsedIndex, "not shown");
}

#[test]
fn a_device_that_gives_up_is_stopped() {
    const NEEDS_RESET: u8 = 64;
    let mut card = Card::new(ALL);
    card.side.set_status(NEEDS_RESET);
    card.side.configure(6, 1);
    assert!(card.net.arm());
    assert_stopped(&mut card, Fault::NeedsReset, "needs reset");
}

#[test]
fn a_stopped_card_can_be_started_anew() {
    for act in [(|side| side.set_put(RECEIVE_QUEUE, 999)) as fn(&DeviceSide) -> bool, |side| {
        side.put(TRANSMIT_QUEUE, 7, 0)
    }] {
        let mut card = Card::new(ALL);
        for round in 0..3 {
            card.deliver(2, &[round; 60]);
            assert_eq!(card.receive(), Some(vec![round; 60]));
            assert!(card.send(&[round; 70]));
            card.net.flush();
            act(&card.side);
            assert_eq!(card.receive(), None);
            card.net.flush();
            assert!(!card.send(&[1; 60]));
            assert!(card.net.error().is_some());
            card.net.restart().unwrap();
            assert_eq!(card.net.error(), None);
            assert_eq!(card.side.waiting(RECEIVE_QUEUE), 64, "all buffers are posted");
            assert_eq!(card.side.waiting(TRANSMIT_QUEUE), 0, "nothing is sent twice");
        }
    }
}

#[test]
fn a_card_does_not_start_anew_with_less() {
    let mut card = Card::new(ALL);
    card.side.set_put(RECEIVE_QUEUE, 999);
    assert_eq!(card.receive(), None);
    card.side.offer(ALL & !CSUM);
    assert_eq!(card.net.restart(), Err(Error::Unsupported("what it offered before")));
    assert!(card.net.error().is_some());
    card.side.offer(ALL);
    assert_eq!(card.net.restart(), Ok(()));
}

#[test]
fn random_used_rings_do_no_harm() {
    let seeds = 1..=3000;
    for seed in seeds {
        let mut random = Random(seed);
        let mut card = Card::new(if random.below(4) == 0 { ALL & !MRG_RXBUF } else { ALL });
        for _ in 0..random.below(40) {
            act_at_random(&mut card, &mut random);
            let in_ring = 64 * 2048;
            while let Some(frame) = card.receive() {
                assert!(frame.len() <= in_ring, "seed {seed}");
            }
            card.send(&[1; 60]);
            card.net.arm();
        }
    }
}

/// One thing that a device does, often right and often nearly right.
fn act_at_random(card: &mut Card, random: &mut Random) {
    let side = &card.side;
    let queue = random.below(2) as u16;
    match random.below(8) {
        0..3 => {
            let Some(chain) = side.take(RECEIVE_QUEUE) else { return };
            let mut bytes = pattern(random.next() | 1, 12 + random.below(200) as usize);
            bytes[10..12].copy_from_slice(&(random.below(4) as u16).to_le_bytes());
            side.write(&chain, &bytes);
            let lie = [0, 0, 0, 1, 2048][random.below(5) as usize];
            side.put(RECEIVE_QUEUE, chain.id.into(), bytes.len() as u32 + lie);
        }
        3 => {
            if let Some(chain) = side.take(TRANSMIT_QUEUE) {
                side.put(TRANSMIT_QUEUE, chain.id.into(), random.next() as u32);
            }
        }
        4 => {
            side.put(queue, random.below(70) as u32, random.below(3000) as u32);
        }
        5 => {
            side.set_put(queue, random.next() as u16);
        }
        6 => {
            let slot = 8 * random.below(16);
            let field = if random.below(2) == 0 { USED_ID } else { USED_LENGTH };
            side.scribble(queue, slot + field, &(random.next() as u32).to_le_bytes());
        }
        _ => side.want_doorbell_after(queue, random.next() as u16),
    }
}
