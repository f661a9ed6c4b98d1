//! Bytes over the end of a ring, and counters over the end of a word.

use super::{Fake, pair};
use crate::control::{LEFT_CONSUMED, LEFT_PRODUCED, RIGHT_CONSUMED, RIGHT_PRODUCED};
use crate::{Readable, Ring};
use std::vec;
use std::vec::Vec;

fn numbered(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|number| (number % 251) as u8).collect()
}

/// Moves `count` bytes, numbered from `from` on.
fn carry(writer: &mut Ring<Fake>, reader: &mut Ring<Fake>, from: usize, count: usize) {
    let bytes = numbered(from, count);
    assert_eq!(writer.write(&bytes), Ok(count));
    let mut read = vec![0; count];
    assert_eq!(reader.read(&mut read), Ok(count));
    assert!(read == bytes, "{count} bytes from {from}");
}

#[test]
fn every_length_at_every_place_of_the_ring_arrives() {
    let (_, mut server, mut client) = pair(10, 11);
    let mut carried = 0;
    // 1021 is prime to the rings' sizes: each round begins one place further.
    for length in [1021, 1, 1023, 1024, 1022, 3].into_iter().cycle().take(6 * 1024) {
        carry(&mut client, &mut server, carried, length);
        carry(&mut server, &mut client, carried, length);
        carried += length;
    }
}

#[test]
fn counters_wrap_at_the_end_of_their_word() {
    for lead in 0..1025 {
        let (memory, _, _) = pair(10, 12);
        let start = 0_u32.wrapping_sub(lead).to_le_bytes();
        for counter in [LEFT_CONSUMED, LEFT_PRODUCED, RIGHT_CONSUMED, RIGHT_PRODUCED] {
            memory.poke(counter, &start);
        }
        let mut client = Ring::join(memory.clone()).unwrap();
        assert_eq!(client.write(&numbered(0, 1024)), Ok(1024));
        let end = 1024_u32.wrapping_sub(lead).to_le_bytes();
        assert_eq!(memory.byte(LEFT_PRODUCED), end[0]);
        assert_eq!(memory.byte(LEFT_PRODUCED + 3), end[3]);
        assert_eq!(client.undelivered(), Ok(1024));
        assert_eq!(client.room(), Ok(0));
    }
}

#[test]
fn a_full_ring_takes_no_more_until_something_is_read() {
    let (_, mut server, mut client) = pair(12, 13);
    assert_eq!(client.write(&numbered(0, 5000)), Ok(4096));
    assert_eq!((client.room(), client.write(b"x")), (Ok(0), Ok(0)));
    assert_eq!(server.readable(), Ok(Readable::Bytes(4096)));
    assert_eq!(server.read(&mut [0; 7]), Ok(7));
    assert_eq!((client.room(), client.write(&numbered(4096, 9))), (Ok(7), Ok(7)));
    let mut read = vec![0; 5000];
    assert_eq!(server.read(&mut read), Ok(4096));
    assert_eq!(read[..4096], numbered(7, 4096));
    assert_eq!((server.readable(), server.read(&mut read)), (Ok(Readable::Nothing), Ok(0)));
    assert_eq!(server.write(&numbered(0, 9000)), Ok(8192));
}

#[test]
fn the_rings_do_not_touch_each_other() {
    for (left, right) in [(10, 11), (11, 10), (11, 12), (12, 11), (12, 12), (10, 13)] {
        let (_, mut server, mut client) = pair(left, right);
        let (up, down) = (numbered(0, 1 << left), numbered(100, 1 << right));
        assert_eq!(client.write(&up), Ok(up.len()));
        assert_eq!(server.write(&down), Ok(down.len()));
        let (mut read_up, mut read_down) = (vec![0; up.len()], vec![0; down.len()]);
        assert_eq!(server.read(&mut read_up), Ok(up.len()));
        assert_eq!(client.read(&mut read_down), Ok(down.len()));
        assert!(read_up == up && read_down == down, "{left}, {right}");
    }
}

#[test]
fn a_client_that_comes_after_another_goes_on_where_that_was() {
    let (memory, mut server, mut client) = pair(12, 12);
    carry(&mut client, &mut server, 0, 4000);
    assert_eq!(server.write(b"for whoever comes"), Ok(17));
    assert_eq!(client.read(&mut [0; 4]), Ok(4));
    let mut next = Ring::join(memory).unwrap();
    let mut read = [0; 13];
    assert_eq!((next.read(&mut read), &read), (Ok(13), b"whoever comes"));
    carry(&mut next, &mut server, 4000, 4096);
}
