//! Cases by section of RFC 6455 and RFC 7692. Each is fed whole, and split at every byte.

mod autobahn;
mod bounds;
mod closing;

use super::*;
use crate::frame::{HEAD_BYTES_MAX, Head, HeadReader, Opcode, put_control};
use crate::{Deflate, mask};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

const NOW: Duration = Duration::from_secs(100);
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const CLIENT: Role = Role::Client { mask_seed: [9; 32] };

fn agreed(keeps_context: bool) -> AgreedDeflate {
    let deflate = Deflate { message_bytes_min: 0, ..Deflate::default() };
    AgreedDeflate {
        deflate,
        keeps_own_context: keeps_context,
        peer_keeps_context: keeps_context,
        own_window_bits: 15,
    }
}

fn session(role: Role) -> Session {
    Session { role, deflate: None, limits: Limits::default() }
}

fn server() -> Connection {
    Connection::new(session(Role::Server), NOW)
}

fn server_with(limits: Limits) -> Connection {
    Connection::new(Session { limits, ..session(Role::Server) }, NOW)
}

fn deflating(keeps_context: bool) -> Connection {
    let deflate = Some((agreed(keeps_context), SharedCompressor::default()));
    Connection::new(Session { deflate, ..session(Role::Server) }, NOW)
}

/// A frame of a client.
fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    put(opcode, is_final, false, payload, Some(MASK))
}

fn put(
    opcode: Opcode,
    is_final: bool,
    is_compressed: bool,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) -> Vec<u8> {
    let payload_bytes = payload.len() as u64;
    let mut head = [0; HEAD_BYTES_MAX];
    let count = Head { opcode, is_final, is_compressed, payload_bytes, mask }.encode(&mut head);
    let mut out = head[..count].to_vec();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask::apply(mask, &mut out[count..]);
    }
    out
}

fn text(payload: &str) -> Vec<u8> {
    frame(Opcode::Text, true, payload.as_bytes())
}

fn control(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_control(&mut out, opcode, payload, Some(MASK));
    out
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    control(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Everything that a connection did.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    /// Frames that it sent: opcode and payload, messages put together.
    sent: Vec<(Opcode, Vec<u8>)>,
}

impl Outcome {
    /// What it did with each frame in words, for tables.
    fn words(&self) -> Vec<String> {
        let event = |event: &Event| match event {
            Event::Message(Message::Text(text)) => {
                std::format!("text {} {}", text.len(), short(text))
            }
            Event::Message(Message::Binary(bytes)) => std::format!("binary {}", bytes.len()),
            Event::Closed(Ok(closure)) => std::format!("closed {closure}"),
            Event::Closed(Err(error)) => std::format!("failed: {error}"),
        };
        let sent = |(opcode, payload): &(Opcode, Vec<u8>)| match (opcode, &payload[..]) {
            (Opcode::Close, [high, low, ..]) => {
                std::format!("close {}", u16::from_be_bytes([*high, *low]))
            }
            (Opcode::Close, _) => "close".to_string(),
            (opcode, payload) => std::format!("{opcode:?} {}", payload.len()).to_lowercase(),
        };
        self.events.iter().map(event).chain(self.sent.iter().map(sent)).collect()
    }
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(12)]
}

/// Feeds `input` in pieces that end at `cuts`, takes events and output as they come.
fn run(connection: &mut Connection, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut wire = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        let mut piece = input[start..end].to_vec();
        let mut taken = 0;
        while taken < piece.len() {
            let count = connection.handle_input(NOW, &mut piece[taken..]);
            taken += count;
            let events = core::iter::from_fn(|| connection.poll_event());
            let before = outcome.events.len();
            outcome.events.extend(events);
            let wrote = take_output(connection, &mut wire);
            assert!(count > 0 || wrote || outcome.events.len() > before, "it is stuck");
        }
        start = end;
    }
    outcome.events.extend(core::iter::from_fn(|| connection.poll_event()));
    take_output(connection, &mut wire);
    outcome.sent = frames(&wire, connection.role);
    outcome
}

