//! HTTP/1.1: a server with the application of `http_test_server`, and a client with one request under way.

use crate::{input, pieces, shown, word};
use http::client::{Connection, Event, Request};
use http::{ConnectionState, Limits};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;
use web::{ContentLength, Method};

const NOW: Duration = Duration::ZERO;

pub(crate) fn run(case: &Value, piece: usize) -> Vec<String> {
    let limits = Limits { header_bytes_max: 400, body_bytes_max: 1000, ..Limits::default() };
    match word(case, "of") {
        "server" => serve(&input(case), piece, &limits),
        "client" => ask(case, piece, limits),
        other => panic!("no {other}"),
    }
}

fn serve(input: &[u8], piece: usize, limits: &Limits) -> Vec<String> {
    let outcome = http_test_server::serve_in_pieces(input, piece, usize::MAX, limits);
    let mut gives = outcome.events;
    gives.push(format!("sent: {}", shown(outcome.output.as_bytes())));
    gives.push(format!("{:?}", outcome.state));
    gives
}

fn ask(case: &Value, piece: usize, limits: Limits) -> Vec<String> {
    let (mut connection, mut gives) = (Connection::new(Rc::new(limits)), Vec::new());
    let method = match word(case, "method") {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "CONNECT" => Method::Connect,
        other => panic!("no {other}"),
    };
    let mut request = Request::new(method, "a:1", "/").expect("valid");
    if case["upgrade"] == true {
        request = request.upgrading("echo");
    }
    connection.request(NOW, request).expect("the first");
    let mut space = [0; 300];
    let count = connection.poll_transmit(NOW, &mut space);
    gives.push(format!("sent: {}", shown(&space[..count])));
    let (mut ring, mut content) = (Vec::new(), Vec::new());
    for piece in pieces(&input(case), piece) {
        ring.extend_from_slice(piece);
        loop {
            let taken = connection.handle_input(NOW, &ring);
            while let Some(event) = connection.poll_event() {
                note(event, &ring, &mut connection, &mut content, &mut gives);
            }
            ring.drain(..taken);
            if taken == 0 {
                break;
            }
        }
    }
    if !matches!(connection.state(), ConnectionState::Closed) {
        connection.handle_end(NOW);
    }
    while let Some(event) = connection.poll_event() {
        note(event, &[], &mut connection, &mut content, &mut gives);
    }
    gives.push(format!("{:?}", connection.state()));
    gives
}

fn note(
    event: Event,
    input: &[u8],
    connection: &mut Connection,
    content: &mut Vec<u8>,
    gives: &mut Vec<String>,
) {
    match event {
        Event::Response(response) => {
            gives.push(format!("{:?} {:?}", response.status(), response.content_length()));
            for (name, value) in response.headers() {
                gives.push(format!("{}: {}", shown(name), shown(value)));
            }
            if response.content_length() != ContentLength::Empty {
                connection.read_body(NOW);
            }
        }
        Event::Data(range) => content.extend_from_slice(&input[range]),
        Event::End(trailers) => {
            gives.push(format!("content: {}", shown(&std::mem::take(content))));
            for (name, value) in trailers.iter().flat_map(|trailers| trailers.headers()) {
                gives.push(format!("trailer {}: {}", shown(name), shown(value)));
            }
        }
        Event::Failed(error) => gives.push(format!("failed: {error:?}")),
    }
}
