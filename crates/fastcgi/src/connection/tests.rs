//! A web server, byte by byte: whatever the pieces, the same comes of it.

use super::*;
use std::format;
use std::string::String;
use std::vec;

const NOW: Duration = Duration::ZERO;
const PEER: Address = Address::Memory(7);
const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const DATA: u8 = 8;
const GET_VALUES: u8 = 9;

/// A record with so much padding.
fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let mut record = vec![1, kind];
    record.extend_from_slice(&id.to_be_bytes());
    record.extend_from_slice(&(content.len() as u16).to_be_bytes());
    record.extend_from_slice(&[padding, 0]);
    record.extend_from_slice(content);
    record.resize(record.len() + usize::from(padding), 0xaa);
    record
}

fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

fn begin(id: u16, role: u8, flags: u8) -> Vec<u8> {
    record(BEGIN, id, &[0, role, flags, 0, 0, 0, 0, 0])
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length @ ..0x80) => bytes.push(length),
                _ => bytes.extend_from_slice(&(text.len() as u32 | 1 << 31).to_be_bytes()),
            }
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

/// A request's variables, and their end.
fn params(id: u16, more: &[(&str, &str)]) -> Vec<u8> {
    [record(PARAMS, id, &pairs(more)), record(PARAMS, id, b"")].concat()
}

fn get(id: u16, uri: &str, flags: u8) -> Vec<u8> {
    let variables = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", uri)];
    [begin(id, 1, flags), params(id, &variables), record(STDIN, id, b"")].concat()
}

fn post(id: u16, uri: &str, length: &str, flags: u8) -> Vec<u8> {
    let variables = [("REQUEST_METHOD", "POST"), ("REQUEST_URI", uri), ("CONTENT_LENGTH", length)];
    [begin(id, 1, flags), params(id, &variables)].concat()
}

/// One connection, its application, and its buffers.
struct Lab {
    connection: Connection,
    now: Duration,
    ring: Vec<u8>,
    output: Vec<u8>,
    events: Vec<String>,
    room: usize,
    open: Option<(RequestHead, Vec<u8>)>,
    /// Pieces of a stream that are still to come.
    stream: Option<Vec<Data>>,
    /// The application answers at once; else the tests do.
    answers: bool,
}

impl Lab {
    fn new(limits: Limits) -> Self {
        let shared = Shared::new(Config { limits, wall_clock_start: None });
        Self {
            connection: Connection::new(Rc::new(shared), PEER, NOW),
            now: NOW,
            ring: Vec::new(),
            output: Vec::new(),
            events: Vec::new(),
            room: usize::MAX,
            open: None,
            stream: None,
            answers: true,
        }
    }

    fn feed(&mut self, input: &[u8]) {
        self.ring.extend_from_slice(input);
        loop {
            let ring = core::mem::take(&mut self.ring);
            let taken = self.connection.handle_input(self.now, &ring);
            let had_event = self.take_events(&ring);
            self.ring = ring[taken..].to_vec();
            if !had_event && taken == 0 && !self.transmit() {
                return;
            }
        }
    }

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
            Event::Request(head) => {
                let (name, target) = (head.method_name(), head.target());
                let length = head.content_length();
                self.events.push(format!(
                    "{} {} {length:?}",
                    name.escape_ascii(),
                    target.escape_ascii()
                ));
                self.open = Some((head, Vec::new()));
                if length == ContentLength::Empty {
                    self.answer();
                } else {
                    self.connection.read_body(self.now);
                }
            }
            Event::Data(range) => self.open.as_mut().unwrap().1.extend_from_slice(&input[range]),
            Event::End(_) => {
                self.events.push("end".into());
                self.answer();
            }
            Event::Incomplete => {
                self.events.push("incomplete".into());
                self.answer();
            }
            Event::Cancelled => {
                self.events.push("cancelled".into());
                self.open = None;
                self.stream = None;
            }
            Event::Failed(error, head) => {
                self.open = None;
                self.stream = None;
                self.events.push(format!("failed {error:?} {}", head.is_some()));
            }
            Event::Answered(head, status, bytes) => {
                let target = head.target().escape_ascii();
                self.events.push(format!("again {target} {} {bytes}", status.code()));
            }
        }
    }

    fn answer(&mut self) {
        if !self.answers {
            return;
        }
        let Some((head, body)) = self.open.take() else { return };
        let response = match head.path() {
            b"/hello" => Response::ok("text/plain", "hello, world\n"),
            b"/echo" => Response::ok("application/octet-stream", body),
            b"/kept" => Response::ok("text/plain", "kept").repeatable(),
            b"/kept-long" => {
                let text: &'static str = "long".repeat(1_000).leak();
                Response::ok("text/plain", text).repeatable()
            }
            b"/kept-copied" => Response::ok("text/plain", "long".repeat(1_000)).repeatable(),
            b"/long" => Response::ok("text/plain", vec![b'x'; 200_000]),
            b"/parts" => Response::new(Status::OK).carrying(Content::Parts(vec![
                "a".into(),
                "".into(),
                "bc".into(),
            ])),
            b"/stream" => {
                self.stream = Some(["two", "one"].map(Data::from).to_vec());
                Response::new(Status::OK).carrying(Content::Stream(None))
            }
            b"/empty" => Response::new(Status::NO_CONTENT),
            b"/odd" => Response::new(Status::new(299).unwrap()),
            b"/moved" => Response::new(Status::FOUND).with_header("Location", "/hello"),
            b"/close" => Response::ok("text/plain", "bye").closing(),
            b"/many-fields" => (0..2_000).fold(Response::ok("text/plain", "x"), |response, _| {
                response.with_header("X-Long", [b'v'; 40])
            }),
            _ => Response::plain(Status::NOT_FOUND),
        };
        self.connection.respond(self.now, response).unwrap();
    }

    /// Takes output until there is none; whether there was some.
    fn transmit(&mut self) -> bool {
        let mut buffer = vec![0; self.room.min(1 << 16)];
        let mut any = false;
        loop {
            let ready = self.connection.wants_transmit();
            let count = self.connection.poll_transmit(self.now, &mut buffer);
            assert!(ready || count == 0, "output that nobody was told of");
            self.output.extend_from_slice(&buffer[..count]);
            any |= count > 0;
            if count == 0 && !self.stream_on() {
                return any;
            }
        }
    }

    fn stream_on(&mut self) -> bool {
        if self.connection.body_capacity() == 0 {
            return false;
        }
        match self.stream.as_mut().map(Vec::pop) {
            Some(Some(piece)) => self.connection.send_data(self.now, piece).unwrap(),
            Some(None) => {
                self.stream = None;
                self.connection.finish(self.now).unwrap();
            }
            None => return false,
        }
        true
    }

    fn end(&mut self) {
        self.connection.handle_end(self.now);
        self.take_events(&[]);
        self.feed(b"");
    }

    /// Lets time pass until the next deadline; how far that was.
    fn run_to_deadline(&mut self) -> Option<Duration> {
        let deadline = self.connection.next_deadline()?;
        let passed = deadline.saturating_sub(self.now);
        self.now = deadline;
        self.connection.handle_timeout(self.now);
        self.take_events(&[]);
        self.feed(b"");
        Some(passed)
    }

    /// Events, what was said on each stream, the ends of requests, and what is left of the connection.
    fn outcome(&self) -> (Vec<String>, Vec<String>, ConnectionState) {
        (self.events.clone(), heard(&self.output), self.connection.state())
    }
}

