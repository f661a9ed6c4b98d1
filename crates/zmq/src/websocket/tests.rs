use super::*;
use crate::turns::Turns;
use crate::{Authority, Connection, CurveClient, CurveServer, Event, Message, public_key};
use alloc::sync::Arc;
use core::time::Duration;
use std::vec;

const NOW: Duration = Duration::ZERO;

/// A connection behind its framing.
struct Side {
    connection: Connection,
    framing: WebSocketFraming,
    received: Vec<Vec<u8>>,
}

impl Side {
    fn new(config: Config, subprotocol: &str) -> Self {
        let mut framing = WebSocketFraming::new(&config, subprotocol).unwrap();
        let mut connection = Connection::new(NOW, Arc::new(config), &[7; 48]);
        let preamble = framing.preamble();
        feed(&mut connection, &preamble, &mut Vec::new());
        Self { connection, framing, received: Vec::new() }
    }

    /// The messages for the WebSocket, of output that is taken in pieces.
    fn messages(&mut self, piece_bytes: usize) -> Vec<Vec<u8>> {
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        let mut turns = Turns::default();
        while turns.more(true) {
            let space = self.framing.wanted_bytes().min(piece_bytes);
            let bytes = match self.connection.long_output() {
                Some(long) => {
                    let bytes = long[..long.len().min(space)].to_vec();
                    self.connection.long_output_taken(NOW, bytes.len());
                    bytes
                }
                None => {
                    let mut bytes = vec![0; space];
                    let count = self.connection.poll_transmit(NOW, &mut bytes);
                    bytes.truncate(count);
                    bytes
                }
            };
            if bytes.is_empty() {
                assert!(message.is_empty(), "a message without its end");
                return messages;
            }
            message.extend_from_slice(&bytes);
            if self.framing.advance(&bytes) {
                messages.extend(self.framing.encode(core::mem::take(&mut message)));
            }
        }
        messages
    }

    fn take(&mut self, message: &[u8]) {
        let bytes = self.framing.decode(message).expect("a frame");
        feed(&mut self.connection, &bytes, &mut self.received);
    }
}

/// Lets a connection read, and keeps the parts of messages that came.
fn feed(connection: &mut Connection, bytes: &[u8], parts: &mut Vec<Vec<u8>>) {
    let (mut left, mut part) = (bytes, Vec::new());
    let mut turns = Turns::default();
    while turns.more(!left.is_empty()) {
        let (taken, rest) = left.split_at(connection.handle_input(NOW, left).unwrap());
        if let Some(Event::Body(body)) = connection.poll_event() {
            part.extend_from_slice(body.bytes(taken));
            if body.part_left == 0 {
                parts.push(core::mem::take(&mut part));
            }
        }
        left = rest;
    }
    assert!(part.is_empty());
}

struct Door;

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (b"ada", b"1815")
    }

    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == public_key(&[7; 32])
    }
}

fn config(socket_type: SocketType, security: Security) -> Config {
    Config { security, ..Config::new(socket_type) }
}

