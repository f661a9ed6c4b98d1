//! The closing handshake, and time.

use super::*;
use crate::frame::Opcode::{Close, Ping, Text};

const SECOND: Duration = Duration::from_secs(1);

/// Takes all output; the frames.
fn sent(connection: &mut Connection) -> Vec<(Opcode, Vec<u8>)> {
    let mut wire = Vec::new();
    take_output(connection, &mut wire);
    frames(&wire, connection.role)
}

fn feed(connection: &mut Connection, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    assert_eq!(connection.handle_input(NOW, &mut bytes), bytes.len());
}

/// A server's frame.
fn from_server(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    put(opcode, true, false, payload, None)
}

#[test]
fn rfc6455_7_1_1_the_server_ends_the_transport_first() {
    let mut server = server();
    feed(&mut server, &close(1000, "bye"));
    assert_eq!(server.state(), ConnectionState::Open, "its answer is not sent");
    assert_eq!(sent(&mut server), [(Close, b"\x03\xe8".to_vec())]);
    assert_eq!(server.state(), ConnectionState::Drain);
    let mut client = Connection::new(session(CLIENT), NOW);
    client.close(NOW, CloseCode::NORMAL, "bye");
    assert_eq!(sent(&mut client), [(Close, b"\x03\xe8bye".to_vec())]);
    feed(&mut client, &from_server(Close, b"\x03\xe8"));
    assert_eq!(client.state(), ConnectionState::Open, "the server ends it");
    assert!(client.handle_end(NOW));
    assert_eq!(client.state(), ConnectionState::Closed);
    assert_eq!(client.poll_event(), Some(Event::Closed(Ok(Closure::new(CloseCode::NORMAL, "")))));
    assert_eq!(client.poll_event(), None);
}

#[test]
fn rfc6455_7_1_1_a_client_does_not_wait_for_ever() {
    let mut client = Connection::new(session(CLIENT), NOW);
    client.close(NOW, CloseCode::NORMAL, "");
    sent(&mut client);
    feed(&mut client, &from_server(Close, b"\x03\xe8"));
    assert_eq!(client.next_deadline(NOW), Some(NOW + 5 * SECOND));
    client.handle_timeout(NOW + 5 * SECOND);
    assert_eq!(client.state(), ConnectionState::Closed);
}

#[test]
fn rfc6455_5_5_1_what_was_queued_before_a_close_is_sent_before_it() {
    let mut server = server();
    server.send(NOW, "one".into()).unwrap();
    server.send(NOW, "two".into()).unwrap();
    server.close(NOW, CloseCode::GOING_AWAY, "");
    assert_eq!(server.send(NOW, "three".into()), Err(Refused::Closing));
    // The first reason stands.
    server.close(NOW, CloseCode::NORMAL, "");
    feed(&mut server, &control(Ping, b""));
    let opcodes: Vec<_> = sent(&mut server).into_iter().map(|(opcode, _)| opcode).collect();
    assert_eq!(opcodes, [Opcode::Pong, Text, Text, Close]);
    // Section 5.5.1: nothing is sent behind it, and what comes is received until the peer's close frame.
    feed(&mut server, &[control(Ping, b""), text("late")].concat());
    assert!(sent(&mut server).is_empty());
    assert_eq!(server.poll_event(), Some(Event::Message("late".into())));
    assert_eq!(server.state(), ConnectionState::Open);
    feed(&mut server, &close(1001, ""));
    assert_eq!(server.state(), ConnectionState::Drain);
    assert!(sent(&mut server).is_empty());
}

#[test]
fn rfc6455_5_5_1_who_does_not_answer_a_close_is_left() {
    let mut server = server();
    server.close(NOW, CloseCode::GOING_AWAY, "");
    sent(&mut server);
    let deadline = server.next_deadline(NOW).unwrap();
    assert_eq!(deadline, NOW + 5 * SECOND);
    server.handle_timeout(deadline - SECOND);
    assert_eq!(server.state(), ConnectionState::Open);
    server.handle_timeout(deadline);
    assert_eq!(server.state(), ConnectionState::Closed);
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::Cut))));
}

#[test]
fn rfc6455_7_1_7_after_a_failure_what_comes_is_dropped() {
    let mut server = server();
    server.send(NOW, "queued".into()).unwrap();
    feed(&mut server, &[0x81, 0x01, b'x']);
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::Unmasked))));
    assert_eq!(server.send(NOW, "more".into()), Err(Refused::Closing));
    let frames = sent(&mut server);
    assert_eq!(frames.len(), 1, "what was queued is not sent: {frames:?}");
    assert_eq!(frames[0].1[..2], 1002_u16.to_be_bytes());
    assert_eq!(server.state(), ConnectionState::EndOutput);
    feed(&mut server, &text("dropped"));
    assert_eq!(server.poll_event(), None);
    assert_eq!(server.next_deadline(NOW), Some(NOW + 5 * SECOND));
    assert!(server.handle_end(NOW));
    assert!(!server.handle_end(NOW), "said once");
    assert_eq!(server.poll_event(), None);
    server.handle_timeout(NOW + 5 * SECOND);
    assert_eq!(server.state(), ConnectionState::Closed);
}

/// A frame of which some is sent is sent whole, or the close frame would be taken for its payload.
#[test]
fn a_close_frame_does_not_cut_another() {
    let mut server = server();
    server.send(NOW, vec![1; 100_000].into()).unwrap();
    let mut wire = vec![0; 1000];
    let count = server.poll_transmit(NOW, &mut wire);
    wire.truncate(count);
    feed(&mut server, &close(1001, ""));
    take_output(&mut server, &mut wire);
    assert_eq!(opcodes(&wire), [(Opcode::Binary, false), (Close, true)]);
    assert_eq!(server.state(), ConnectionState::Drain);
}

