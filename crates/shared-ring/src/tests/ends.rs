//! Ends: half-close, going, and being cut off.

use super::{Fake, pair};
use crate::control::{
    CLIENT_LIVE, CLIENT_NOTIFY, LIVE_AWAITED, LIVE_CONNECTED, LIVE_GONE, NOTIFY_WRITTEN,
    SERVER_LIVE, SERVER_NOTIFY,
};
use crate::{Geometry, Readable, Ring};

#[test]
fn a_direction_ends_after_its_bytes_and_the_other_goes_on() {
    let (_, mut server, mut client) = pair(12, 12);
    client.write(b"last").unwrap();
    client.finish();
    assert!(client.poll_transmit());
    assert_eq!(server.readable(), Ok(Readable::Bytes(4)));
    server.read(&mut [0; 4]).unwrap();
    assert_eq!(server.readable(), Ok(Readable::End));
    assert!(server.has_peer());
    assert_eq!(server.write(b"still"), Ok(5));
    assert_eq!(client.readable(), Ok(Readable::Bytes(5)));
    client.read(&mut [0; 5]).unwrap();
    assert_eq!(client.readable(), Ok(Readable::Nothing));
    server.finish();
    assert_eq!(client.readable(), Ok(Readable::End));
}

#[test]
fn who_finishes_and_goes_loses_nothing() {
    let (memory, mut server, mut client) = pair(12, 12);
    client.write(b"last").unwrap();
    client.finish();
    client.close();
    assert!(client.poll_transmit());
    assert_eq!(memory.byte(CLIENT_LIVE), LIVE_GONE);
    assert!(!server.has_peer());
    assert_eq!(server.readable(), Ok(Readable::Bytes(4)));
    server.read(&mut [0; 4]).unwrap();
    assert_eq!(server.readable(), Ok(Readable::End));
}

#[test]
fn who_goes_without_having_finished_is_cut_off() {
    for vanishes in [false, true] {
        let (_, mut server, mut client) = pair(12, 12);
        server.write(b"half").unwrap();
        if vanishes {
            client.handle_gone();
        } else {
            server.close();
            assert!(server.poll_transmit());
        }
        assert_eq!(client.readable(), Ok(Readable::Bytes(4)));
        client.read(&mut [0; 4]).unwrap();
        assert_eq!(client.readable(), Ok(Readable::CutOff));
        assert!(!client.has_peer());
    }
}

#[test]
fn a_program_of_libxenvchans_has_no_other_end_than_to_go() {
    let geometry = Geometry::new(11, 10).unwrap();
    let memory = Fake::new(geometry.bytes());
    let mut server = Ring::serve(memory.clone(), geometry).unwrap();
    assert_eq!(memory.byte(CLIENT_LIVE), LIVE_AWAITED);
    assert!(server.has_peer(), "it may still come");
    assert_eq!(server.write(b"hello"), Ok(5));
    assert_eq!(server.await_readable(), Ok(Readable::Nothing));
    memory.poke(CLIENT_LIVE, &[LIVE_CONNECTED]);
    memory.poke(SERVER_NOTIFY, &[NOTIFY_WRITTEN]);
    assert_eq!(server.readable(), Ok(Readable::Nothing));
    memory.poke(CLIENT_LIVE, &[LIVE_GONE]);
    assert_eq!(server.readable(), Ok(Readable::End));
}

#[test]
fn going_is_said_once() {
    let (memory, mut server, _client) = pair(12, 12);
    server.close();
    assert!(server.poll_transmit());
    memory.poke(SERVER_LIVE, &[9]);
    server.close();
    assert!(!server.poll_transmit());
    assert_eq!(memory.byte(SERVER_LIVE), 9);
}

#[test]
fn what_a_side_says_of_its_end_is_not_taken_for_a_question() {
    let (memory, mut server, mut client) = pair(12, 12);
    client.write(b"x").unwrap();
    client.poll_transmit();
    server.finish();
    assert!(server.poll_transmit());
    let before = memory.byte(CLIENT_NOTIFY);
    client.write(b"y").unwrap();
    assert!(!client.poll_transmit() || before & NOTIFY_WRITTEN != 0);
    assert_eq!(client.readable(), Ok(Readable::End));
}
