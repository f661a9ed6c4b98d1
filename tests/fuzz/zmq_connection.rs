//! Any bytes, in any pieces, to a ZMTP connection: no panic, bounded output, and the pieces make no
//! difference.

use std::sync::Arc;
use std::time::Duration;
use zmq::{Authority, Config, Connection, CurveServer, Event, Limits, Security, SocketType};

pub(crate) fn target(data: &[u8]) {
    let [choice, step, input @ ..] = data else { return };
    let whole = outcome(*choice, input, usize::MAX);
    let pieces = outcome(*choice, input, usize::from(*step).max(1));
    assert_eq!(whole, pieces);
}

struct Anybody;

impl Authority for Anybody {
    fn admits_password(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn admits_key(&self, _: &[u8; 32]) -> bool {
        true
    }
}

fn security(choice: u8) -> Security {
    match choice % 4 {
        0 | 1 => Security::Null,
        2 => Security::PlainServer(Arc::new(Anybody)),
        _ => {
            Security::CurveServer(CurveServer { secret_key: [9; 32], authority: Arc::new(Anybody) })
        }
    }
}

/// What came of the input: what was heard, what was answered, and how it ended.
fn outcome(choice: u8, input: &[u8], step: usize) -> (Vec<String>, Vec<u8>, String) {
    let limits =
        Limits { frame_bytes_max: 300, command_bytes_max: 500, parts_max: 4, ..Limits::default() };
    let security = security(choice);
    // Most inputs start behind the greeting; odd choices of NULL behind the handshake too.
    let mut start = vec![0; 64];
    (start[0], start[9], start[10], start[11]) = (0xFF, 0x7F, 3, choice >> 7 ^ 1);
    start[12..16].copy_from_slice(b"NULL");
    match security {
        Security::PlainServer(_) => start[12..17].copy_from_slice(b"PLAIN"),
        Security::CurveServer(_) => start[12..17].copy_from_slice(b"CURVE"),
        _ if choice % 4 == 1 => {
            start.extend_from_slice(b"\x04\x1C\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
        }
        _ => {}
    }
    let config = Config { security, limits, ..Config::new(SocketType::Dealer) };
    let mut connection = Connection::new(Duration::ZERO, Arc::new(config), &[3; 48]);
    let bytes = [&start[..], input].concat();
    let mut seen = Vec::new();
    let (mut output, mut space) = (Vec::new(), vec![0; 16 << 10]);
    let mut part = Vec::new();
    let mut end = String::new();
    'all: for piece in bytes.chunks(step.min(bytes.len())) {
        let mut rest = piece;
        while !rest.is_empty() {
            match connection.handle_input(Duration::ZERO, rest) {
                Err(error) => {
                    end = error.to_string();
                    break 'all;
                }
                Ok(count) => {
                    let (taken, left) = rest.split_at(count);
                    rest = left;
                    match connection.poll_event() {
                        Some(Event::Body(body)) => {
                            part.extend_from_slice(body.bytes(taken));
                            if body.part_left == 0 {
                                seen.push(format!("{} {part:?}", body.more));
                                part.clear();
                            }
                        }
                        Some(event) => seen.push(format!("{event:?}")),
                        None if count > 0 || rest.is_empty() => {}
                        // Answers to commands are to leave first.
                        None => {
                            let written = connection.poll_transmit(Duration::ZERO, &mut space);
                            assert!(written > 0, "nothing happened and bytes are left");
                            output.extend_from_slice(&space[..written]);
                        }
                    }
                }
            }
        }
    }
    let written = connection.poll_transmit(Duration::ZERO, &mut space);
    assert!(!connection.has_output(), "more output than 16 KiB");
    output.extend_from_slice(&space[..written]);
    (seen, output, end)
}
