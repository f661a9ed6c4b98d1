//! A side that lies: it harms itself and nobody else.

use super::{Fake, Random, pair};
use crate::control::{
    LEFT_CONSUMED, LEFT_PRODUCED, ORDERS, RIGHT_CONSUMED, RIGHT_PRODUCED, SERVER_LIVE,
};
use crate::{BadGeometry, Geometry, Readable, Ring, Violation};
use std::vec;

#[test]
fn a_counter_beyond_the_ring_is_a_violation_for_good() {
    for (lie, is_true) in [(4096_u32, true), (4097, false), (u32::MAX, false), (1 << 31, false)] {
        let (memory, mut server, mut client) = pair(12, 12);
        memory.poke(LEFT_PRODUCED, &lie.to_le_bytes());
        assert_eq!(server.readable().is_ok(), is_true, "{lie}");
        memory.poke(LEFT_PRODUCED, &[0; 4]);
        assert_eq!(server.readable().is_ok(), is_true, "{lie}");
        assert_eq!(server.read(&mut [0; 9]).is_ok(), is_true);
        assert_eq!(server.write(b"x").is_ok(), is_true);
        client.write(&[7; 4096]).unwrap();
        memory.poke(LEFT_CONSUMED, &4096_u32.wrapping_sub(lie).to_le_bytes());
        assert_eq!(client.room().is_ok(), is_true, "{lie}");
    }
}

#[test]
fn a_counter_that_changes_between_two_looks_moves_no_more_than_was_checked() {
    // Whichever access it comes before: bytes from beyond the ring would be an index out of range in the fake.
    for access in 1..20 {
        for lie in [4096_u32, 4097, 1 << 20, u32::MAX] {
            let (memory, mut server, mut client) = pair(12, 12);
            client.write(&[7; 100]).unwrap();
            let liar = memory.clone();
            memory.interrupt(access, move || liar.poke(LEFT_PRODUCED, &lie.to_le_bytes()));
            let mut into = vec![0; 10_000];
            match server.read(&mut into) {
                Ok(count) => assert!(count == 100 || lie == 4096 && count == 4096, "{count}"),
                Err(Violation) => assert!(lie > 4096),
            }
        }
    }
}

#[test]
fn our_own_counters_are_not_read_back() {
    let (memory, mut server, mut client) = pair(12, 12);
    client.write(b"abcdef").unwrap();
    memory.poke(LEFT_CONSUMED, &[0xFF; 4]);
    let mut read = [0; 3];
    assert_eq!((server.read(&mut read), &read), (Ok(3), b"abc"));
    memory.poke(LEFT_CONSUMED, &[0xFF; 4]);
    assert_eq!((server.read(&mut read), &read), (Ok(3), b"def"));
    server.write(b"abc").unwrap();
    memory.poke(RIGHT_PRODUCED, &[0xFF; 4]);
    assert_eq!(server.room(), Ok(4093));
    server.write(b"def").unwrap();
    let mut read = [0; 6];
    assert_eq!((client.read(&mut read), &read), (Ok(6), b"abcdef"));
}

#[test]
fn the_orders_are_read_once() {
    let (memory, _, mut client) = pair(12, 12);
    memory.poke(ORDERS, &[20, 0, 20, 0]);
    assert_eq!(client.write(&[0; 9999]), Ok(4096));
    memory.poke(ORDERS, &[10, 0, 11, 0]);
    assert_eq!(client.write(&[0; 9999]), Ok(0));
}

#[test]
fn a_client_does_not_join_what_cannot_be() {
    let memory = Fake::new(4096 * 3);
    let geometry = Geometry::new(12, 12).unwrap();
    let _server = Ring::serve(memory.clone(), geometry).unwrap();
    for orders in [[9, 0, 12, 0], [12, 0, 13, 0], [12, 1, 12, 0], [0; 4], [0xFF; 4], [11, 0, 11, 0]]
    {
        memory.poke(ORDERS, &orders);
        assert_eq!(Ring::join(memory.clone()).err(), Some(BadGeometry), "{orders:?}");
    }
    assert_eq!(Ring::join(Fake::new(4095)).err(), Some(BadGeometry));
    assert_eq!(Ring::serve(Fake::new(4096 * 3 - 1), geometry).err(), Some(BadGeometry));
}

#[test]
fn a_server_that_is_gone_already_ends_its_client_at_once() {
    let (memory, ..) = pair(12, 12);
    memory.poke(SERVER_LIVE, &[0]);
    let mut client = Ring::join(memory).unwrap();
    assert_eq!(client.await_readable(), Ok(Readable::CutOff));
}

/// Anything in the control page, at any time: calls return, and move no more than was asked for.
#[test]
fn noise_in_the_control_page_is_survived() {
    for seed in 1..300 {
        let mut random = Random(seed);
        let (memory, mut server, mut client) = pair(12, 11);
        for _ in 0..200 {
            let offset = [LEFT_CONSUMED, LEFT_PRODUCED, RIGHT_CONSUMED, RIGHT_PRODUCED, 20, 24];
            let offset = offset[random.below(6)] + random.below(4);
            memory.poke(offset, &[random.below(256) as u8]);
            let ring = if random.below(2) == 0 { &mut server } else { &mut client };
            let count = random.below(6000);
            let moved = match random.below(6) {
                0 => ring.read(&mut vec![0; count]).unwrap_or(0),
                1 => ring.write(&vec![1; count]).unwrap_or(0),
                2 => usize::from(ring.await_readable().is_err()),
                3 => usize::from(ring.await_room().is_err()),
                4 => usize::from(ring.await_delivery().is_err()),
                _ => usize::from(ring.poll_transmit()),
            };
            assert!(moved <= count.max(1));
        }
    }
}
