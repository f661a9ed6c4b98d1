//! A client and a server, joined by rings of random sizes and moments: what one sends the other receives.

use bytes::Bytes;
use http::client::{self, Request};
use http::server;
use http::{ConnectionState, Limits};
use std::rc::Rc;
use std::time::Duration;
use web::{Content, ContentLength, Data, Method, Response, Status};

const NOW: Duration = Duration::from_secs(1);

/// Small, repeatable randomness.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len_max: usize) -> Vec<u8> {
        let len = self.below(len_max + 1);
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Expected that is sent as a whole, in parts, or as a stream of pieces.
struct Expected {
    bytes: Vec<u8>,
    pieces: Vec<Vec<u8>>,
}

impl Expected {
    fn body(bytes: &[u8], random: &mut Random) -> (Content, Expected) {
        let mut content = Expected { bytes: bytes.to_vec(), pieces: Vec::new() };
        let pieces = || bytes.chunks(7).map(<[u8]>::to_vec);
        let body = match random.below(5) {
            0 => Content::Full(bytes.to_vec().into()),
            1 => Content::Full(Bytes::copy_from_slice(bytes).into()),
            2 => Content::Parts(pieces().map(Data::from).collect()),
            kind => {
                content.pieces = pieces().rev().collect();
                Content::Stream((kind == 3).then_some(bytes.len() as u64))
            }
        };
        (body, content)
    }
}