fn take_output(connection: &mut Connection, wire: &mut Vec<u8>) -> bool {
    let before = wire.len();
    while connection.wants_transmit() {
        let mut space = [0; 100];
        let count = connection.poll_transmit(NOW, &mut space);
        assert!(count > 0, "it said that there is output");
        wire.extend_from_slice(&space[..count]);
    }
    wire.len() > before
}

/// The frames on a wire, unmasked, of a connection with this role; continuations are put behind their beginnings.
fn frames(mut wire: &[u8], role: Role) -> Vec<(Opcode, Vec<u8>)> {
    let reader = if role == Role::Server { CLIENT } else { Role::Server };
    let mut frames = Vec::<(Opcode, Vec<u8>)>::new();
    while !wire.is_empty() {
        let (count, head) = HeadReader::default().read(wire, &reader, true).unwrap();
        let head = head.expect("a whole frame");
        let (payload, rest) = wire[count..].split_at(head.payload_bytes as usize);
        wire = rest;
        let mut payload = payload.to_vec();
        if let Some(mask) = head.mask {
            mask::apply(mask, &mut payload);
        }
        match head.opcode {
            Opcode::Continuation => {
                let is_data = |frame: &&mut (Opcode, Vec<u8>)| !frame.0.is_control();
                frames.iter_mut().rev().find(is_data).unwrap().1.extend(payload);
            }
            opcode => frames.push((opcode, payload)),
        }
    }
    frames
}

