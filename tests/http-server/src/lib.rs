//! HTTP server in memory: a connection that tests and the fuzzer feed with bytes, with a small application behind it.
#![forbid(unsafe_code)]

use http::server::{Config, Connection, Event, Shared};
use http::{ConnectionState, Limits};
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Data, RequestHead, Response, Status};

/// What came of feeding a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was sent.
    pub output: String,
    /// What happened, in words.
    pub events: Vec<String>,
    /// What is left of the connection.
    pub state: ConnectionState,
    /// What was not consumed of the input.
    pub unread: String,
}

/// A server connection, its rings and its application.
pub struct Server {
    /// The protocol core.
    pub connection: Connection,
    /// What it shares with other connections.
    pub shared: Rc<Shared>,
    /// The time, which only tests move.
    pub now: Duration,
    /// What came in and was not consumed.
    pub ring: Vec<u8>,
    /// What was sent.
    pub output: Vec<u8>,
    /// What happened, in words.
    pub events: Vec<String>,
    /// Room of the transmit ring at each call.
    pub room: usize,
    open: Option<(RequestHead, Vec<u8>)>,
    stream: Vec<Data>,
    streaming: bool,
}

impl Server {
    /// The first connection of a server.
    pub fn new(config: Config) -> Server {
        Server::sharing(Rc::new(Shared::new(config)))
    }

    /// One more connection of a server.
    pub fn sharing(shared: Rc<Shared>) -> Server {
        Server {
            connection: Connection::new(shared.clone(), Duration::ZERO),
            shared,
            now: Duration::ZERO,
            ring: Vec::new(),
            output: Vec::new(),
            events: Vec::new(),
            room: usize::MAX,
            open: None,
            stream: Vec::new(),
            streaming: false,
        }
    }

    /// Feeds `input` and lets everything happen that can.
    pub fn feed(&mut self, input: &[u8]) {
        self.ring.extend_from_slice(input);
        loop {
            let ring = std::mem::take(&mut self.ring);
            let consumed = self.connection.handle_input(self.now, &ring);
            let had_event = self.take_events(&ring);
            self.ring = ring[consumed..].to_vec();
            let sent = self.transmit();
            if !had_event && consumed == 0 && !sent {
                return;
            }
        }
    }

    /// No more input comes.
    pub fn end(&mut self) {
        self.connection.handle_end(self.now);
        self.take_events(&[]);
        self.feed(b"");
    }

    /// Lets time pass until the next deadline; whether there was one.
    pub fn run_to_deadline(&mut self) -> bool {
        let Some(deadline) = self.connection.next_deadline() else { return false };
        self.now = self.now.max(deadline);
        self.connection.handle_timeout(self.now);
        self.take_events(&[]);
        self.feed(b"");
        true
    }

    /// What came of it all.
    pub fn outcome(self) -> Outcome {
        Outcome {
            output: String::from_utf8_lossy(&self.output).into_owned(),
            events: self.events,
            state: self.connection.state(),
            unread: String::from_utf8_lossy(&self.ring).into_owned(),
        }
    }

    /// Takes what came of `input`; whether anything did.
    fn take_events(&mut self, input: &[u8]) -> bool {
        let mut any = false;
        while let Some(event) = self.connection.poll_event() {
            any = true;
            self.take_event(event, input);
        }
        any
    }