struct Pair {
    random: Random,
    client: client::Connection,
    server: server::Connection,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    sending: Expected,
    answering: Option<Expected>,
    request: Option<(web::RequestHead, Vec<u8>)>,
    answer: Option<Vec<u8>>,
    response: Option<(Status, Vec<u8>)>,
    done: bool,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        Pair {
            random: Random(seed),
            client: client::Connection::new(Rc::new(Limits::default())),
            server: server::Connection::new(Rc::default(), NOW),
            to_server: Vec::new(),
            to_client: Vec::new(),
            sending: Expected { bytes: Vec::new(), pieces: Vec::new() },
            answering: None,
            request: None,
            answer: None,
            response: None,
            done: false,
        }
    }

    /// One request and its response, byte for byte.
    fn exchange(&mut self) {
        let methods = [Method::Get, Method::Head, Method::Post, Method::Put];
        let method = methods[self.random.below(methods.len())];
        let len_max = if self.random.below(20) == 0 { 40_000 } else { 300 };
        let bytes = self.random.bytes(len_max);
        let (body, sending) = Expected::body(&bytes, &mut self.random);
        let target = format!("/{}", self.random.below(1000));
        let mut request = Request::new(method, "a", &target)
            .unwrap()
            .with_header("X-Test", "value")
            .carrying(body);
        if self.random.below(3) == 0 {
            request = request.expecting_continue();
        }
        self.sending = sending;
        let long = self.random.below(20) == 0;
        self.answer = Some(self.random.bytes(if long { 100_000 } else { 300 }));
        (self.response, self.done) = (None, false);
        self.client.request(NOW, request).unwrap_or_else(|_| panic!("not reusable"));
        let mut steps = 0;
        while !self.done || self.server.has_request() {
            self.step();
            steps += 1;
            assert!(steps < 100_000, "no progress");
        }
        let (status, content) = self.response.take().unwrap();
        assert_eq!(status, Status::OK);
        assert_eq!(
            content,
            if method == Method::Head { Vec::new() } else { self.answer.take().unwrap() }
        );
    }

    fn step(&mut self) {
        match self.random.below(4) {
            0 => self.client_sends(),
            1 => self.server_reads(),
            2 => self.server_sends(),
            _ => self.client_reads(),
        }
        for state in [self.client.state(), self.server.state()] {
            assert_eq!(state, ConnectionState::Open);
        }
    }

    fn client_sends(&mut self) {
        if self.client.body_capacity() > 0
            || self.client.is_streaming() && self.sending.pieces.is_empty()
        {
            match self.sending.pieces.pop() {
                Some(piece) => self.client.send_data(NOW, piece.into()).unwrap(),
                None => drop(self.client.finish(NOW, &[])),
            }
        }
        let mut out = vec![0; self.random.below(200)];
        let count = self.client.poll_transmit(NOW, &mut out);
        self.to_server.extend_from_slice(&out[..count]);
    }

    fn server_reads(&mut self) {
        let seen = self.random.below(self.to_server.len() + 1);
        let input: Vec<u8> = self.to_server[..seen].to_vec();
        let mut at = 0;
        loop {
            let base = at;
            at += self.server.handle_input(NOW, &input[at..]);
            if at == base {
                break;
            }
            while let Some(event) = self.server.poll_event() {
                self.server_takes(event, &input[base..]);
            }
        }
        self.to_server.drain(..at);
    }

    fn server_takes(&mut self, event: server::Event, input: &[u8]) {
        match event {
            server::Event::Request(request) => {
                assert_eq!(request.header("x-test"), Some(&b"value"[..]));
                let empty = request.content_length() == ContentLength::Empty;
                self.request = Some((request, Vec::new()));
                if empty {
                    self.answer_request();
                } else {
                    self.server.read_body(NOW);
                }
            }
            server::Event::Data(range) => {
                self.request.as_mut().unwrap().1.extend_from_slice(&input[range]);
            }
            server::Event::End(_) => self.answer_request(),
            server::Event::Answered(..) => panic!("nothing is repeatable here"),
            other => panic!("server: {other:?}"),
        }
    }

    fn answer_request(&mut self) {
        let (_, content) = self.request.take().unwrap();
        assert_eq!(content, self.sending.bytes);
        let bytes = self.answer.clone().unwrap();
        let (body, answering) = Expected::body(&bytes, &mut self.random);
        self.answering = Some(answering);
        self.server
            .respond(NOW, Response::new(Status::OK).with_header("X", "y").carrying(body))
            .unwrap();
    }

    fn server_sends(&mut self) {
        let takes = self.random.below(20_000);
        if let Some(long) = self.server.long_output().filter(|_| takes < 10_000) {
            let taken = long.split_to(takes.min(long.len()));
            self.server.long_output_taken(NOW, taken.len());
            self.to_client.extend_from_slice(&taken);
        }
        let mut out = vec![0; self.random.below(200)];
        let count = self.server.poll_transmit(NOW, &mut out);
        self.to_client.extend_from_slice(&out[..count]);
        let Some(answering) = &mut self.answering else { return };
        if self.server.body_capacity() > 0
            || self.server.is_streaming() && answering.pieces.is_empty()
        {
            match answering.pieces.pop() {
                Some(piece) => self.server.send_data(NOW, piece.into()).unwrap(),
                None => drop(self.server.finish(NOW)),
            }
        }
    }

    fn client_reads(&mut self) {
        let seen = self.random.below(self.to_client.len() + 1);
        let input: Vec<u8> = self.to_client[..seen].to_vec();
        let mut at = 0;
        loop {
            let base = at;
            at += self.client.handle_input(NOW, &input[at..]);
            if at == base {
                break;
            }
            while let Some(event) = self.client.poll_event() {
                self.client_takes(event, &input[base..]);
            }
        }
        self.to_client.drain(..at);
    }

    fn client_takes(&mut self, event: client::Event, input: &[u8]) {
        match event {
            client::Event::Response(response) => {
                self.done = response.content_length() == ContentLength::Empty;
                self.response = Some((response.status(), Vec::new()));
                self.client.read_body(NOW);
            }
            client::Event::Data(range) => {
                self.response.as_mut().unwrap().1.extend_from_slice(&input[range]);
            }
            client::Event::End(_) => self.done = true,
            client::Event::Failed(error) => panic!("client: {error}"),
        }
    }
}

#[test]
fn what_one_sends_the_other_receives() {
    for seed in 1..=200 {
        let mut pair = Pair::new(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        for round in 0..5 {
            let context = format!("seed {seed}, round {round}");
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pair.exchange()));
            assert!(outcome.is_ok(), "{context}");
        }
    }
}