/// The same whole, byte by byte, and split once at every byte; what came of it.
fn check(make: impl Fn() -> Connection, input: &[u8]) -> Outcome {
    let whole = run(&mut make(), input, &[]);
    let each: Vec<usize> = (1..input.len()).collect();
    assert_eq!(run(&mut make(), input, &each), whole, "byte by byte");
    // Of long inputs, splits near the ends.
    let near = |at: &usize| *at < 300 || at + 300 > input.len();
    for cut in (1..input.len()).filter(near) {
        assert_eq!(run(&mut make(), input, &[cut]), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn rfc6455_5_7_the_examples() {
    // A masked text, a fragmented one, a ping, 256 bytes and 64 KiB of binary data.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(check(server, &hello).events, [Event::Message("Hello".into())]);
    let client = || Connection::new(session(CLIENT), NOW);
    let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(check(client, &hello).events, [Event::Message("Hello".into())]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(check(client, &fragments).events, [Event::Message("Hello".into())]);
    let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(check(client, &ping).sent, [(Opcode::Pong, b"Hello".to_vec())]);
    for (head, length) in
        [(&[0x82, 0x7e, 0x01, 0x00][..], 256), (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], 65_536)]
    {
        let data = vec![7; length];
        let outcome = run(&mut client(), &[head, &data].concat(), &[1, 3]);
        assert_eq!(outcome.events, [Event::Message(data.into())]);
    }
}

#[test]
fn rfc6455_5_3_a_client_masks_each_frame_anew() {
    let mut client = Connection::new(session(CLIENT), NOW);
    let mut wire = Vec::new();
    for _ in 0..3 {
        client.send(NOW, "same".into()).unwrap();
        take_output(&mut client, &mut wire);
    }
    let (one, rest) = wire.split_at(10);
    assert_ne!(one, &rest[..10]);
    assert_ne!(&rest[..10], &rest[10..]);
    assert_eq!(frames(&wire, CLIENT), vec![(Opcode::Text, b"same".to_vec()); 3]);
    let mut other = Connection::new(session(Role::Client { mask_seed: [8; 32] }), NOW);
    let mut others = Vec::new();
    other.send(NOW, "same".into()).unwrap();
    take_output(&mut other, &mut others);
    assert_ne!(others, one);
}

/// Both ends of a conversation, over wires that take and give any number of bytes.
#[test]
fn messages_of_all_kinds_come_back_between_the_two_roles() {
    for deflate in [None, Some(false), Some(true)] {
        let deflate = deflate.map(|keeps| (agreed(keeps), SharedCompressor::default()));
        let make = |role| Session { deflate: deflate.clone(), ..session(role) };
        let mut client = Connection::new(make(CLIENT), NOW);
        let mut server = Connection::new(make(Role::Server), NOW);
        let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let messages = [
            Message::from(""),
            Message::from("\u{20ac}uro"),
            Message::from(Vec::new()),
            Message::from(noise.clone()),
            Message::from("again and again ".repeat(10_000)),
            Message::from("again and again ".repeat(10)),
        ];
        let mut space = vec![0; 70_000];
        for (at, message) in messages.iter().enumerate() {
            let room = [1, 2, 13, 4096, 70_000][at % 5];
            client.send(NOW, message.clone()).unwrap();
            for (from, to) in [(true, false), (false, true)] {
                let (from, to) = if from && !to {
                    (&mut client, &mut server)
                } else {
                    (&mut server, &mut client)
                };
                while from.wants_transmit() {
                    let count = match from.long_output() {
                        Some(long) if at % 2 == 0 => {
                            let count = long.len().min(room);
                            space[..count].copy_from_slice(&long[..count]);
                            from.long_output_taken(NOW, count);
                            count
                        }
                        _ => from.poll_transmit(NOW, &mut space[..room]),
                    };
                    assert_eq!(to.handle_input(NOW, &mut space[..count]), count);
                }
                assert_eq!(to.poll_event(), Some(Event::Message(message.clone())));
                if core::ptr::eq(to, &server) {
                    server.send(NOW, message.clone()).unwrap();
                }
            }
            assert!(!client.has_event() && !server.has_event());
        }
    }
}

/// RFC 6455 section 5.4: control frames stand between the frames of a message.
#[test]
fn rfc6455_5_4_a_pong_does_not_wait_for_a_long_message() {
    let mut server = server();
    server.send(NOW, vec![1; 200_000].into()).unwrap();
    server.send(NOW, "behind".into()).unwrap_err();
    let mut wire = vec![0; 30_000];
    let count = server.poll_transmit(NOW, &mut wire);
    wire.truncate(count);
    let mut ping = control(Opcode::Ping, b"now");
    server.handle_input(NOW, &mut ping);
    take_output(&mut server, &mut wire);
    let opcodes = opcodes(&wire);
    assert_eq!(opcodes[..2], [(Opcode::Binary, false), (Opcode::Pong, true)]);
    assert_eq!(opcodes.last(), Some(&(Opcode::Continuation, true)));
    assert_eq!(frames(&wire, Role::Server)[0].1.len(), 200_000);
}

fn opcodes(mut wire: &[u8]) -> Vec<(Opcode, bool)> {
    let mut opcodes = Vec::new();
    while !wire.is_empty() {
        let (count, head) = HeadReader::default().read(wire, &CLIENT, true).unwrap();
        let head = head.unwrap();
        opcodes.push((head.opcode, head.is_final));
        wire = &wire[count + head.payload_bytes as usize..];
    }
    opcodes
}

/// RFC 7692 section 6.1: RSV1 is set in the first frame of a compressed message, and in no other.
#[test]
fn rfc7692_6_1_only_the_first_frame_says_that_it_is_compressed() {
    let mut server = deflating(false);
    let mut seed = 1_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8 % 100
    };
    let noise: Vec<u8> = (0..200_000).map(|_| random()).collect();
    server.send(NOW, noise.into()).unwrap();
    let mut wire = Vec::new();
    take_output(&mut server, &mut wire);
    let (mut rest, mut flags) = (&wire[..], Vec::new());
    while !rest.is_empty() {
        flags.push(rest[0] & 0x40 != 0);
        let (count, head) = HeadReader::default().read(rest, &CLIENT, true).unwrap();
        rest = &rest[count + head.unwrap().payload_bytes as usize..];
    }
    assert!(flags.len() > 1 && flags[0], "{flags:?}");
    assert!(flags[1..].iter().all(|flag| !flag), "{flags:?}");
}
