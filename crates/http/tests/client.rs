//! What a client sends and what it makes of responses, whole and split at every byte.

use http::client::{Connection, Event, Request};
use http::{ConnectionState, Error, Limits};
use std::rc::Rc;
use std::time::Duration;
use web::{Content, ContentLength, Method, Status};

const NOW: Duration = Duration::from_secs(5);

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<String>,
    state: Option<ConnectionState>,
    unread: String,
}

struct Client {
    connection: Connection,
    ring: Vec<u8>,
    body: Option<Vec<u8>>,
    events: Vec<String>,
}

impl Client {
    fn new(limits: Limits) -> Client {
        Client {
            connection: Connection::new(Rc::new(limits)),
            ring: Vec::new(),
            body: None,
            events: Vec::new(),
        }
    }

    fn feed(&mut self, input: &[u8]) {
        self.ring.extend_from_slice(input);
        loop {
            let ring = std::mem::take(&mut self.ring);
            let consumed = self.connection.handle_input(NOW, &ring);
            let stuck = !self.note_events(&ring) && consumed == 0;
            self.ring = ring[consumed..].to_vec();
            if stuck {
                return;
            }
        }
    }

    /// Notes what came of `input`; whether anything did.
    fn note_events(&mut self, input: &[u8]) -> bool {
        let mut any = false;
        while let Some(event) = self.connection.poll_event() {
            any = true;
            self.note(event, input);
        }
        any
    }

    fn note(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Response(response) => {
                let length = match response.content_length() {
                    ContentLength::Empty => String::new(),
                    length => format!(" {length:?}"),
                };
                self.events.push(format!(
                    "{} {}{length}",
                    response.status().code(),
                    response.reason().escape_ascii()
                ));
                if response.content_length() != ContentLength::Empty {
                    self.body = Some(Vec::new());
                    self.connection.read_body(NOW);
                }
            }
            Event::Data(range) => self.body.as_mut().unwrap().extend_from_slice(&input[range]),
            Event::End(trailers) => {
                let mut text = format!("body {}", self.body.take().unwrap().escape_ascii());
                for (name, value) in trailers.iter().flat_map(|trailers| trailers.headers()) {
                    text += &format!(" [{}={}]", name.escape_ascii(), value.escape_ascii());
                }
                self.events.push(text);
            }
            Event::Failed(error) => self.events.push(format!("failed: {error:?}")),
        }
    }

    fn send(&mut self, request: Request) -> String {
        self.connection.request(NOW, request).expect("reusable");
        self.transmit()
    }

    fn transmit(&mut self) -> String {
        let mut out = [0; 1024];
        let count = self.connection.poll_transmit(NOW, &mut out);
        String::from_utf8(out[..count].to_vec()).unwrap()
    }

    fn outcome(self) -> Outcome {
        let unread = String::from_utf8(self.ring).unwrap();
        Outcome { events: self.events, state: Some(self.connection.state()), unread }
    }
}

fn get() -> Request {
    Request::new(Method::Get, "a", "/").unwrap()
}

/// Feeds a response to `request` in every way, and ends the connection after it if told so.
fn receive_limited(request: &Request, response: &[u8], end: bool, limits: &Limits) -> Outcome {
    let run = |pieces: &[&[u8]]| {
        let mut client = Client::new(limits.clone());
        client.send(request.clone());
        pieces.iter().for_each(|piece| client.feed(piece));
        if end {
            client.connection.handle_end(NOW);
            client.note_events(&[]);
        }
        client.outcome()
    };
    let whole = run(&[response]);
    for at in 0..=response.len() {
        assert_eq!(
            run(&[&response[..at], &response[at..]]),
            whole,
            "split at {at} of {}",
            response.escape_ascii()
        );
    }
    assert_eq!(run(&response.chunks(1).collect::<Vec<_>>()), whole, "{}", response.escape_ascii());
    whole
}

fn receive(request: &Request, response: &str, end: bool) -> Outcome {
    receive_limited(request, response.as_bytes(), end, &Limits::default())
}