#[test]
fn rfc6455_7_1_5_a_transport_that_ends_without_a_close_frame_is_a_failure() {
    let mut server = server();
    server.send(NOW, "queued".into()).unwrap();
    assert!(server.handle_end(NOW));
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::Cut))));
    assert_eq!(server.state(), ConnectionState::Closed);
    assert!(!server.wants_transmit());
}

/// A client that ends its side right behind its close frame still gets the answer.
#[test]
fn the_answer_to_a_close_is_sent_although_the_peer_ended_its_side() {
    let mut server = server();
    feed(&mut server, &close(1000, ""));
    assert!(server.handle_end(NOW));
    assert_eq!(server.state(), ConnectionState::Open);
    assert_eq!(sent(&mut server).len(), 1);
    assert_eq!(server.state(), ConnectionState::Drain);
}

#[test]
fn when_output_is_lost_the_peers_last_is_still_read() {
    let mut server = server();
    server.send(NOW, "unsent".into()).unwrap();
    server.output_lost(NOW);
    assert_eq!(server.next_deadline(NOW), Some(NOW + 5 * SECOND));
    assert!(!server.wants_transmit());
    assert_eq!(server.can_send(), Err(Refused::Closing));
    feed(&mut server, &[text("last"), close(1001, "")].concat());
    assert_eq!(server.poll_event(), Some(Event::Message("last".into())));
    assert!(matches!(server.poll_event(), Some(Event::Closed(Ok(_)))));
    assert_eq!(server.state(), ConnectionState::Drain);
}

#[test]
fn rfc6455_5_5_2_a_silent_peer_is_pinged_and_then_left() {
    let mut server = server();
    let ping_at = server.next_deadline(NOW).unwrap();
    assert_eq!(ping_at, NOW + 30 * SECOND);
    server.handle_timeout(ping_at - Duration::from_nanos(1));
    assert!(sent(&mut server).is_empty());
    server.handle_timeout(ping_at);
    let ping = server.poll_transmit(ping_at, &mut [0; 10]);
    assert_eq!(ping, 2);
    let deadline = server.next_deadline(ping_at).unwrap();
    assert_eq!(deadline, ping_at + 20 * SECOND);
    server.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(server.state(), ConnectionState::Open);
    server.handle_timeout(deadline);
    assert_eq!(server.state(), ConnectionState::Abort);
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::Silent))));
}

#[test]
fn any_byte_says_that_the_peer_is_there() {
    let mut server = server();
    let ping_at = NOW + 30 * SECOND;
    server.handle_timeout(ping_at);
    server.poll_transmit(ping_at, &mut [0; 10]);
    let at = ping_at + 10 * SECOND;
    let mut first = [0x81];
    server.handle_input(at, &mut first);
    assert_eq!(server.next_deadline(at), Some(at + 30 * SECOND));
}

/// Who is not read cannot be heard: neither for messages that nobody takes, nor for memory.
#[test]
fn a_peer_that_is_not_read_is_not_pinged() {
    let mut server = server();
    server.handle_timeout(NOW + 30 * SECOND);
    server.poll_transmit(NOW + 30 * SECOND, &mut [0; 10]);
    feed(&mut server, &text(&"x".repeat(70_000)));
    let later = NOW + 1000 * SECOND;
    assert_eq!(server.next_deadline(later), Some(later + 30 * SECOND));
    server.poll_event();
    assert_eq!(server.next_deadline(later + SECOND), Some(later + 30 * SECOND), "it is read again");
    server.pause(true);
    let latest = later + 1000 * SECOND;
    assert_eq!(server.next_deadline(latest), Some(latest + 30 * SECOND));
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let limits = Limits { ping_interval: None, ..Limits::default() };
    let mut server = server_with(limits);
    assert_eq!(server.next_deadline(NOW), None);
}

#[test]
fn who_takes_nothing_or_too_little_is_left() {
    let mut server = server();
    server.send(NOW, vec![1; 200_000].into()).unwrap();
    let deadline = NOW + 60 * SECOND;
    let mut space = [0; 100];
    server.handle_timeout(deadline - SECOND);
    assert_eq!(server.state(), ConnectionState::Open);
    server.handle_timeout(deadline);
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::OutputStalled))));
    assert_eq!(server.state(), ConnectionState::Abort);

    // 100 bytes in two seconds are too few; the transport's own progress counts as well.
    let mut server = self::server();
    server.send(NOW, vec![1; 200_000].into()).unwrap();
    let mut now = NOW;
    while server.state() == ConnectionState::Open && now < NOW + 1000 * SECOND {
        now += 2 * SECOND;
        let mut ping_answer = control(Opcode::Pong, b"");
        server.handle_input(now, &mut ping_answer);
        server.poll_transmit(now, &mut space);
        server.handle_timeout(now);
    }
    assert_eq!(server.poll_event(), Some(Event::Closed(Err(Error::OutputTooSlow))));
    let mut server = self::server();
    server.send(NOW, vec![1; 200_000].into()).unwrap();
    for second in 1..1000 {
        let now = NOW + second * SECOND;
        server.handle_input(now, &mut control(Opcode::Pong, b""));
        server.peer_took(now, 500);
        server.handle_timeout(now);
    }
    assert_eq!(server.state(), ConnectionState::Open);
}