fn mechanisms() -> [(&'static str, Security, Security); 4] {
    let (username, password) = ("ada".into(), "1815".into());
    let client = CurveClient { server_public_key: public_key(&[9; 32]), secret_key: [7; 32] };
    let server = CurveServer { secret_key: [9; 32], authority: Arc::new(Door) };
    [
        (PLAIN_SUBPROTOCOL, Security::Null, Security::Null),
        ("ZWS2.0/NULL", Security::Null, Security::Null),
        (
            "ZWS2.0/PLAIN",
            Security::PlainClient { username, password },
            Security::PlainServer(Arc::new(Door)),
        ),
        ("ZWS2.0/CURVE", Security::CurveClient(client), Security::CurveServer(server)),
    ]
}

#[test]
fn rfc45_each_frame_is_a_message_by_every_mechanism_however_output_is_taken() {
    for (subprotocol, client, server) in mechanisms() {
        for piece_bytes in [1, 3, 1000, 1 << 20] {
            let mut client = Side::new(config(SocketType::Dealer, client.clone()), subprotocol);
            let mut server = Side::new(config(SocketType::Router, server.clone()), subprotocol);
            let settle = |client: &mut Side, server: &mut Side| {
                let mut turns = Turns::default();
                while turns.more(true) {
                    let (there, back) =
                        (client.messages(piece_bytes), server.messages(piece_bytes));
                    there.iter().for_each(|message| server.take(message));
                    back.iter().for_each(|message| client.take(message));
                    if there.is_empty() && back.is_empty() {
                        return;
                    }
                }
            };
            settle(&mut client, &mut server);
            assert!(client.connection.is_ready() && server.connection.is_ready(), "{subprotocol}");
            let mut message = Message::new("first");
            message.push("");
            message.push(vec![5; 300]);
            client.connection.send(message).unwrap();
            server.connection.send(Message::new(vec![1; 70_000])).unwrap();
            settle(&mut client, &mut server);
            assert_eq!(server.received, [&b"first"[..], b"", &[5; 300]], "{subprotocol}");
            assert_eq!(client.received, [[1; 70_000]], "{subprotocol}");
        }
    }
}

#[test]
fn rfc45_without_a_mechanism_identities_come_first() {
    let mut router = Side::new(config(SocketType::Router, Security::Null), PLAIN_SUBPROTOCOL);
    // Our identity is empty.
    assert_eq!(router.messages(100), [[0]]);
    router.take(b"\0page");
    assert!(router.connection.is_ready());
    assert_eq!(router.connection.peer().unwrap().identity, "page");
    for message in [&b"\x01"[..], b"\x01more", b"\0last"] {
        router.take(message);
    }
    assert_eq!(router.received, [&b""[..], b"more", b"last"]);
    let mut answer = Message::new("");
    answer.push("answer");
    router.connection.send(answer).unwrap();
    assert_eq!(router.messages(100), [&b"\x01"[..], b"\0answer"]);
}

#[test]
fn rfc45_with_null_the_first_messages_are_ready_commands() {
    let mut dealer = Side::new(config(SocketType::Dealer, Security::Null), "ZWS2.0/NULL");
    let messages = dealer.messages(100);
    assert_eq!(messages.len(), 1);
    assert!(messages[0].starts_with(b"\x02\x05READY\x0bSocket-Type\0\0\0\x06DEALER"));
}

#[test]
fn messages_that_are_no_frames_are_refused() {
    let framing =
        |subprotocol| WebSocketFraming::new(&Config::new(SocketType::Rep), subprotocol).unwrap();
    let (with, without) = (framing("ZWS2.0/NULL"), framing(PLAIN_SUBPROTOCOL));
    for message in [&b""[..], &[3], &[4, 1], &[0xff]] {
        assert_eq!(with.decode(message), None, "{message:?}");
        assert_eq!(without.decode(message), None, "{message:?}");
    }
    assert_eq!(with.decode(b"\x02\x05READY").unwrap(), b"\x04\x06\x05READY");
    assert_eq!(without.decode(b"\x02\x05READY"), None);
    assert!(WebSocketFraming::new(&Config::new(SocketType::Rep), "ZWS2.0/CURVE").is_none());
    assert!(WebSocketFraming::new(&Config::new(SocketType::Rep), "").is_none());
}

/// What is read of the output at once: never more than is sure to be of one message, nor less.
#[test]
fn output_is_asked_for_up_to_where_its_header_or_its_body_ends() {
    for (subprotocol, greeting_bytes) in [("ZWS2.0/NULL", 64), (PLAIN_SUBPROTOCOL, 12)] {
        let mut framing =
            WebSocketFraming::new(&Config::new(SocketType::Push), subprotocol).unwrap();
        let long = [&[2, 0, 0, 0, 0, 0, 0, 1, 0][..], &[7; 256]].concat();
        let mut told = Vec::new();
        for (bytes, wanted) in [
            (&vec![0; 1][..], greeting_bytes),
            (&vec![0; greeting_bytes - 1], greeting_bytes - 1),
            // A short frame, a long one, an empty one.
            (b"\x01", 2),
            (b"\x05", 1),
            (b"ab", 5),
            (b"cde", 3),
            (&long[..1], 2),
            (&long[1..3], 8),
            (&long[3..9], 6),
            (&long[9..], 256),
            (b"\0\0", 2),
            (b"", 2),
        ] {
            assert_eq!(framing.wanted_bytes(), wanted, "{subprotocol} {bytes:?}");
            told.push(framing.advance(bytes));
        }
        let ends: Vec<_> = (0..told.len()).filter(|&at| told[at]).collect();
        assert_eq!(ends, [1, 5, 9, 10]);
    }
}
