//! WebSocket: either side of a connection, and the opening handshake.

use crate::{input, pieces, shown, word};
use serde_json::Value;
use std::time::Duration;
use web::{RequestHead, Status};
use websocket::handshake::{ClientOptions, Opening, ServerOptions, accept};
use websocket::{
    AgreedDeflate, Connection, Deflate, Event, Limits, Message, Role, Session, SharedCompressor,
};

const NOW: Duration = Duration::from_secs(1);
const PROTOCOLS: &[&str] = &["chat", "superchat"];

pub(crate) fn run(case: &Value, piece: usize) -> Vec<String> {
    match word(case, "of") {
        "server" => exchange(Role::Server, false, case, piece),
        "client" => exchange(Role::Client { mask_seed: [9; 32] }, false, case, piece),
        "compressing server" => exchange(Role::Server, true, case, piece),
        "request" => answer(&input(case)),
        "response" => check(&input(case)),
        other => panic!("no {other}"),
    }
}

/// Feeds the input, then sends the messages of `send`.
fn exchange(role: Role, is_compressing: bool, case: &Value, piece: usize) -> Vec<String> {
    let limits = Limits { message_bytes_max: 500, fragments_max: 4, ..Limits::default() };
    let agreed = AgreedDeflate {
        deflate: Deflate { message_bytes_min: 0, ..Deflate::default() },
        keeps_own_context: false,
        peer_keeps_context: false,
        own_window_bits: 15,
    };
    let deflate = is_compressing.then(|| (agreed, SharedCompressor::default()));
    let mut connection = Connection::new(Session { role, deflate, limits }, NOW);
    let (mut gives, mut sent) = (Vec::new(), Vec::new());
    for piece in pieces(&input(case), piece) {
        let mut rest = piece.to_vec();
        while !rest.is_empty() {
            let taken = connection.handle_input(NOW, &mut rest);
            rest.drain(..taken);
            let has_moved = take(&mut connection, &mut gives, &mut sent);
            assert!(taken > 0 || has_moved, "it is stuck");
        }
    }
    for text in case["send"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Err(refused) = connection.send(NOW, Message::from(text)) {
            gives.push(format!("not sent: {refused:?}"));
        }
    }
    take(&mut connection, &mut gives, &mut sent);
    gives.push(format!("sent: {}", shown(&sent)));
    gives.push(format!("{:?}", connection.state()));
    gives
}

/// Takes events and output; whether there was any.
fn take(connection: &mut Connection, gives: &mut Vec<String>, sent: &mut Vec<u8>) -> bool {
    let before = (gives.len(), sent.len());
    while let Some(event) = connection.poll_event() {
        gives.push(match event {
            Event::Message(Message::Text(text)) => format!("text: {text}"),
            Event::Message(Message::Binary(bytes)) => format!("binary: {}", shown(&bytes)),
            Event::Closed(Ok(closure)) => format!("closed: {closure}"),
            Event::Closed(Err(error)) => format!("failed: {error}"),
        });
    }
    while connection.wants_transmit() {
        let mut space = [0; 50];
        let count = connection.poll_transmit(NOW, &mut space);
        sent.extend_from_slice(&space[..count]);
    }
    (gives.len(), sent.len()) != before
}

/// A server's answer to a request: the method, then a line for each field.
fn answer(input: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(input).expect("text");
    let (method, fields) = text.split_once('\n').unwrap_or((text, ""));
    let fields: Vec<_> = fields.lines().filter_map(|line| line.split_once(": ")).collect();
    let names = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    let mut head = RequestHead::new(method, "/", names);
    let is_upgrade = fields.iter().any(|(name, _)| *name == "Upgrade");
    head.parts_mut().expect("nobody else has it").upgrade = is_upgrade;
    let deflate = Some(Deflate::default());
    let options = ServerOptions { protocols: PROTOCOLS, deflate, ..ServerOptions::default() };
    let (response, agreed) = match accept(&head, &options) {
        Ok((response, agreed)) => (response, Some(agreed)),
        Err(response) => (response, None),
    };
    let mut gives = vec![response.status().code().to_string()];
    let field = |(name, value): (&[u8], &[u8])| format!("{}: {}", shown(name), shown(value));
    gives.extend(response.headers().map(field));
    if let Some(agreed) = agreed {
        gives.push(format!("protocol {:?}, {:?}", agreed.protocol, agreed.deflate.map(essence)));
    }
    gives
}

fn essence(agreed: AgreedDeflate) -> (bool, bool, u8) {
    (agreed.keeps_own_context, agreed.peer_keeps_context, agreed.own_window_bits)
}

/// What a client makes of a response: the status, then a line for each field. Its key is that of RFC 6455 section 1.3.
fn check(input: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(input).expect("text");
    let (status, fields) = text.split_once('\n').unwrap_or((text, ""));
    let status = status.parse().ok().and_then(Status::new).expect("a status");
    let options = ClientOptions {
        protocols: PROTOCOLS,
        deflate: Some(Deflate::default()),
        ..ClientOptions::default()
    };
    let opening = Opening::new(*b"the sample nonce", options);
    let mut gives: Vec<_> = opening
        .fields()
        .iter()
        .map(|(name, value)| format!("asks {name}: {}", shown(value)))
        .collect();
    let named = |name: &'static str| {
        let lines = fields.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_bytes())
    };
    gives.push(match opening.check(status, named) {
        Ok(agreed) => format!("protocol {:?}, {:?}", agreed.protocol, agreed.deflate.map(essence)),
        Err(refused) => format!("refused: {refused:?}"),
    });
    gives
}
