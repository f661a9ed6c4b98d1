//! Limits at both sides: the longest that is taken, and the first that is not.

use super::*;

/// A PULL, ready, with these limits.
fn pull(limits: Limits) -> Connection {
    let config = Config { limits, ..Config::new(SocketType::Pull) };
    let mut pull = Connection::new(ZERO, Arc::new(config), &[1; 48]);
    pump(&mut pull, &mut null(SocketType::Push), 100).unwrap();
    pull
}

#[test]
fn a_part_is_as_long_as_a_frame_may_be_in_a_short_and_a_long_header() {
    let limits = || Limits { frame_bytes_max: 10, ..Limits::default() };
    let body = |len: u8| vec![b'x'; usize::from(len)];
    let short = |len: u8| [vec![0, len], body(len)].concat();
    let long = |len: u8| [vec![2, 0, 0, 0, 0, 0, 0, 0, len], body(len)].concat();
    for step in [1, 100] {
        for (ten, eleven) in [(short(10), short(11)), (long(10), long(11))] {
            let mut pull = pull(limits());
            let seen = feed(&mut pull, &ten, step).unwrap();
            assert_eq!(seen, [format!("10 {:x}.", sum(&body(10)))]);
            assert_eq!(feed(&mut pull, &eleven, step), Err(Error::FrameTooLong(11)));
        }
    }
}

#[test]
fn no_parts_at_all_may_be_allowed() {
    for step in [1, 100] {
        let mut pull = pull(Limits { parts_max: 0, ..Limits::default() });
        assert_eq!(feed(&mut pull, b"\0\x01x", step), Err(Error::TooManyParts));
    }
}

/// Of a command, its name counts: 8 KiB are taken, and a byte more is skipped.
#[test]
fn a_command_of_8_kib_is_heard_and_a_longer_one_is_skipped() {
    for (a, b) in [(Security::Null, Security::Null), curve(7)] {
        let mut a = connection(SocketType::Sub, a, 1);
        let mut b = connection(SocketType::Pub, b, 2);
        pump(&mut a, &mut b, 100).unwrap();
        let longest = [b'x'; 8192 - 10];
        a.send_subscription(true, &longest).unwrap();
        let seen = pump(&mut a, &mut b, 1000).unwrap();
        assert_eq!(seen[1], [format!("subscribe {:?}", Bytes::copy_from_slice(&longest))]);
        a.send_subscription(true, &[b'x'; 8193 - 10]).unwrap();
        assert_eq!(pump(&mut a, &mut b, 1000).unwrap()[1], ["skipped 8193"]);
    }
}

/// RFC 37, "Heartbeating": a PING's context has 16 octets at most.
#[test]
fn rfc37_a_ping_has_a_context_of_16_octets() {
    let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
    feed(&mut a, b"\x04\x17\x04PING\0\x000123456789abcdef", 100).unwrap();
    assert_eq!(output(&mut a), b"\x04\x15\x04PONG0123456789abcdef");
    let refused = feed(&mut a, b"\x04\x18\x04PING\0\x000123456789abcdefg", 100);
    assert_eq!(refused, Err(Error::MalformedCommand));
}

/// RFC 24: a WELCOME carries nothing.
#[test]
fn rfc24_a_welcome_with_something_in_it_is_malformed() {
    let (client, _) = plain("1815");
    let mut client = connection(SocketType::Push, client, 1);
    let greeting = Greeting::new("PLAIN", true).encode();
    feed(&mut client, &greeting, 100).unwrap();
    output(&mut client);
    let refused = feed(&mut client, b"\x04\x09\x07WELCOMEx", 100);
    assert_eq!(refused, Err(Error::MalformedCommand));
    // It never says to whom it would have been welcome.
    let said = output(&mut client);
    assert!(said.starts_with(b"\x04") && !said.windows(8).any(|it| it == b"INITIATE"), "{said:?}");
}

#[test]
fn an_identity_has_255_octets_at_most() {
    for (len, expected) in [(255, Ok(())), (256, Err(Error::Identity))] {
        let identity = Bytes::from(vec![b'i'; len]);
        let config = Config { identity: identity.clone(), ..Config::new(SocketType::Dealer) };
        let mut dealer = Connection::new(ZERO, Arc::new(config), &[1; 48]);
        let mut router = null(SocketType::Router);
        assert_eq!(pump(&mut dealer, &mut router, 100).map(|_| ()), expected, "{len}");
        let known = router.peer().map(|peer| peer.identity.clone());
        assert_eq!(known, expected.ok().map(|()| identity));
    }
}

#[test]
fn a_header_alone_is_no_piece_and_that_of_an_empty_part_is() {
    for (header, is_piece) in [
        (&b"\0\x03"[..], false),
        (b"\x02\0\0\0\0\0\0\x01\0", false),
        (b"\0\0", true),
        (b"\x03\0\0\0\0\0\0\0\0", true),
    ] {
        let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
        assert_eq!(a.handle_input(ZERO, header), Ok(header.len()));
        assert_eq!(a.poll_event().is_some(), is_piece, "{header:?}");
    }
}
