//! ZeroMQ: a connection that is given bytes, two that talk to each other, byte for byte, and frames of ZWS 2.0.

use crate::{input, pieces, shown, word};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use zmq::{
    Authority, Config, Connection, CurveClient, CurveServer, Error, Event, Limits, Message,
    Security, SocketType, WebSocketFraming, public_key,
};

const NOW: Duration = Duration::ZERO;
const SERVER_KEY: [u8; 32] = [9; 32];
const CLIENT_KEY: [u8; 32] = [7; 32];

struct Door;

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (b"ada", b"1815")
    }

    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == public_key(&CLIENT_KEY)
    }
}

pub(crate) fn run(case: &Value, piece: usize) -> Vec<String> {
    let mechanism = word(case, "mechanism");
    match word(case, "of") {
        "connection" => {
            let mut side = Side::new(socket_type(case), server(mechanism), 1);
            let end = side.feed(&input(case), piece);
            side.gives.extend(end.err().map(|error| failed(&error)));
            side.gives.push(format!("sent: {}", shown(&output(&mut side.connection))));
            side.gives
        }
        "conversation" => talk(mechanism, &input(case), piece),
        "websocket" => framed(&input(case)),
        other => panic!("no {other}"),
    }
}

fn failed(error: &Error) -> String {
    format!("failed: {error}")
}

fn socket_type(case: &Value) -> SocketType {
    match word(case, "socket") {
        "DEALER" => SocketType::Dealer,
        "PUB" => SocketType::Pub,
        "REP" => SocketType::Rep,
        other => panic!("no {other}"),
    }
}

fn server(mechanism: &str) -> Security {
    match mechanism {
        "NULL" => Security::Null,
        "PLAIN" => Security::PlainServer(Arc::new(Door)),
        "CURVE" => {
            Security::CurveServer(CurveServer { secret_key: SERVER_KEY, authority: Arc::new(Door) })
        }
        other => panic!("no {other}"),
    }
}

fn client(mechanism: &str) -> Security {
    match mechanism {
        "PLAIN" => Security::PlainClient { username: "ada".into(), password: "1815".into() },
        "CURVE" => Security::CurveClient(CurveClient {
            server_public_key: public_key(&SERVER_KEY),
            secret_key: CLIENT_KEY,
        }),
        _ => Security::Null,
    }
}

struct Side {
    connection: Connection,
    part: Vec<u8>,
    gives: Vec<String>,
}

impl Side {
    fn new(socket_type: SocketType, security: Security, seed: u8) -> Self {
        let limits = Limits {
            frame_bytes_max: 300,
            command_bytes_max: 500,
            parts_max: 4,
            ..Limits::default()
        };
        let config = Config { security, limits, ..Config::new(socket_type) };
        let connection = Connection::new(NOW, Arc::new(config), &[seed; 48]);
        Self { connection, part: Vec::new(), gives: Vec::new() }
    }

    /// Takes input in pieces, and notes what came of it.
    fn feed(&mut self, bytes: &[u8], piece: usize) -> Result<(), Error> {
        for mut rest in pieces(bytes, piece) {
            while !rest.is_empty() {
                let count = self.connection.handle_input(NOW, rest)?;
                let (taken, left) = rest.split_at(count);
                rest = left;
                let event = self.connection.poll_event();
                assert!(count > 0 || event.is_some(), "it is stuck");
                match event {
                    Some(Event::Body(body)) => {
                        self.part.extend_from_slice(body.bytes(taken));
                        if body.part_left == 0 {
                            let part = shown(&std::mem::take(&mut self.part));
                            let more = if body.more { ", more follow" } else { "" };
                            self.gives.push(format!("part: {part}{more}"));
                        }
                    }
                    Some(event) => self.gives.push(format!("{event:?}")),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// All that a connection has to send.
fn output(connection: &mut Connection) -> Vec<u8> {
    let (mut bytes, mut space) = (Vec::new(), [0; 100]);
    loop {
        if let Some(long) = connection.long_output() {
            bytes.extend_from_slice(&long);
            connection.long_output_taken(NOW, long.len());
            continue;
        }
        match connection.poll_transmit(NOW, &mut space) {
            0 => return bytes,
            count => bytes.extend_from_slice(&space[..count]),
        }
    }
}

/// A client and a server of a mechanism, the client's message, and the same back.
fn talk(mechanism: &str, message: &[u8], piece: usize) -> Vec<String> {
    let mut gives = Vec::new();
    let mut sides = [
        Side::new(SocketType::Dealer, client(mechanism), 1),
        Side::new(SocketType::Dealer, server(mechanism), 2),
    ];
    for sender in [None, Some(0), Some(1)] {
        if let Some(sender) = sender {
            let message = Message::new(message.to_vec());
            sides[sender].connection.send(message).expect("they are ready");
        }
        loop {
            let before = gives.len();
            for (from, to) in [(0, 1), (1, 0)] {
                let bytes = output(&mut sides[from].connection);
                if bytes.is_empty() {
                    continue;
                }
                gives.push(format!("{} says {}", ["client", "server"][from], shown(&bytes)));
                gives.extend(sides[to].feed(&bytes, piece).err().map(|error| failed(&error)));
            }
            if gives.len() == before {
                break;
            }
        }
    }
    for (side, name) in sides.iter_mut().zip(["client", "server"]) {
        gives.extend(side.gives.drain(..).map(|event| format!("{name}: {event}")));
    }
    gives
}

/// The bytes of ZMTP that a WebSocket's message is, if it is any.
fn framed(message: &[u8]) -> Vec<String> {
    let config = Config::new(SocketType::Dealer);
    let framing = WebSocketFraming::new(&config, "ZWS2.0").expect("its name");
    vec![match framing.decode(message) {
        Some(bytes) => format!("ZMTP: {}", shown(&bytes)),
        None => "no frame".to_owned(),
    }]
}
