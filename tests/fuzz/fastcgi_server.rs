//! Any bytes, in any pieces, to a FastCGI responder: no panic, whole records come back, and the pieces make no difference
//! to what is asked.

use fastcgi::{Config, Connection, Limits, Shared};
use flow::Address;
use std::rc::Rc;
use std::time::Duration;
use web::server::{ConnectionState, Event, ServerCore};
use web::{Content, ContentLength, Response, Status};

const NOW: Duration = Duration::ZERO;

pub(crate) fn target(data: &[u8]) {
    let [piece, room, input @ ..] = data else { return };
    // Answers wait for the end of the input: until then, which request is open does not depend on the pieces.
    let whole = serve(input, usize::MAX, usize::from(*room).max(1));
    let pieces = serve(input, usize::from(*piece).max(1), usize::from(*room).max(1));
    assert_eq!(whole, pieces);
}

/// What was asked, and how it ended.
fn serve(input: &[u8], piece: usize, room: usize) -> (Vec<String>, ConnectionState) {
    let limits =
        Limits { params_bytes_max: 300, body_bytes_max: 300, params_max: 16, ..Limits::default() };
    let shared = Shared::new(Config { limits, wall_clock_start: None });
    let mut connection = Connection::new(Rc::new(shared), Address::Memory(0), NOW);
    let (mut events, mut output, mut out) = (Vec::new(), Vec::new(), vec![0; room]);
    let mut rest = Vec::new();
    for piece in input.chunks(piece.min(input.len().max(1))) {
        rest.extend_from_slice(piece);
        loop {
            let taken = connection.handle_input(NOW, &rest);
            let before = events.len();
            while let Some(event) = connection.poll_event() {
                events.push(name(&mut connection, event, &rest));
            }
            rest.drain(..taken);
            assert!(connection.held_bytes() < 20_000);
            let sent =
                if connection.has_request() { 0 } else { connection.poll_transmit(NOW, &mut out) };
            output.extend_from_slice(&out[..sent]);
            if taken == 0 && sent == 0 && events.len() == before {
                break;
            }
        }
    }
    let state = connection.state();
    if connection.has_request() {
        let content = Content::Parts(vec!["a".into(), "bc".into()]);
        let _ = connection.respond(NOW, Response::new(Status::OK).carrying(content));
    }
    while connection.wants_transmit() {
        let sent = connection.poll_transmit(NOW, &mut out);
        output.extend_from_slice(&out[..sent]);
    }
    whole_records(&output);
    joined(events, state)
}

fn name(
    connection: &mut Connection,
    event: Event<fastcgi::Error>,
    input: &[u8],
) -> String {
    match event {
        Event::Request(head) => {
            if head.content_length() != ContentLength::Empty {
                connection.read_body(NOW);
            }
            format!("request {:?}", head.target())
        }
        Event::Data(range) => format!("data {:?}", &input[range]),
        Event::End(_) => "end".into(),
        Event::Incomplete => "incomplete".into(),
        Event::Cancelled => "cancelled".into(),
        Event::Failed(error, _) => format!("failed {error:?}"),
        Event::Answered(..) => unreachable!("nothing is repeatable"),
    }
}

/// Runs of data joined, since they follow the pieces.
fn joined(events: Vec<String>, state: ConnectionState) -> (Vec<String>, ConnectionState) {
    let mut joined: Vec<String> = Vec::new();
    for event in events {
        if event.starts_with("failed") {
            // How much of refused content comes before its refusal follows the pieces.
            joined.pop_if(|last| last.starts_with("data ["));
        }
        match (joined.last_mut(), event.strip_prefix("data [")) {
            (Some(last), Some(more)) if last.starts_with("data [") => {
                last.pop();
                last.push_str(", ");
                last.push_str(more);
            }
            _ => joined.push(event),
        }
    }
    (joined, state)
}

fn whole_records(mut output: &[u8]) {
    while let Some(header) = output.first_chunk::<8>() {
        assert_eq!(header[0], 1);
        let length = 8 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        assert!(output.len() >= length, "a record that was cut");
        output = &output[length..];
    }
    assert!(output.is_empty());
}