    fn take_event(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Request(request) => {
                let body =
                    if request.content_length() == web::ContentLength::Empty { "" } else { " ..." };
                let (name, target) = (request.method_name().to_vec(), request.target().to_vec());
                self.events.push(format!(
                    "{} {}{body}",
                    name.escape_ascii(),
                    target.escape_ascii()
                ));
                if body.is_empty() {
                    return self.answer(&request, Vec::new());
                }
                match request.path() {
                    b"/refuse" => {
                        self.connection
                            .respond(self.now, Response::plain(Status::FORBIDDEN))
                            .unwrap();
                        self.connection.drop_body(self.now);
                    }
                    b"/early" => {
                        self.connection
                            .respond(self.now, Response::ok("text/plain", "early"))
                            .unwrap();
                        self.connection.read_body(self.now);
                        self.open = Some((request, Vec::new()));
                    }
                    _ => {
                        self.connection.read_body(self.now);
                        self.open = Some((request, Vec::new()));
                    }
                }
            }
            Event::Answered(request, status, content_bytes) => {
                let (name, target) = (request.method_name(), request.target());
                let (name, target) = (name.escape_ascii(), target.escape_ascii());
                self.events
                    .push(format!("again {name} {target} {} {content_bytes}", status.code()));
            }
            Event::Data(range) => {
                self.open.as_mut().unwrap().1.extend_from_slice(&input[range]);
            }
            Event::End(trailers) => {
                let (request, body) = self.open.take().unwrap();
                let mut text = format!("body {}", body.escape_ascii());
                for (name, value) in trailers.iter().flat_map(|trailers| trailers.headers()) {
                    text += &format!(" [{}={}]", name.escape_ascii(), value.escape_ascii());
                }
                self.events.push(text);
                if request.path() != b"/early" {
                    self.answer(&request, body);
                }
            }
            Event::Failed(error, _) => {
                self.open = None;
                self.events.push(format!("failed: {error:?}"));
            }
            Event::Incomplete | Event::Cancelled => {
                unreachable!("HTTP/1.1 has no word for either")
            }
        }
    }

    fn answer(&mut self, request: &RequestHead, body: Vec<u8>) {
        let response = match request.path() {
            b"/" => Response::ok("text/plain", "hello, world\n"),
            b"/echo" => Response::ok("application/octet-stream", body),
            b"/headers" => {
                let list = request
                    .headers()
                    .map(|(n, v)| format!("{}={}\n", n.escape_ascii(), v.escape_ascii()));
                Response::ok("text/plain", list.collect::<String>())
            }
            b"/authority" => Response::ok("text/plain", request.authority().to_vec()),
            b"/stream" => {
                self.streaming = true;
                self.stream = ["two", "one"].into_iter().map(Data::from).collect();
                Response::new(Status::OK).carrying(Content::Stream(None))
            }
            b"/stream-6" => {
                self.streaming = true;
                self.stream = ["two", "one"].into_iter().map(Data::from).collect();
                Response::new(Status::OK).carrying(Content::Stream(Some(6)))
            }
            b"/parts" => Response::new(Status::OK).carrying(Content::Parts(vec![
                "a".into(),
                "".into(),
                "bc".into(),
            ])),
            b"/empty" => Response::new(Status::NO_CONTENT),
            b"/upgrade-first" => Response::upgrade_required("echo"),
            b"/same" => Response::new(Status::NOT_MODIFIED).with_header("ETag", "\"1\""),
            b"/reset" => Response::new(Status::RESET_CONTENT),
            b"/odd" => Response::new(Status::new(299).unwrap()),
            b"/kept" => Response::ok("text/plain", "kept").repeatable(),
            b"/kept-long" => {
                let text: &'static str = "long".repeat(1000).leak();
                Response::ok("text/plain", text).repeatable()
            }
            b"/kept-copied" => Response::ok("text/plain", "long".repeat(1000)).repeatable(),
            b"/long" => Response::ok("text/plain", vec![b'x'; 400_000]),
            b"/long-parts" => Response::new(Status::OK)
                .carrying(Content::Parts((0..40).map(|_| vec![b'x'; 10_000].into()).collect())),
            b"/long-stream" => {
                self.streaming = true;
                self.stream = (0..40).map(|_| vec![b'x'; 10_000].into()).collect();
                Response::new(Status::OK).carrying(Content::Stream(None))
            }
            b"/close" => Response::ok("text/plain", "bye").closing(),
            b"/upgrade" if request.upgrade().is_some() => {
                Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "echo")
            }
            _ if request.method() == web::Method::Connect => Response::new(Status::OK),
            _ => Response::plain(Status::NOT_FOUND),
        };
        self.connection.respond(self.now, response).unwrap();
    }

    /// Takes output until there is none; whether there was some.
    pub fn transmit(&mut self) -> bool {
        let mut buffer = vec![0; self.room.min(1 << 16)];
        let mut any = false;
        while self.transmit_into(&mut buffer) {
            any = true;
        }
        any
    }

    /// Takes as much output as the buffer takes at once, lets the application follow; whether anything moved.
    pub fn transmit_into(&mut self, buffer: &mut [u8]) -> bool {
        if buffer.is_empty() {
            return false;
        }
        let count = self.connection.poll_transmit(self.now, buffer);
        self.output.extend_from_slice(&buffer[..count]);
        if self.streaming && self.connection.body_capacity() > 0 {
            if let Some(data) = self.stream.pop() {
                self.connection.send_data(self.now, data).unwrap();
            } else {
                self.connection.finish_with_trailers(self.now, &[("X-Sum", b"6")]).unwrap();
                self.streaming = false;
            }
            return true;
        }
        if self.streaming && self.connection.body_capacity() == 0 && count == 0 {
            // Everything declared was pushed, or nothing is wanted.
            if self.connection.is_streaming() {
                self.connection.finish(self.now).unwrap();
            }
            self.streaming = false;
            return true;
        }
        count > 0
    }
}

/// Feeds `input` in pieces of `piece_len` bytes to a server with room for `room` bytes of output at a time.
pub fn serve_in_pieces(input: &[u8], piece_len: usize, room: usize, limits: &Limits) -> Outcome {
    let mut server = Server::new(Config { limits: limits.clone(), ..Config::default() });
    server.room = room;
    for piece in input.chunks(piece_len.max(1)) {
        server.feed(piece);
    }
    server.outcome()
}

/// Feeds `input` in two pieces.
pub fn serve_split(input: &[u8], at: usize, limits: &Limits) -> Outcome {
    let mut server = Server::new(Config { limits: limits.clone(), ..Config::default() });
    server.feed(&input[..at]);
    server.feed(&input[at..]);
    server.outcome()
}

/// Feeds `input` whole, split at every byte, byte by byte, and with little room for output;
/// all must come to the same.
pub fn serve_every_way(input: &[u8], limits: &Limits) -> Outcome {
    let whole = serve_in_pieces(input, usize::MAX, usize::MAX, limits);
    for at in 0..=input.len() {
        assert_eq!(
            serve_split(input, at, limits),
            whole,
            "split at {at} of {}",
            input.escape_ascii()
        );
    }
    for (piece, room) in [(1, usize::MAX), (1, 1), (usize::MAX, 1), (3, 7), (usize::MAX, 300)] {
        let other = serve_in_pieces(input, piece, room, limits);
        assert_eq!(other, whole, "pieces of {piece}, room for {room}: {}", input.escape_ascii());
    }
    whole
}