/// What the other side hears: runs of a stream joined, ends, and answers.
fn heard(mut output: &[u8]) -> Vec<String> {
    let mut heard: Vec<String> = Vec::new();
    let mut stream = Vec::new();
    while !output.is_empty() {
        let [version, kind, _, id, high, low, padding, reserved] = *output.first_chunk().unwrap();
        assert_eq!((version, padding, reserved), (1, 0, 0));
        let (content, rest) = output[8..].split_at(usize::from(u16::from_be_bytes([high, low])));
        output = rest;
        match kind {
            6 | 7 if !content.is_empty() => stream.extend_from_slice(content),
            6 | 7 => {
                let text = String::from_utf8_lossy(&stream).into_owned();
                heard.push(format!("{id} {}: {text}", if kind == 6 { "out" } else { "error" }));
                stream.clear();
            }
            3 => heard.push(format!("{id} end {} {}", content[3], content[4])),
            10 => heard.push(format!("{id} values {}", content.escape_ascii())),
            11 => heard.push(format!("{id} unknown {}", content[0])),
            other => panic!("a record of type {other}"),
        }
    }
    assert!(stream.is_empty(), "a stream without its end");
    heard
}

/// Feeds `input` whole, split at every byte, byte by byte, and with little room for output; all must come to the same.
fn every_way(input: &[u8], limits: &Limits) -> (Vec<String>, Vec<String>, ConnectionState) {
    let serve = |pieces: &[&[u8]], room: usize| {
        let mut lab = Lab::new(limits.clone());
        lab.room = room;
        for piece in pieces {
            lab.feed(piece);
        }
        lab.outcome()
    };
    let whole = serve(&[input], usize::MAX);
    for at in 0..=input.len().min(2_000) {
        let (one, other) = input.split_at(at);
        assert_eq!(serve(&[one, other], usize::MAX), whole, "split at {at}");
    }
    let pieces = |size| input.chunks(size).collect::<Vec<_>>();
    for (size, room) in [(1, usize::MAX), (1, 1), (usize::MAX, 1), (3, 7), (usize::MAX, 300)] {
        assert_eq!(serve(&pieces(size), room), whole, "pieces of {size}, room for {room}");
    }
    whole
}

fn served(input: &[u8]) -> (Vec<String>, Vec<String>, ConnectionState) {
    every_way(input, &Limits::default())
}

const HELLO: &str =
    "out: Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";

#[test]
fn a_request_is_answered_and_the_connection_ends_or_stays_as_section_3_5_has_it() {
    let (events, said, state) = served(&get(1, "/hello", 0));
    assert_eq!(events, ["GET /hello Empty"]);
    assert_eq!(said, [format!("1 {HELLO}"), "1 end 0 0".into()]);
    assert_eq!(state, ConnectionState::Closed);

    let (_, said, state) = served(&get(1, "/hello", 1));
    assert_eq!(said, [format!("1 {HELLO}"), "1 end 0 0".into()]);
    assert_eq!(state, ConnectionState::Open);
}