#[track_caller]
fn assert_received(
    request: &Request,
    response: &str,
    end: bool,
    events: &[&str],
    state: ConnectionState,
) {
    let outcome = receive(request, response, end);
    assert_eq!(outcome.events, events, "{response}");
    assert_eq!(outcome.state, Some(state), "{response}");
}

#[test]
fn requests_on_the_wire() {
    let new = |method, target| Request::new(method, "a.example:81", target).unwrap();
    for (request, text) in [
        (new(Method::Get, "/x?y"), "GET /x?y HTTP/1.1\r\nHost: a.example:81\r\n\r\n"),
        (new(Method::Options, "*"), "OPTIONS * HTTP/1.1\r\nHost: a.example:81\r\n\r\n"),
        (new(Method::Connect, ""), "CONNECT a.example:81 HTTP/1.1\r\nHost: a.example:81\r\n\r\n"),
        (
            new(Method::Post, "/"),
            "POST / HTTP/1.1\r\nHost: a.example:81\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            new(Method::Put, "/")
                .with_content("text/plain", "abc")
                .with_header("X", "1\r\n2")
                .with_header("Host", "b")
                .closing(),
            "PUT / HTTP/1.1\r\nHost: a.example:81\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nX: 1  2\r\nConnection: close\r\n\r\nabc",
        ),
        (
            new(Method::Put, "/").carrying(Content::Parts(vec!["a".into(), "bc".into()])),
            "PUT / HTTP/1.1\r\nHost: a.example:81\r\nContent-Length: 3\r\n\r\nabc",
        ),
        (
            new(Method::Get, "/").upgrading("echo"),
            "GET / HTTP/1.1\r\nHost: a.example:81\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        ),
    ] {
        assert_eq!(Client::new(Limits::default()).send(request), text);
    }
}

#[test]
fn requests_that_cannot_be_sent() {
    let error = |method, authority, target| Request::new(method, authority, target).unwrap_err();
    assert_eq!(error(Method::Get, "", "/"), Error::Host);
    assert_eq!(error(Method::Get, "a b", "/"), Error::Host);
    for target in ["", "x", "*", "/a b", "/\r\n", "/#", "/\u{e9}"] {
        assert_eq!(error(Method::Get, "a", target), Error::Target, "{target}");
    }
    assert_eq!(error(Method::Other, "a", "/"), Error::StartLine);
}

#[test]
fn rfc9112_6_3_response_lengths() {
    let open = ConnectionState::Open;
    assert_received(
        &get(),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        false,
        &["200 OK Known(3)", "body abc"],
        open,
    );
    assert_received(&get(), "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, &["200 "], open);
    assert_received(
        &get(),
        "HTTP/1.1 200 A B\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX: y\r\n\r\n",
        false,
        &["200 A B Unknown", "body abc [X=y]"],
        open,
    );
    assert_received(
        &get(),
        "HTTP/1.1 200 OK\r\n\r\nabc",
        true,
        &["200 OK Unknown", "body abc"],
        ConnectionState::Closed,
    );
    for status in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        assert_received(&get(), &response, false, &[status], open);
    }
    let head = Request::new(Method::Head, "a", "/").unwrap();
    assert_received(
        &head,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        false,
        &["200 OK"],
        open,
    );
    assert_received(
        &head,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
        &["200 OK"],
        open,
    );
}

#[test]
fn rfc9110_15_2_interim_responses_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_received(
        &get(),
        &format!("{interim}HTTP/1.1 204 X\r\n\r\n"),
        false,
        &["204 X"],
        ConnectionState::Open,
    );
    let limits = Limits { interim_responses_max: 2, ..Limits::default() };
    let response = format!("{interim}HTTP/1.1 204 X\r\n\r\n");
    assert_eq!(receive_limited(&get(), response.as_bytes(), false, &limits).events, ["204 X"]);
    let response = format!("{interim}HTTP/1.1 102 P\r\n\r\nHTTP/1.1 204 X\r\n\r\n");
    assert_eq!(
        receive_limited(&get(), response.as_bytes(), false, &limits).events,
        ["failed: TooManyInterim"]
    );
}

