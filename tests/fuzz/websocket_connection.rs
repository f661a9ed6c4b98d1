//! Any bytes, in any pieces, to either side of a WebSocket: no panic, bounded memory, and the pieces make no difference.

use std::time::Duration;
use websocket::{
    AgreedDeflate, Connection, Deflate, Event, Limits, Role, Session, SharedCompressor,
};

const NOW: Duration = Duration::from_secs(1);
const MESSAGE_BYTES_MAX: usize = 3000;
/// A message being made and its copy, a window, a compressor, and small things.
const HELD_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX + (64 << 10) + (340 << 10);

pub(crate) fn target(data: &[u8]) {
    let [kind, piece, input @ ..] = data else { return };
    let whole = run(*kind, input, usize::MAX);
    let pieces = run(*kind, input, usize::from(*piece).max(1));
    assert_eq!(whole, pieces);
}

/// Feeds `input` in pieces, sends each message back, and gives what came of it. Pongs are not compared: where they stand
/// among messages depends on when output is taken.
fn run(kind: u8, input: &[u8], piece: usize) -> Vec<Event> {
    let mut connection = connection(kind);
    let mut events = Vec::new();
    for piece in input.chunks(piece.min(input.len().max(1))) {
        let mut piece = piece.to_vec();
        let mut taken = 0;
        while taken < piece.len() {
            let count = connection.handle_input(NOW, &mut piece[taken..]);
            taken += count;
            assert!(connection.held_bytes() < HELD_BYTES_MAX, "{} bytes", connection.held_bytes());
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
        }
    }
    connection.handle_end(NOW);
    events.extend(std::iter::from_fn(|| connection.poll_event()));
    assert!(matches!(events.last(), Some(Event::Closed(_))), "the end is told");
    events
}

fn connection(kind: u8) -> Connection {
    let role = if kind & 1 == 0 { Role::Server } else { Role::Client { mask_seed: [kind; 32] } };
    let keeps_context = kind & 4 != 0;
    let agreed = AgreedDeflate {
        deflate: Deflate { message_bytes_min: 0, ..Deflate::default() },
        keeps_own_context: keeps_context,
        peer_keeps_context: keeps_context,
        own_window_bits: 8 + (kind >> 3) % 8,
    };
    let deflate = (kind & 2 != 0).then(|| (agreed, SharedCompressor::default()));
    let limits =
        Limits { message_bytes_max: MESSAGE_BYTES_MAX, fragments_max: 20, ..Limits::default() };
    Connection::new(Session { role, deflate, limits }, NOW)
}
