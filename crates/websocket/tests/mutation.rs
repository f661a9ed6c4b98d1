//! Conversations with something wrong in them, at random: no panic, bounded memory, and the pieces that they come in make
//! no difference.

use std::time::Duration;
use websocket::{
    AgreedDeflate, Connection, Deflate, Event, Limits, Role, Session, SharedCompressor,
};

const NOW: Duration = Duration::from_secs(1);
const ROUNDS: u64 = 3000;
const MESSAGE_BYTES_MAX: usize = 2000;
/// A message being made and its copy, a window, a compressor, and small things; the largest of all conversations is within
/// a twentieth of it.
const HELD_BYTES_MAX: usize = 390_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn connection(kind: usize) -> Connection {
    let role = if kind & 1 == 0 { Role::Server } else { Role::Client { mask_seed: [1; 32] } };
    let keeps_context = kind & 4 != 0;
    let agreed = AgreedDeflate {
        deflate: Deflate { message_bytes_min: 0, ..Deflate::default() },
        keeps_own_context: keeps_context,
        peer_keeps_context: keeps_context,
        own_window_bits: 9,
    };
    let deflate = (kind & 2 != 0).then(|| (agreed, SharedCompressor::default()));
    let limits =
        Limits { message_bytes_max: MESSAGE_BYTES_MAX, fragments_max: 20, ..Limits::default() };
    Connection::new(Session { role, deflate, limits }, NOW)
}

/// Frames that are mostly right, and now and then a byte that is not.
fn conversation(random: &mut Random, kind: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut inside = false;
    for _ in 0..random.below(12) {
        let opcode = match random.below(8) {
            0 => 9,
            1 => 10,
            2 if random.below(3) == 0 => 8,
            _ if inside => 0,
            _ => 1 + random.below(2) as u8,
        };
        let is_final = opcode > 7 || random.below(2) == 0;
        if opcode < 8 {
            inside = !is_final;
        }
        let compressed = kind & 2 != 0 && matches!(opcode, 1 | 2) && random.below(2) == 0;
        let length = match random.below(4) {
            _ if opcode > 7 => random.below(126),
            0 => random.below(600),
            _ => random.below(20),
        };
        bytes.push(opcode | if is_final { 0x80 } else { 0 } | if compressed { 0x40 } else { 0 });
        let mask = if kind & 1 == 0 { 0x80 } else { 0 };
        if length < 126 {
            bytes.push(mask | length as u8);
        } else {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        if mask != 0 {
            bytes.extend_from_slice(&[0; 4]);
        }
        let start = bytes.len();
        bytes.extend((0..length).map(|_| b"ab\xc3\xa9"[random.below(4)]));
        match opcode {
            8 if length >= 2 => bytes[start..start + 2].copy_from_slice(&1000_u16.to_be_bytes()),
            // A stored block, as long as the frame.
            1 | 2 if compressed && length > 5 => {
                let stored = (length - 5) as u16;
                let head =
                    [0, stored as u8, (stored >> 8) as u8, !stored as u8, (!stored >> 8) as u8];
                bytes[start..start + 5].copy_from_slice(&head);
            }
            _ => {}
        }
    }
    for _ in 0..random.below(3) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
    }
    bytes
}

/// Feeds `input` in pieces, sends each message back, and gives what came of it.
fn run(
    kind: usize,
    input: &[u8],
    held_max: &mut usize,
    mut piece: impl FnMut() -> usize,
) -> Vec<Event> {
    let mut connection = connection(kind);
    let mut events = Vec::new();
    let mut rest = input.to_vec();
    while !rest.is_empty() {
        let end = piece().clamp(1, rest.len());
        let count = connection.handle_input(NOW, &mut rest[..end]);
        *held_max = connection.held_bytes().max(*held_max);
        let mut moved = count > 0;
        while let Some(event) = connection.poll_event() {
            moved = true;
            if let Event::Message(message) = &event {
                assert!(message.len() <= MESSAGE_BYTES_MAX);
                let _ = connection.send(NOW, message.clone());
            }
            events.push(event);
        }
        while connection.wants_transmit() {
            assert!(connection.poll_transmit(NOW, &mut [0; 50]) > 0);
            moved = true;
        }
        assert!(moved, "it is stuck");
        rest.drain(..count);
    }
    connection.handle_end(NOW);
    events.extend(std::iter::from_fn(|| connection.poll_event()));
    assert!(matches!(events.last(), Some(Event::Closed(_))), "the end is told");
    events
}

#[test]
fn no_conversation_panics_and_pieces_make_no_difference() {
    let (mut messages, mut failures, mut held_max) = (0, 0, 0);
    for seed in 1..=ROUNDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let kind = random.below(8);
        let input = conversation(&mut random, kind);
        let whole = run(kind, &input, &mut held_max, || usize::MAX);
        let pieces = run(kind, &input, &mut held_max, || 1 + random.below(40));
        assert_eq!(whole, pieces, "seed {seed}, kind {kind}");
        messages += whole.iter().filter(|event| matches!(event, Event::Message(_))).count();
        failures += usize::from(matches!(whole.last(), Some(Event::Closed(Err(_)))));
    }
    let bounds = HELD_BYTES_MAX - HELD_BYTES_MAX / 20..=HELD_BYTES_MAX;
    assert!(bounds.contains(&held_max), "{held_max} bytes are held at most");
    // What is tried is neither all right nor all wrong.
    assert!(messages > 1000 && failures > 1000, "{messages} messages, {failures} failures");
}