#[test]
fn rfc9112_9_3_what_can_be_reused() {
    let response = "HTTP/1.1 204 X\r\n\r\n";
    assert_received(&get(), response, false, &["204 X"], ConnectionState::Open);
    assert_received(&get().closing(), response, false, &["204 X"], ConnectionState::Closed);
    assert_received(
        &get(),
        "HTTP/1.1 204 X\r\nConnection: close\r\n\r\n",
        false,
        &["204 X"],
        ConnectionState::Closed,
    );
    assert_received(&get(), "HTTP/1.0 204 X\r\n\r\n", false, &["204 X"], ConnectionState::Closed);
    assert_received(
        &get(),
        "HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n",
        false,
        &["204 X"],
        ConnectionState::Open,
    );
    // RFC 9112 section 9.2: what comes unasked.
    assert_received(
        &get(),
        "HTTP/1.1 204 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        false,
        &["204 X"],
        ConnectionState::Closed,
    );
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let mut client = Client::new(Limits::default());
    for _ in 0..3 {
        assert!(client.connection.is_reusable());
        client.send(get());
        assert!(!client.connection.is_reusable());
        assert!(client.connection.request(NOW, get()).is_err());
        client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    }
    assert_eq!(client.events.len(), 6);
}

#[test]
fn rfc9112_6_1_ambiguous_lengths_are_refused() {
    for (fields, error) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Coding"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "Length"),
        ("Content-Length: x\r\n", "Length"),
        ("Transfer-Encoding: gzip\r\n", "UnsupportedCoding"),
        ("Transfer-Encoding: chunked, chunked\r\n", "Coding"),
        ("X : y\r\n", "Field"),
        ("X: y\r\n z\r\n", "Field"),
        ("X: y\n", "Field"),
        ("Content-Length: 99999999999\r\n", "BodyTooLarge"),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_received(
            &get(),
            &response,
            false,
            &[&format!("failed: {error}")],
            ConnectionState::Abort,
        );
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_received(&get(), old, false, &["failed: Coding"], ConnectionState::Abort);
}

#[test]
fn rfc9112_4_status_lines() {
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1  200",
        "HTTP/1.1 2000 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 099 X",
        "ICY 200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 \0",
    ] {
        assert_received(
            &get(),
            &format!("{line}\r\n\r\n"),
            false,
            &["failed: StartLine"],
            ConnectionState::Abort,
        );
    }
    assert_received(
        &get(),
        "HTTP/2.0 200 OK\r\n\r\n",
        false,
        &["failed: UnsupportedVersion"],
        ConnectionState::Abort,
    );
}

#[test]
fn rfc9112_8_incomplete_responses() {
    for (response, error) in [
        ("", "NoResponse"),
        ("H", "Truncated"),
        ("HTTP/1.1 100 C\r\n\r\n", "Truncated"),
        ("HTTP/1.1 200 OK\r\n", "Truncated"),
    ] {
        assert_received(
            &get(),
            response,
            true,
            &[&format!("failed: {error}")],
            ConnectionState::Abort,
        );
    }
    for body in
        ["Content-Length: 3\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"]
    {
        let outcome = receive(&get(), &format!("HTTP/1.1 200 OK\r\n{body}"), true);
        assert_eq!(outcome.events.last().unwrap(), "failed: Truncated");
    }
}

