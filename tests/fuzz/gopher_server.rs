//! Any bytes, in any pieces, to a Gopher server: no panic, one request at most, and the pieces make no difference.

use flow::Address;
use gopher::{Config, Connection, Limits, Shared};
use std::rc::Rc;
use std::time::Duration;
use web::menu::{ItemType, Menu};
use web::server::{ConnectionState, Event, ServerCore};
use web::{Content, Response, Status};

const NOW: Duration = Duration::ZERO;

pub(crate) fn target(data: &[u8]) {
    let [piece, room, kind, input @ ..] = data else { return };
    let whole = serve(*kind, input, usize::MAX, usize::MAX);
    let pieces = serve(*kind, input, usize::from(*piece).max(1), usize::from(*room).max(1));
    assert_eq!(whole, pieces);
}

/// What was asked, what was sent, and how it ended. The answer is of the input itself.
fn serve(
    kind: u8,
    input: &[u8],
    piece: usize,
    room: usize,
) -> (Vec<String>, Vec<u8>, ConnectionState) {
    let limits = Limits { request_bytes_max: 100, ..Limits::default() };
    let config = Config { limits, host: "a.example".into(), port: 70, wall_clock_start: None };
    let mut connection = Connection::new(Rc::new(Shared::new(config)), Address::Memory(0), NOW);
    let mut events = Vec::new();
    for piece in input.chunks(piece.min(input.len().max(1))) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = connection.handle_input(NOW, rest);
            rest = &rest[taken..];
            while let Some(event) = connection.poll_event() {
                match event {
                    Event::Request(head) => events.push(format!("{:?}", head.target())),
                    Event::Failed(error, _) => events.push(format!("failed {error:?}")),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    // The page of a link has it three times, in up to six characters for each, and a string may be half empty.
    assert!(events.len() <= 1 && connection.held_bytes() < 2 * (100 * 18 + 300));
    if connection.has_request() {
        let _ = connection.respond(NOW, response(kind, input));
    }
    let (mut output, mut out) = (Vec::new(), vec![0; room.min(1 << 16)]);
    while connection.wants_transmit() {
        let sent = connection.poll_transmit(NOW, &mut out);
        output.extend_from_slice(&out[..sent]);
    }
    (events, output, connection.state())
}

fn response(kind: u8, input: &[u8]) -> Response {
    match kind % 5 {
        0 => Response::ok("text/plain", input.to_vec()),
        1 => Response::ok("application/gopher-menu", input.to_vec()),
        2 => Response::ok("image/gif", input.to_vec()),
        3 => Menu::new().item(ItemType::Text, &String::from_utf8_lossy(input), "/").into(),
        _ => Response::new(Status::FOUND)
            .with_header("Location", input)
            .carrying(Content::Parts(vec!["a".into()])),
    }
}