#[test]
fn section_5_5_a_request_that_did_not_wait_for_the_answer_before_is_refused() {
    let mut lab = Lab::new(Limits::default());
    lab.feed(&[get(1, "/hello", 1), get(2, "/hello", 1)].concat());
    assert_eq!(lab.events, ["GET /hello Empty"]);
    let said = lab.outcome().1;
    assert_eq!((said[0].as_str(), said[2].as_str()), ("2 end 0 1", "1 end 0 0"));
}

#[test]
fn one_request_after_the_other_with_the_same_id() {
    let mut lab = Lab::new(Limits::default());
    for uri in ["/hello", "/hello", "/odd", "/hello"] {
        lab.feed(&get(1, uri, 1));
    }
    let (events, said, state) = lab.outcome();
    assert_eq!(events[2], "GET /odd Empty");
    assert_eq!(said[4], "1 out: Status: 299\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((events.len(), said.len(), state), (4, 8, ConnectionState::Open));
    assert_eq!(said[6], said[0]);
}

#[test]
fn section_3_3_padding_and_streams_in_many_records() {
    let variables = pairs(&[
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/echo"),
        ("CONTENT_LENGTH", "6"),
        ("HTTP_X_LONG", &"v".repeat(200)),
    ]);
    let mut input = padded(BEGIN, 0x0101, &[0, 1, 1, 0, 0, 0, 0, 0], 255);
    for part in variables.chunks(7) {
        input.extend(padded(PARAMS, 0x0101, part, 3));
    }
    input.extend(padded(PARAMS, 0x0101, b"", 9));
    for part in [b"ab", b"cd", b"ef"] {
        input.extend(padded(STDIN, 0x0101, part, 1));
    }
    input.extend(padded(STDIN, 0x0101, b"", 255));
    let (events, said, state) = served(&input);
    assert_eq!(events, ["POST /echo Known(6)", "end"]);
    assert!(said[0].ends_with("Content-Length: 6\r\n\r\nabcdef"), "{said:?}");
    assert_eq!(state, ConnectionState::Open);
}

#[test]
fn content_without_a_length_ends_with_its_stream() {
    let input = |content: &[&[u8]]| {
        let mut input = post(1, "/echo", "", 1);
        for part in content {
            input.extend(record(STDIN, 1, part));
        }
        [input, record(STDIN, 1, b"")].concat()
    };
    let (events, said, _) = served(&input(&[b"abc", b"d"]));
    assert_eq!(events, ["POST /echo Unknown", "end"]);
    assert!(said[0].ends_with("\r\n\r\nabcd"));
    let (events, ..) = served(&input(&[]));
    assert_eq!(events, ["POST /echo Empty"]);
    let limits = Limits { body_bytes_max: 4, ..Limits::default() };
    assert_eq!(every_way(&input(&[b"abc", b"d"]), &limits).0[1], "end");
    let (events, said, state) = every_way(&input(&[b"abc", b"de"]), &limits);
    assert_eq!(events[1], "failed BodyTooLarge false");
    assert_eq!(said[0], "1 error: body larger than allowed");
    assert!(said[1].starts_with("1 out: Status: 413 Content Too Large\r\n"));
    assert_eq!(state, ConnectionState::EndOutput);
}

#[test]
fn rfc3875_4_2_less_content_than_declared_is_incomplete_and_more_is_not_read() {
    let short = [post(1, "/echo", "5", 1), record(STDIN, 1, b"abcd"), record(STDIN, 1, b"")];
    let (events, said, state) = served(&short.concat());
    assert_eq!(events, ["POST /echo Known(5)", "incomplete"]);
    assert_eq!((said[1].as_str(), state), ("1 end 0 0", ConnectionState::Open));

    let long = [post(1, "/echo", "3", 1), record(STDIN, 1, b"abcd"), record(STDIN, 1, b"")];
    let (events, said, _) = served(&long.concat());
    assert_eq!(events, ["POST /echo Known(3)", "end"]);
    assert!(said[0].ends_with("\r\n\r\nabc"));
}

#[test]
fn more_content_than_the_limit_is_refused_with_the_head_for_the_log() {
    let limits = Limits { body_bytes_max: 4, ..Limits::default() };
    assert_eq!(every_way(&post(1, "/echo", "4", 1), &limits).0, ["POST /echo Known(4)"]);
    let (events, said, state) = every_way(&post(1, "/echo", "5", 1), &limits);
    assert_eq!(events, ["failed BodyTooLarge true"]);
    assert!(said[1].starts_with("1 out: Status: 413"));
    assert_eq!(state, ConnectionState::EndOutput);
}

#[test]
fn responses_of_every_shape() {
    for (uri, expected) in [
        ("/parts", "Status: 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        ("/stream", "Status: 200 OK\r\n\r\nonetwo"),
        ("/empty", "Status: 204 No Content\r\n\r\n"),
        ("/moved", "Status: 302 Found\r\nContent-Length: 0\r\nLocation: /hello\r\n\r\n"),
    ] {
        let (_, said, state) = served(&get(3, uri, 1));
        assert_eq!(said, [format!("3 out: {expected}"), "3 end 0 0".into()]);
        assert_eq!(state, ConnectionState::Open);
    }
    let (_, said, state) = served(&get(1, "/close", 1));
    assert_eq!((said[1].as_str(), state), ("1 end 0 0", ConnectionState::Closed));
}

#[test]
fn long_content_and_long_heads_are_cut_into_records() {
    for (uri, end) in [("/long", "x".repeat(200_000)), ("/many-fields", "v\r\n\r\nx".into())] {
        let mut lab = Lab::new(Limits::default());
        lab.room = 5_000;
        lab.feed(&get(1, uri, 1));
        let (_, said, state) = lab.outcome();
        assert!(said[0].ends_with(&end), "{uri}");
        assert_eq!((said[1].as_str(), state), ("1 end 0 0", ConnectionState::Open));
    }
}

#[test]
fn rfc9110_9_3_2_head_has_the_length_and_no_content() {
    let variables = [("REQUEST_METHOD", "HEAD"), ("REQUEST_URI", "/hello")];
    let input = [begin(1, 1, 1), params(1, &variables), record(STDIN, 1, b"")].concat();
    let (_, said, _) = served(&input);
    assert!(said[0].ends_with("Content-Length: 13\r\n\r\n"), "{said:?}");
    let variables = [("REQUEST_METHOD", "HEAD"), ("REQUEST_URI", "/stream")];
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    lab.feed(&[begin(1, 1, 1), params(1, &variables), record(STDIN, 1, b"")].concat());
    let response = Response::new(Status::OK).carrying(Content::Stream(None));
    lab.connection.respond(NOW, response).unwrap();
    assert!(!lab.connection.is_streaming());
    lab.feed(b"");
    assert_eq!(lab.outcome().1, ["1 out: Status: 200 OK\r\n\r\n", "1 end 0 0"]);
}

#[test]
fn section_4_1_values_that_are_known_are_said_once() {
    let names = ["FCGI_MPXS_CONNS", "FCGI_MAX_CONNS", "FCGI_OTHER", "FCGI_MPXS_CONNS"];
    let asked = pairs(&names.map(|name| (name, "")));
    let input = padded(GET_VALUES, 0, &asked, 5);
    let (events, said, state) = served(&input);
    assert_eq!(events.len(), 0);
    assert_eq!(said, ["0 values \\x0e\\x04FCGI_MAX_CONNS1024\\x0f\\x01FCGI_MPXS_CONNS0"]);
    assert_eq!(state, ConnectionState::Open);
    assert_eq!(served(&record(GET_VALUES, 0, b"")).1, ["0 values "]);
    assert_eq!(served(&record(GET_VALUES, 0, b"\x05")).0, ["failed Pair false"]);
    assert_eq!(served(&record(GET_VALUES, 0, &[0; 1_026])).0, ["failed Length false"]);
    assert_eq!(served(&record(GET_VALUES, 0, &[0; 1_024])).1, ["0 values "]);
    assert_eq!(served(&record(GET_VALUES, 1, b"")).0, ["failed Record false"]);
}

#[test]
fn section_4_2_unknown_management_records_are_named() {
    let (events, said, state) = served(&padded(77, 0, b"what", 2));
    assert_eq!((events.len(), &*said), (0, &["0 unknown 77".into()][..]));
    assert_eq!(state, ConnectionState::Open);
    // Between the records of an answer, too.
    let mut lab = Lab::new(Limits::default());
    lab.feed(&[get(1, "/hello", 1), record(77, 0, b"")].concat());
    assert_eq!(lab.outcome().1, ["0 unknown 77", &format!("1 {HELLO}"), "1 end 0 0"]);
}

/// Whether or not they come in one piece.
#[test]
fn what_comes_behind_a_last_request_that_is_refused_or_aborted_is_dropped() {
    for behind in [get(6, "/", 1), vec![0xff; 20]] {
        for last in [begin(5, 30, 0), [begin(5, 1, 0), record(ABORT, 5, b"")].concat()] {
            let (events, said, state) = served(&[last, behind.clone()].concat());
            assert_eq!((events.len(), state), (0, ConnectionState::EndOutput), "{said:?}");
        }
    }
}

#[test]
fn section_3_3_records_of_an_aborted_request_are_ignored_and_the_next_one_is_answered() {
    let aborted = [begin(5, 1, 1), record(ABORT, 5, b""), params(5, &[])].concat();
    let (events, said, state) = served(&[aborted, get(5, "/hello", 1)].concat());
    assert_eq!((&*events, said.len()), (&["GET /hello Empty".into()][..], 4), "{said:?}");
    assert_eq!(state, ConnectionState::Open);
}

#[test]
fn what_is_no_record_does_not_cut_off_what_is_answered() {
    for page in ["/hello", "/long"] {
        let (events, said, state) = served(&[get(5, page, 1), vec![0xff; 20]].concat());
        assert_eq!(events, [format!("GET {page} Empty"), "failed Version false".into()]);
        assert!(said[0].starts_with("5 out: Status: 200 ") && said[1] == "5 end 0 0", "{page}");
        assert_eq!(state, ConnectionState::EndOutput);
    }
}

#[test]
fn section_5_5_other_roles_are_refused() {
    for role in [0, 2, 3, 255] {
        let variables = [("REQUEST_METHOD", "GET")];
        let rest = [params(5, &variables), record(STDIN, 5, b"x"), record(DATA, 5, b"")].concat();
        let (events, said, state) = served(&[begin(5, role, 1), rest].concat());
        assert_eq!((events.len(), &*said), (0, &["5 end 0 3".into()][..]));
        assert_eq!(state, ConnectionState::Open);
        let (_, said, state) = served(&begin(5, role, 0));
        assert_eq!((&*said, state), (&["5 end 0 3".into()][..], ConnectionState::EndOutput));
    }
}

#[test]
fn section_5_5_a_second_request_while_one_runs_is_refused_and_its_records_are_ignored() {
    let input = [
        post(1, "/echo", "2", 1),
        begin(2, 1, 1),
        params(2, &[("REQUEST_METHOD", "GET")]),
        record(STDIN, 1, b"a"),
        record(STDIN, 2, b"never"),
        record(ABORT, 2, b""),
        record(STDIN, 1, b"b"),
    ];
    let (events, said, state) = served(&input.concat());
    assert_eq!(events, ["POST /echo Known(2)", "end"]);
    assert_eq!((said[0].as_str(), said[2].as_str()), ("2 end 0 1", "1 end 0 0"));
    assert!(said[1].ends_with("\r\n\r\nab"));
    assert_eq!(state, ConnectionState::Open);
}

#[test]
fn section_5_4_a_request_is_given_up_before_it_is_whole() {
    let (events, said, state) = served(&[begin(1, 1, 1), record(ABORT, 1, b"")].concat());
    assert_eq!((events.len(), &*said), (0, &["1 out: ".into(), "1 end 1 0".into()][..]));
    assert_eq!(state, ConnectionState::Open);
    let content = [post(1, "/echo", "5", 1), record(STDIN, 1, b"ab"), record(ABORT, 1, b"")];
    let (events, said, _) = served(&content.concat());
    assert_eq!(events, ["POST /echo Known(5)", "cancelled"]);
    assert_eq!(said, ["1 out: ", "1 end 1 0"]);
}

#[test]
fn section_5_4_an_answer_that_is_given_up_ends_at_its_record() {
    let mut lab = Lab::new(Limits::default());
    lab.feed(&get(1, "/nothing", 1));
    lab.output.clear();
    lab.answers = false;
    lab.feed(&get(1, "/long", 1));
    lab.connection.respond(NOW, Response::ok("text/plain", vec![b'x'; 200_000])).unwrap();
    let mut buffer = [0; 100];
    let count = lab.connection.poll_transmit(NOW, &mut buffer);
    lab.output.extend_from_slice(&buffer[..count]);
    lab.feed(&record(ABORT, 1, b""));
    let (events, said, state) = lab.outcome();
    assert_eq!(events[2], "cancelled");
    assert!(said[0].len() < 70_000 && said[0].ends_with("xxx"));
    assert_eq!((said[1].as_str(), state), ("1 end 1 0", ConnectionState::Open));
    assert!(!lab.connection.has_request());
    lab.answers = true;
    lab.feed(&get(1, "/hello", 1));
    assert_eq!(lab.outcome().1[2], format!("1 {HELLO}"));
}

#[test]
fn records_that_nobody_may_send_end_the_connection() {
    let begun = begin(1, 1, 1);
    let mut version = get(1, "/hello", 1);
    version[0] = 2;
    for (input, error) in [
        (version, Error::Version),
        (record(BEGIN, 1, &[0, 1, 1, 0, 0, 0, 0]), Error::Length),
        (record(BEGIN, 1, &[0; 9]), Error::Length),
        (record(BEGIN, 1, b""), Error::Length),
        (begin(0, 1, 1), Error::Record),
        (record(3, 1, &[0; 8]), Error::Record),
        (record(6, 1, b"x"), Error::Record),
        (record(10, 1, b""), Error::Record),
        (record(77, 1, b""), Error::Record),
        ([&*begun, &begun].concat(), Error::Record),
        ([&*begun, &record(STDIN, 1, b"x")].concat(), Error::Record),
        ([&*begun, &record(DATA, 1, b"x")].concat(), Error::Record),
        ([post(1, "/echo", "5", 1), record(PARAMS, 1, b"")].concat(), Error::Record),
        ([&*begun, &record(PARAMS, 1, b"\x05"), &record(PARAMS, 1, b"")].concat(), Error::Pair),
        ([&*begun, &params(1, &[("A", "b")])].concat(), Error::Method),
    ] {
        let (events, _, state) = every_way(&input, &Limits::default());
        assert_eq!(events.last(), Some(&format!("failed {error:?} false")), "{input:?}");
        assert_eq!(state, ConnectionState::EndOutput);
    }
}

#[test]
fn what_is_refused_is_told_to_the_web_server_and_the_client() {
    let (_, said, state) = served(&[begin(1, 1, 1), params(1, &[("A", "b")])].concat());
    assert_eq!(said[0], "1 error: missing or malformed REQUEST_METHOD");
    assert!(said[1].starts_with("1 out: Status: 400 Bad Request\r\n"));
    assert_eq!((said[2].as_str(), state), ("1 end 0 0", ConnectionState::EndOutput));
}

#[test]
fn as_many_bytes_of_variables_as_the_limit_says_and_no_more() {
    let variables = pairs(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/hello")]);
    let input = [
        begin(1, 1, 1),
        record(PARAMS, 1, &variables[..10]),
        record(PARAMS, 1, &variables[10..]),
        record(PARAMS, 1, b""),
        record(STDIN, 1, b""),
    ]
    .concat();
    let limit = |bytes: usize| Limits { params_bytes_max: bytes as u16, ..Limits::default() };
    assert_eq!(every_way(&input, &limit(variables.len())).0, ["GET /hello Empty"]);
    let (events, said, _) = every_way(&input, &limit(variables.len() - 1));
    assert_eq!(events, ["failed HeadTooLarge false"]);
    assert!(said[1].starts_with("1 out: Status: 431"));
}

#[test]
fn the_same_variables_again_make_the_same_request_and_others_another() {
    let mut lab = Lab::new(Limits::default());
    let ask = |uri: &str, address: &str| {
        let variables = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", uri), ("REMOTE_ADDR", address)];
        [begin(1, 1, 1), params(1, &variables), record(STDIN, 1, b"")].concat()
    };
    lab.answers = false;
    let mut heads = Vec::new();
    for (uri, address) in [("/a", "1.1.1.1"), ("/a", "1.1.1.1"), ("/a", "1.1.1.2"), ("/b", "")] {
        lab.feed(&ask(uri, address));
        let client = lab.connection.client(PEER);
        heads.push((lab.open.take().unwrap().0, client));
        lab.connection.respond(NOW, Response::new(Status::OK)).unwrap();
        lab.feed(b"");
    }
    assert_eq!(lab.connection.client(PEER), PEER, "no request is open");
    let clients: Vec<_> = heads.iter().map(|(_, client)| format!("{client}")).collect();
    assert_eq!(clients, ["1.1.1.1:0", "1.1.1.1:0", "1.1.1.2:0", "memory:7"]);
    // Heads that somebody still has are not changed below him.
    let paths: Vec<_> = heads.iter().map(|(head, _)| head.path()).collect();
    assert_eq!(paths, [b"/a", b"/a", b"/a", b"/b"]);
}

#[test]
fn who_asks_is_not_who_asked_before() {
    let variables =
        [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/hello"), ("REMOTE_ADDR", "1.1.1.1")];
    let first = [begin(1, 1, 1), params(1, &variables), record(STDIN, 1, b"")].concat();
    for (then, client) in [
        (begin(2, 1, 1), "memory:7"),
        ([begin(2, 1, 1), record(PARAMS, 2, &[0xff])].concat(), "memory:7"),
        ([begin(2, 1, 1), params(2, &[("REMOTE_ADDR", "1.1.1.2")])].concat(), "memory:7"),
        (post(2, "/echo", "99999999", 1), "memory:7"),
    ] {
        let mut lab = Lab::new(Limits::default());
        lab.feed(&first);
        lab.room = 0;
        let taken = lab.connection.handle_input(NOW, &then);
        assert_eq!(taken, then.len());
        assert_eq!(format!("{}", lab.connection.client(PEER)), client);
    }
    let mut lab = Lab::new(Limits { body_bytes_max: 1, ..Limits::default() });
    let variables = [&variables[..], &[("CONTENT_LENGTH", "2")]].concat();
    lab.connection.handle_input(NOW, &[begin(1, 1, 1), params(1, &variables)].concat());
    assert!(matches!(lab.connection.poll_event(), Some(Event::Failed(Error::BodyTooLarge, _))));
    assert_eq!(format!("{}", lab.connection.client(PEER)), "1.1.1.1:0");
}

#[test]
fn an_answer_that_follows_from_the_variables_alone_is_given_again() {
    for (uri, bytes) in [("/kept", 4), ("/kept-long", 4_000)] {
        let mut lab = Lab::new(Limits::default());
        for id in 1..=4 {
            lab.feed(&get(id, uri, 1));
        }
        let again = format!("again {uri} 200 {bytes}");
        let asked = format!("GET {uri} Empty");
        let (events, said, state) = lab.outcome();
        assert_eq!(events, [&*asked, &asked, &again, &again]);
        assert_eq!(state, ConnectionState::Open);
        for (index, answer) in said.chunks(2).enumerate() {
            let id = index + 1;
            assert_eq!(answer[0].strip_prefix(&format!("{id} ")), said[0].strip_prefix("1 "));
            assert_eq!(answer[1], format!("{id} end 0 0"));
        }
        // Another request's answer is its own, and so is the first one's after it.
        lab.feed(&get(5, "/hello", 1));
        lab.feed(&get(6, uri, 1));
        let events = lab.outcome().0;
        assert_eq!(events[4..], ["GET /hello Empty", &asked]);
    }
}

#[test]
fn what_may_not_be_given_again_is_asked_for_again() {
    let mut copied = Lab::new(Limits::default());
    let mut head = Lab::new(Limits::default());
    let mut content = Lab::new(Limits::default());
    let head_variables = [("REQUEST_METHOD", "HEAD"), ("REQUEST_URI", "/kept")];
    let variables = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/kept")];
    for id in 1..=4 {
        copied.feed(&get(id, "/kept-copied", 1));
        head.feed(&[begin(id, 1, 1), params(id, &head_variables)].concat());
        head.feed(&record(STDIN, id, b""));
        content.feed(&[begin(id, 1, 1), params(id, &variables)].concat());
        content.feed(&[record(STDIN, id, b"x"), record(STDIN, id, b"")].concat());
    }
    assert_eq!(copied.events, ["GET /kept-copied Empty"; 4]);
    assert_eq!(head.events, ["HEAD /kept Empty"; 4]);
    assert_eq!(content.events[6..], ["GET /kept Unknown", "end"]);
    // The last request of a connection ends it, although its answer is known.
    let mut closing = Lab::new(Limits::default());
    for flags in [1, 1, 1, 0] {
        closing.feed(&get(1, "/kept", flags));
    }
    assert_eq!(closing.events[3], "again /kept 200 4");
    assert_eq!(closing.connection.state(), ConnectionState::Closed);
}

#[test]
fn who_asks_and_does_not_take_the_answers_is_not_read() {
    let mut lab = Lab::new(Limits::default());
    let flood = record(77, 0, b"").repeat(10_000);
    let mut taken = 0;
    loop {
        let count = lab.connection.handle_input(NOW, &flood[taken..]);
        taken += count;
        if count == 0 {
            break;
        }
    }
    assert!(taken < 1_500, "{taken} bytes are taken");
    assert!(lab.connection.held_bytes() < 8_000);
    lab.transmit();
    assert!(lab.connection.handle_input(NOW, &flood[taken..]) > 0);
}

#[test]
fn content_that_nobody_wants_yet_waits_with_the_peer() {
    let mut lab = Lab::new(Limits::default());
    let input = [post(1, "/echo", "4", 1), record(STDIN, 1, b"abcd")].concat();
    let taken = lab.connection.handle_input(NOW, &input);
    assert!(matches!(lab.connection.poll_event(), Some(Event::Request(_))));
    // The header, and no byte of content.
    let rest = &input[taken..];
    assert_eq!(lab.connection.handle_input(NOW, rest), rest.len() - 4);
    assert_eq!(lab.connection.handle_input(NOW, b"abcd"), 0);
    assert_eq!(lab.connection.next_deadline(), None);
    lab.connection.read_body(NOW);
    assert_eq!(lab.connection.next_deadline(), Some(Duration::from_secs(30)));
    assert_eq!(lab.connection.handle_input(NOW, b"ab"), 2);
    assert!(matches!(lab.connection.poll_event(), Some(Event::Data(_))));
    lab.connection.pause_body();
    assert_eq!(lab.connection.handle_input(NOW, b"cd"), 0);
    assert_eq!(lab.connection.next_deadline(), None);
    lab.connection.drop_body(NOW);
    assert_eq!(lab.connection.handle_input(NOW, b"cd"), 2);
    assert!(lab.connection.poll_event().is_none());
}

#[test]
fn what_follows_a_limit_of_wanted_content_is_dropped_without_one() {
    let limits = Limits { body_bytes_max: 4, ..Limits::default() };
    let mut lab = Lab::new(limits);
    lab.answers = false;
    lab.feed(&[post(1, "/echo", "", 1), record(STDIN, 1, b"a")].concat());
    lab.connection.drop_body(NOW);
    lab.feed(&record(STDIN, 1, &[b'x'; 1_000]));
    assert_eq!(lab.events, ["POST /echo Unknown"]);
    lab.connection.respond(NOW, Response::plain(Status::FORBIDDEN)).unwrap();
    lab.feed(&record(STDIN, 1, &[b'x'; 1_000]));
    assert!(lab.outcome().1[0].starts_with("1 out: Status: 403"));
    assert_eq!(lab.connection.state(), ConnectionState::Open);
}

#[test]
fn deadlines_of_what_does_not_come() {
    let seconds = |lab: &mut Lab| lab.run_to_deadline().map(|passed| passed.as_secs());
    let mut idle = Lab::new(Limits::default());
    idle.feed(&get(1, "/hello", 1)[..5]);
    assert_eq!(seconds(&mut idle), Some(75));
    assert_eq!((seconds(&mut idle), idle.connection.state()), (Some(5), ConnectionState::Closed));

    let mut head = Lab::new(Limits::default());
    head.feed(&begin(1, 1, 1));
    assert_eq!(seconds(&mut head), Some(10));
    assert_eq!(head.events, ["failed Timeout false"]);
    assert!(head.outcome().1[1].starts_with("1 out: Status: 408"));

    let mut undecided = Lab::new(Limits::default());
    undecided.feed(&post(1, "/echo", "", 1));
    assert_eq!((undecided.events.len(), seconds(&mut undecided)), (0, Some(10)));

    let mut body = Lab::new(Limits::default());
    body.feed(&post(1, "/echo", "4", 1));
    assert_eq!(seconds(&mut body), Some(30));
    assert_eq!(body.events, ["POST /echo Known(4)", "failed Timeout false"]);

    let mut between = Lab::new(Limits::default());
    between.feed(&get(1, "/hello", 1));
    assert_eq!(seconds(&mut between), Some(75));
    assert_eq!(between.connection.state(), ConnectionState::EndOutput);
}

#[test]
fn content_that_drips_is_late() {
    let mut lab = Lab::new(Limits::default());
    lab.feed(&post(1, "/echo", "1000", 1));
    for _ in 0..3 {
        lab.now += Duration::from_secs(9);
        lab.feed(&record(STDIN, 1, b"x"));
    }
    assert_eq!(lab.events.len(), 1);
    let left = lab.run_to_deadline().unwrap();
    assert!(left < Duration::from_secs(4), "{left:?}");
    assert_eq!(lab.events[1], "failed Timeout false");
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    lab.feed(&get(1, "/long", 1));
    lab.connection.respond(NOW, Response::ok("text/plain", vec![b'x'; 200_000])).unwrap();
    lab.connection.poll_transmit(NOW, &mut [0; 100]);
    assert_eq!(lab.connection.next_deadline(), Some(Duration::from_secs(60)));
    let sixty = Duration::from_secs(60);
    lab.connection.handle_timeout(sixty);
    assert_eq!(lab.connection.state(), ConnectionState::Abort);
    assert!(lab.connection.untaken_content() > 199_000);
}

#[test]
fn ends_of_the_connection_at_every_place() {
    let input = [post(1, "/echo", "2", 1), record(STDIN, 1, b"ab")].concat();
    let params_end = post(1, "/echo", "2", 1).len();
    for at in 0..=input.len() {
        let mut lab = Lab::new(Limits::default());
        lab.feed(&input[..at]);
        lab.end();
        let state = lab.connection.state();
        assert_eq!(state, ConnectionState::Closed, "at {at}");
        let failed = lab.events.contains(&"failed Truncated false".into());
        assert_eq!(failed, at > 0 && at < input.len(), "at {at}");
        assert_eq!(!lab.events.is_empty(), at > 0, "at {at} of {params_end}");
    }
    // A whole request is answered although nothing more comes.
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    lab.feed(&get(1, "/hello", 1));
    lab.end();
    lab.connection.respond(NOW, Response::ok("text/plain", "late")).unwrap();
    lab.feed(b"");
    assert!(lab.outcome().1[0].ends_with("late"));
    assert_eq!(lab.connection.state(), ConnectionState::Closed);
}

#[test]
fn a_failed_handler_is_a_500_or_the_connections_end() {
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    lab.feed(&get(1, "/hello", 1));
    lab.connection.fail_response(NOW);
    lab.feed(b"");
    assert!(lab.outcome().1[0].starts_with("1 out: Status: 500 Internal Server Error\r\n"));
    assert_eq!(lab.connection.state(), ConnectionState::Open);
    lab.feed(&get(1, "/hello", 1));
    let response = Response::new(Status::OK).carrying(Content::Stream(Some(2)));
    lab.connection.respond(NOW, response).unwrap();
    lab.transmit();
    lab.connection.send_data(NOW, "a".into()).unwrap();
    lab.transmit();
    assert_eq!(lab.connection.send_data(NOW, "bc".into()), Err(OutOfTurn));
    assert_eq!(lab.connection.finish(NOW), Err(OutOfTurn));
    lab.connection.fail_response(NOW);
    assert_eq!(lab.connection.state(), ConnectionState::Abort);
}

#[test]
fn going_down_answers_what_is_open() {
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    lab.feed(&get(1, "/hello", 1));
    lab.connection.drain(NOW);
    assert_eq!(lab.connection.state(), ConnectionState::Open);
    lab.connection.respond(NOW, Response::ok("text/plain", "last")).unwrap();
    lab.feed(b"");
    assert_eq!(lab.outcome().1[1], "1 end 0 0");
    assert_eq!(lab.connection.state(), ConnectionState::Closed);
    let mut idle = Lab::new(Limits::default());
    idle.connection.drain(NOW);
    assert_eq!(idle.connection.state(), ConnectionState::EndOutput);
}

#[test]
fn answers_out_of_turn() {
    let mut lab = Lab::new(Limits::default());
    lab.answers = false;
    assert_eq!(lab.connection.respond(NOW, Response::new(Status::OK)), Err(OutOfTurn));
    lab.feed(&get(1, "/hello", 1));
    let interim = Response::new(Status::SWITCHING_PROTOCOLS);
    assert_eq!(lab.connection.respond(NOW, interim), Err(OutOfTurn));
    lab.connection.respond(NOW, Response::new(Status::OK)).unwrap();
    assert_eq!(lab.connection.respond(NOW, Response::new(Status::OK)), Err(OutOfTurn));
}
