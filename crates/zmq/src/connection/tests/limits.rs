//! Limits at both sides of each, and what is counted of what waits.

use super::*;

fn limited(security: Security, limits: Limits) -> Connection {
    let config = Config { security, limits, ..Config::new(SocketType::Pub) };
    Connection::new(ZERO, Arc::new(config), &[2; 48])
}

#[test]
fn what_is_allowed_of_a_peer_by_default_is_what_is_documented() {
    let limits = Limits::default();
    assert_eq!(limits.frame_bytes_max, 1_073_741_824);
    assert_eq!(limits.message_bytes_max, 134_217_728);
    assert_eq!(limits.parts_max, 1024);
    assert_eq!(limits.command_bytes_max, 8192);
    assert_eq!(limits.subscriptions_max, 10_000);
    assert_eq!(limits.subscription_bytes_max, 4_194_304);
    assert_eq!((limits.handshake_timeout, limits.stall_timeout), (30 * SECOND, 60 * SECOND));
    assert_eq!((limits.write_timeout, limits.bytes_per_second_min), (None, 500));
}

#[test]
fn frames_of_the_longest_length_pass_and_longer_ones_do_not() {
    let limits = Limits { frame_bytes_max: 10, command_bytes_max: 30, ..Limits::default() };
    let ready = |limits: &Limits| {
        let mut a = limited(Security::Null, limits.clone());
        pump(&mut a, &mut null(SocketType::Sub), 100).unwrap();
        a
    };
    for step in [1, 100] {
        let mut a = ready(&limits);
        assert_eq!(feed(&mut a, b"\0\x0A0123456789", step).unwrap().len(), 1);
        let longer = feed(&mut a, b"\0\x0B0123456789A", step);
        assert_eq!(longer, Err(Error::FrameTooLong(11)), "{step}");
        let mut a = ready(&limits);
        let seen = feed(&mut a, b"\x04\x1E\x09SUBSCRIBEa topic of 20 bytes.", step).unwrap();
        assert_eq!(seen, ["subscribe b\"a topic of 20 bytes.\""]);
        let seen = feed(&mut a, b"\x04\x1F\x09SUBSCRIBEa topic of 21 bytes!!", step).unwrap();
        assert_eq!(seen, ["skipped 31"], "{step}");
        let mut a = ready(&Limits { parts_max: 0, ..limits.clone() });
        assert_eq!(feed(&mut a, b"\0\x01x", step), Err(Error::TooManyParts), "{step}");
    }
    // Before the handshake a command too long ends it.
    let greeting = Greeting::new("NULL", false).encode();
    for (len, outcome) in [(30, Ok(vec![])), (31, Err(Error::CommandTooLong(31)))] {
        let mut a = limited(Security::Null, limits.clone());
        assert_eq!(feed(&mut a, &[&greeting[..], &[4, len]].concat(), 100), outcome);
    }
}

#[test]
fn commands_of_the_longest_length_pass_under_curve_and_longer_ones_do_not() {
    let (client, server) = curve(7);
    let mut a = connection(SocketType::Sub, client, 1);
    // Room for the handshake's own.
    let mut b = limited(server, Limits { command_bytes_max: 300, ..Limits::default() });
    pump(&mut a, &mut b, 100).unwrap();
    a.send_subscription(true, &[b'x'; 290]).unwrap();
    a.send_subscription(true, &[b'x'; 291]).unwrap();
    let [_, seen] = pump(&mut a, &mut b, 100).unwrap();
    assert!(seen.len() == 2 && seen[0].starts_with("subscribe"), "{seen:?}");
    assert_eq!(seen[1], "skipped 301");
}

#[test]
fn rfc37_a_pings_context_has_at_most_16_bytes() {
    let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
    feed(&mut a, b"\x04\x17\x04PING\0\0ABCDEFGHIJKLMNOP", 100).unwrap();
    assert_eq!(output(&mut a), b"\x04\x15\x04PONGABCDEFGHIJKLMNOP");
}

#[test]
fn a_header_alone_is_no_piece_and_an_empty_part_is_one() {
    let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
    assert_eq!(a.handle_input(ZERO, b"\x01\x02"), Ok(2));
    assert!(a.poll_event().is_none());
    assert_eq!(a.handle_input(ZERO, b"xy"), Ok(2));
    assert!(a.poll_event().is_some());
    assert_eq!(a.handle_input(ZERO, b"\0\0"), Ok(2));
    assert!(a.poll_event().is_some());
}

#[test]
fn rfc24_a_welcome_has_no_body() {
    let mut client = connection(SocketType::Push, plain("1815").0, 1);
    let greeting = Greeting::new("PLAIN", true).encode();
    let welcome = [&greeting[..], b"\x04\x09\x07WELCOMEx"].concat();
    assert_eq!(feed(&mut client, &welcome, 100), Err(Error::MalformedCommand));
    assert!(!client.is_ready());
}

#[test]
fn a_piece_more_waits_below_the_bound_and_under_curve_always() {
    let (mut a, _) = ready_pair(SocketType::Push, SocketType::Pull);
    a.begin_part(1000, false).unwrap();
    a.send_piece(vec![7; 600]).unwrap();
    let waiting = a.queued_bytes();
    assert!((600..800).contains(&waiting), "{waiting}");
    assert!(a.has_piece_room(waiting + 1) && !a.has_piece_room(waiting));
    // Under CURVE it gathers.
    let (client, server) = curve(7);
    let mut a = connection(SocketType::Push, client, 1);
    pump(&mut a, &mut connection(SocketType::Pull, server, 2), 100).unwrap();
    assert_eq!(a.queued_bytes(), 0);
    a.begin_part(1000, false).unwrap();
    a.send_piece(vec![7; 600]).unwrap();
    let waiting = a.queued_bytes();
    assert!((600..1300).contains(&waiting), "{waiting}");
    assert!(a.has_piece_room(1));
    // The sealer and the opener have the session's keys.
    let shown = format!("{a:?}");
    assert!(shown.contains("opener: Some(Opener)") && shown.contains("sealer: Some(Sealer)"));
}