#[test]
fn rfc9110_7_8_upgrade_and_connect_hand_over_what_follows() {
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nrest";
    let outcome = receive(&get().upgrading("echo"), response, false);
    assert_eq!((outcome.state, &*outcome.unread), (Some(ConnectionState::Upgraded), "rest"));
    assert_received(&get(), response, false, &["failed: StartLine"], ConnectionState::Abort);
    let connect = Request::new(Method::Connect, "a:1", "").unwrap();
    let outcome = receive(&connect, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrest", false);
    assert_eq!((outcome.state, &*outcome.unread), (Some(ConnectionState::Upgraded), "rest"));
    assert_received(
        &connect,
        "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx",
        false,
        &["403 No Known(1)", "body x"],
        ConnectionState::Open,
    );
}

#[test]
fn rfc9110_10_1_1_content_waits_for_consent_or_its_time() {
    let request = || {
        Request::new(Method::Put, "a", "/")
            .unwrap()
            .with_content("text/plain", "abc")
            .expecting_continue()
    };
    let mut client = Client::new(Limits::default());
    assert!(client.send(request()).ends_with("\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(client.transmit(), "");
    client.feed(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.transmit(), "abc");
    client.feed(b"HTTP/1.1 204 X\r\n\r\n");
    assert!(client.connection.is_reusable());

    // No word in time: the content goes anyway.
    client.send(request());
    assert_eq!(client.connection.next_deadline(), Some(NOW + Duration::from_secs(1)));
    client.connection.handle_timeout(NOW + Duration::from_secs(1));
    assert!(client.connection.poll_event().is_none());
    assert_eq!(client.transmit(), "abc");
    client.feed(b"HTTP/1.1 204 X\r\n\r\n");

    // Refused: the content is never sent, and the server may wait for it for ever.
    client.send(request());
    client.feed(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.events.last().unwrap(), "417 No");
    assert_eq!(client.connection.state(), ConnectionState::Abort);
}

#[test]
fn streamed_requests() {
    let mut client = Client::new(Limits::default());
    let request = Request::new(Method::Post, "a", "/").unwrap().carrying(Content::Stream(None));
    assert!(client.send(request).ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert!(client.connection.is_streaming() && client.connection.body_capacity() > 0);
    client.connection.send_data(NOW, "abc".into()).unwrap();
    assert_eq!(client.connection.body_capacity(), 0);
    assert!(client.connection.send_data(NOW, "d".into()).is_err());
    assert_eq!(client.transmit(), "00000003\r\nabc\r\n");
    client.connection.send_data(NOW, "".into()).unwrap();
    assert_eq!(client.transmit(), "");
    client.connection.finish(NOW, &[("X", b"y")]).unwrap();
    assert_eq!(client.transmit(), "0\r\nX: y\r\n\r\n");
    assert!(client.connection.finish(NOW, &[]).is_err());
    client.feed(b"HTTP/1.1 204 X\r\n\r\n");
    assert!(client.connection.is_reusable());

    // A declared length is kept to.
    let request = Request::new(Method::Post, "a", "/").unwrap().carrying(Content::Stream(Some(3)));
    assert!(client.send(request).ends_with("\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.connection.body_capacity(), 3);
    assert!(client.connection.send_data(NOW, "abcd".into()).is_err());
    client.connection.send_data(NOW, "ab".into()).unwrap();
    assert_eq!(client.transmit(), "ab");
    assert!(client.connection.finish(NOW, &[]).is_err());
    // A response before the request's end: the connection cannot be used again.
    client.feed(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        (client.events.last().unwrap().as_str(), client.connection.state()),
        ("413 No", ConnectionState::Abort)
    );
}

#[test]
fn deadlines() {
    let seconds = |count| Some(NOW + Duration::from_secs(count));
    let timeout = |client: &mut Client| {
        let deadline = client.connection.next_deadline().unwrap();
        client.connection.handle_timeout(deadline - Duration::from_nanos(1));
        assert!(client.connection.poll_event().is_none());
        client.connection.handle_timeout(deadline);
        let event = client.connection.poll_event().unwrap();
        assert!(matches!(event, Event::Failed(Error::Timeout)));
        assert_eq!(
            (client.connection.state(), client.connection.next_deadline()),
            (ConnectionState::Abort, None)
        );
    };
    let mut silent = Client::new(Limits::default());
    assert_eq!(silent.connection.next_deadline(), None);
    silent.send(get());
    assert_eq!(silent.connection.next_deadline(), seconds(30));
    timeout(&mut silent);

    let mut slow_head = Client::new(Limits::default());
    slow_head.send(get());
    slow_head.feed(b"HTTP");
    assert_eq!(slow_head.connection.next_deadline(), seconds(10));
    timeout(&mut slow_head);

    let mut slow_body = Client::new(Limits::default());
    slow_body.send(get());
    slow_body.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
    assert_eq!(slow_body.connection.next_deadline(), seconds(30));
    slow_body.connection.pause_body();
    assert_eq!(slow_body.connection.next_deadline(), None);
    slow_body.connection.read_body(NOW);
    timeout(&mut slow_body);

    let mut stuck = Client::new(Limits::default());
    stuck.connection.request(NOW, get()).unwrap();
    assert_eq!(stuck.connection.next_deadline(), seconds(60));
    timeout(&mut stuck);
}

#[test]
fn unwanted_content_is_dropped_or_ends_the_connection() {
    let run = |response: &str, discard_bytes_max| {
        let mut client = Client::new(Limits { discard_bytes_max, ..Limits::default() });
        client.send(get());
        let consumed = client.connection.handle_input(NOW, response.as_bytes());
        assert!(matches!(client.connection.poll_event(), Some(Event::Response(_))));
        client.connection.drop_body(NOW);
        client.feed(&response.as_bytes()[consumed..]);
        (client.events.len(), client.connection.state())
    };
    let known = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(run(known, 3), (0, ConnectionState::Open));
    assert_eq!(run(known, 2), (0, ConnectionState::Abort));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(run(chunked, 3), (0, ConnectionState::Open));
    assert_eq!(run(chunked, 2), (0, ConnectionState::Abort));
    assert_eq!(run("HTTP/1.1 200 OK\r\n\r\nabc", 100), (0, ConnectionState::Abort));
}

#[test]
fn limits_of_heads() {
    let limits = Limits {
        request_line_bytes_max: 20,
        header_bytes_max: 60,
        headers_max: 2,
        ..Limits::default()
    };
    let receive = |text: &str| receive_limited(&get(), text.as_bytes(), false, &limits).events;
    assert_eq!(receive("HTTP/1.1 204 1234567\r\n\r\n"), ["204 1234567"]);
    assert_eq!(receive("HTTP/1.1 204 12345678\r\n\r\n"), ["failed: TargetTooLong"]);
    assert_eq!(receive("HTTP/1.1 204 X\r\nA:1\r\nB:1\r\n\r\n"), ["204 X"]);
    assert_eq!(receive("HTTP/1.1 204 X\r\nA:1\r\nB:1\r\nC:1\r\n\r\n"), ["failed: HeadTooLarge"]);
    let long = |len: usize| format!("HTTP/1.1 204 X\r\nA:{}\r\n\r\n", "1".repeat(len));
    assert_eq!((long(38).len(), receive(&long(38))), (60, vec!["204 X".to_owned()]));
    assert_eq!(receive(&long(39)), ["failed: HeadTooLarge"]);
    assert_eq!(Status::NO_CONTENT.reason(), "No Content");
}

#[test]
fn an_aborted_connection_stays_aborted() {
    let mut client = Client::new(Limits::default());
    client.send(get());
    client.feed(b"nonsense\r\n\r\n");
    client.connection.handle_end(NOW);
    assert!(client.connection.poll_event().is_none());
    assert_eq!(client.connection.state(), ConnectionState::Abort);
}

const PIPELINED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\
    HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\
    HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";

fn to(method: Method, path: &str) -> Request {
    Request::new(method, "a", path).unwrap()
}

#[test]
fn rfc9112_9_3_2_pipelined_responses_come_in_the_order_of_their_requests() {
    // What comes before its request is asked for is none of ours: the third does not.
    let third = PIPELINED.windows(12).position(|part| part == b"HTTP/1.1 404").unwrap();
    for split in 0..=third {
        let mut client = Client::new(Limits::default());
        client.connection.pipeline(NOW, to(Method::Get, "/1")).unwrap();
        client.connection.pipeline(NOW, to(Method::Head, "/2")).unwrap();
        // One goes while responses come.
        assert_eq!(client.transmit().matches(" HTTP/1.1\r\n").count(), 2);
        client.feed(&PIPELINED[..split]);
        client.connection.pipeline(NOW, to(Method::Get, "/3")).unwrap();
        assert!(client.connection.wants_transmit() && !client.connection.is_reusable());
        let last = client.transmit();
        assert!(last.starts_with("GET /3 HTTP/1.1\r\n"), "{split}: {last}");
        client.feed(&PIPELINED[split..]);
        // To HEAD there is no content, whatever the length says.
        let heads = ["200 OK", "200 OK", "404 Not"];
        let events = &client.events;
        assert_eq!(events.len(), 5, "{split}: {events:?}");
        assert_eq!([&*events[1], &*events[2], &*events[4]], ["body hi", "200 OK", "body no"]);
        assert!([0, 2, 3].iter().zip(heads).all(|(at, head)| events[*at].starts_with(head)));
        assert!(client.connection.is_reusable(), "{split}");
    }
}

#[test]
fn pipelined_requests_are_written_one_after_the_other_through_any_buffer() {
    let mut whole = String::new();
    for room in [1, 7, 100, 1024] {
        let mut client = Client::new(Limits::default());
        let body = || to(Method::Post, "/p").with_content("text/plain", "content");
        for request in [body(), to(Method::Get, "/2"), body()] {
            client.connection.pipeline(NOW, request).unwrap();
        }
        let mut sent = Vec::new();
        while client.connection.wants_transmit() {
            let mut out = vec![0; room];
            let count = client.connection.poll_transmit(NOW, &mut out);
            assert!(count > 0, "it said that there was something");
            sent.extend_from_slice(&out[..count]);
        }
        let sent = String::from_utf8(sent).unwrap();
        assert_eq!(sent.matches(" HTTP/1.1\r\n").count(), 3);
        assert!(whole.is_empty() || whole == sent, "{room}: {sent}");
        whole = sent;
    }
}

#[test]
fn what_ends_a_connection_ends_pipelining() {
    // RFC 9112 section 9.6: nothing after a request or a response that says `close`.
    let mut client = Client::new(Limits::default());
    client.connection.pipeline(NOW, get().closing()).unwrap();
    assert!(client.connection.pipeline(NOW, get()).is_err());
    let mut client = Client::new(Limits::default());
    client.connection.pipeline(NOW, get()).unwrap();
    client.connection.pipeline(NOW, get()).unwrap();
    client.transmit();
    client.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.connection.state(), ConnectionState::Closed);
    assert!(!client.connection.wants_transmit());
    assert!(client.connection.pipeline(NOW, get()).is_err());
    // Behind others there is nothing that waits for its server.
    let mut client = Client::new(Limits::default());
    client.connection.pipeline(NOW, get()).unwrap();
    for request in [
        get().upgrading("websocket"),
        to(Method::Post, "/").with_content("text/plain", "x").expecting_continue(),
        to(Method::Post, "/").carrying(Content::Stream(None)),
        Request::new(Method::Connect, "a:1", "").unwrap(),
    ] {
        assert!(client.connection.pipeline(NOW, request).is_err());
    }
    // A connection that breaks is told of once.
    client.transmit();
    client.connection.handle_end(NOW);
    client.note_events(&[]);
    assert_eq!(client.events, ["failed: NoResponse"]);
}

/// RFC 9110 section 9.2.2: only what is idempotent may be sent again by itself, and only what is still there.
#[test]
fn rfc9110_9_2_2_what_is_repeatable_is_idempotent_and_there() {
    for (method, expected) in [
        (Method::Get, true),
        (Method::Head, true),
        (Method::Put, true),
        (Method::Delete, true),
        (Method::Options, true),
        (Method::Post, false),
        (Method::Patch, false),
    ] {
        let request = || Request::new(method, "a", "/").unwrap();
        let streamed = || Content::Stream(Some(3));
        assert_eq!(request().is_repeatable(), expected, "{method:?}");
        assert_eq!(request().with_content("text/plain", "abc").is_repeatable(), expected);
        assert!(!request().carrying(streamed()).is_repeatable(), "{method:?}");
    }
}
