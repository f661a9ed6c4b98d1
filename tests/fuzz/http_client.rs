//! Any bytes, in any pieces, to a client: no panic, and the pieces make no difference.

use http::client::{Connection, Event, Request};
use http::{ConnectionState, Limits};
use std::rc::Rc;
use std::time::Duration;
use web::{ContentLength, Method};

pub(crate) fn target(data: &[u8]) {
    let [kind, piece, input @ ..] = data else { return };
    let input = [input, b"\r\n\r\n\r\n\r\n"].concat();
    let whole = receive(*kind, &input, usize::MAX);
    assert_eq!(whole, receive(*kind, &input, usize::from(*piece).max(1)));
}

fn receive(kind: u8, input: &[u8], piece_len: usize) -> (Vec<String>, ConnectionState) {
    let now = Duration::ZERO;
    // A body beyond its limit is refused sooner or later, as the pieces fall; so none here is.
    let limits = Limits { header_bytes_max: 400, body_bytes_max: 1 << 20, ..Default::default() };
    let mut connection = Connection::new(Rc::new(limits));
    let method = [Method::Get, Method::Head, Method::Connect, Method::Post][usize::from(kind % 4)];
    let mut request = Request::new(method, "a:1", "/").expect("valid");
    if kind & 4 != 0 {
        request = request.upgrading("echo");
    }
    connection.request(now, request).expect("new");
    connection.poll_transmit(now, &mut [0; 300]);
    let mut events: Vec<String> = Vec::new();
    let mut ring = Vec::new();
    for piece in input.chunks(piece_len.min(input.len())) {
        ring.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let base = at;
            at += connection.handle_input(now, &ring[at..]);
            while let Some(event) = connection.poll_event() {
                note(event, &ring[base..], &mut connection, &mut events);
            }
            if at == base {
                break;
            }
        }
        ring.drain(..at);
    }
    connection.handle_end(now);
    while let Some(event) = connection.poll_event() {
        note(event, &[], &mut connection, &mut events);
    }
    (events, connection.state())
}

fn note(event: Event, input: &[u8], connection: &mut Connection, events: &mut Vec<String>) {
    match event {
        Event::Response(response) => {
            events.push(format!("{:?} {:?}", response.status(), response.content_length()));
            if response.content_length() != ContentLength::Empty {
                connection.read_body(Duration::ZERO);
                events.push(String::new());
            }
        }
        Event::Data(range) => {
            let text = format!("{}", input[range].escape_ascii());
            events.last_mut().expect("a response came first").push_str(&text);
        }
        Event::End(trailers) => {
            let count = trailers.map_or(0, |trailers| trailers.headers().count());
            events.push(format!("end, {count} trailers"));
        }
        // Which of several faults is found first may depend on the pieces.
        Event::Failed(_) => events.push("failed".to_owned()),
    }
}
