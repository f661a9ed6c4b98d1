//! Every limit and every deadline of a server, reached and just not reached.

use bytes::Bytes;
use http::server::{Config, Connection, Event};
use http::{ConnectionState, Limits};
use http_test_server::{Outcome, Server, serve_every_way};
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Response, Status};

fn status(outcome: &Outcome) -> u16 {
    let line = outcome.output.strip_prefix("HTTP/1.1 ").expect("a response");
    line[..3].parse().expect("a status")
}

/// `inside` is served, `beyond` is refused with this status.
fn assert_bound(limits: &Limits, inside: &str, beyond: &str, refusal: u16) {
    let served = serve_every_way(inside.as_bytes(), limits);
    assert_eq!(status(&served), 200, "{inside}");
    let refused = serve_every_way(beyond.as_bytes(), limits);
    assert_eq!(status(&refused), refusal, "{beyond}");
    assert!(refused.events.last().unwrap().starts_with("failed: "), "{:?}", refused.events);
}

#[test]
fn request_line_bytes_max() {
    let limits = Limits { request_line_bytes_max: 20, ..Limits::default() };
    let request = |query: &str| format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!("GET /?12345 HTTP/1.1".len(), 20);
    assert_bound(&limits, &request("12345"), &request("123456"), 414);
    assert_bound(
        &limits,
        &format!("\r\n{}", request("12345")),
        &format!("\r\n{}", request("123456")),
        414,
    );
    // Without an end in sight, too.
    assert_eq!(status(&serve_every_way(b"GET /0123456789012345678", &limits)), 414);
}

#[test]
fn header_bytes_max() {
    let limits = Limits { header_bytes_max: 64, ..Limits::default() };
    let request = |value_len: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(value_len))
    };
    assert_eq!(request(32).len(), 64);
    assert_bound(&limits, &request(32), &request(33), 431);
    let endless = format!("GET / HTTP/1.1\r\nHost: {}", "x".repeat(100));
    assert_eq!(status(&serve_every_way(endless.as_bytes(), &limits)), 431);
}

#[test]
fn the_largest_head_has_65535_bytes() {
    let limits = Limits {
        header_bytes_max: u16::MAX,
        request_line_bytes_max: u16::MAX,
        ..Limits::default()
    };
    let frame = "GET /? HTTP/1.1\r\nHost: a\r\n\r\n".len();
    for (len, expected) in [(65_535, 200), (65_536, 414)] {
        let request = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "q".repeat(len - frame));
        for piece in [usize::MAX, 1000] {
            let outcome =
                http_test_server::serve_in_pieces(request.as_bytes(), piece, usize::MAX, &limits);
            assert!(
                status(&outcome) == expected || expected == 414 && status(&outcome) == 431,
                "{len}"
            );
        }
    }
}

#[test]
fn headers_max() {
    let limits = Limits { headers_max: 3, ..Limits::default() };
    let request =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_bound(&limits, &request(3), &request(4), 431);
}

#[test]
fn body_bytes_max() {
    let limits = Limits { body_bytes_max: 5, ..Limits::default() };
    let known = |len: usize| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}",
            "x".repeat(len)
        )
    };
    assert_bound(&limits, &known(5), &known(6), 413);
    let chunked = |chunks: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    assert_bound(
        &limits,
        &chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
        &chunked("2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"),
        413,
    );
}

#[test]
fn chunk_extension_bytes_max() {
    let limits = Limits { chunk_extension_bytes_max: 4, ..Limits::default() };
    let chunked = |chunks: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    assert_bound(
        &limits,
        &chunked("1;a\r\nx\r\n0;b\r\n\r\n"),
        &chunked("1;a\r\nx\r\n0;bc\r\n\r\n"),
        400,
    );
    assert_bound(
        &limits,
        &chunked("1 ;a\r\nx\r\n0\r\n\r\n"),
        &chunked("1    ;a\r\nx\r\n0\r\n\r\n"),
        400,
    );
}

#[test]
fn trailer_bytes_and_fields_max() {
    let limits = Limits { trailer_bytes_max: 16, trailer_fields_max: 2, ..Limits::default() };
    let trailer = |fields: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{fields}\r\n"
        )
    };
    assert_bound(
        &limits,
        &trailer("X: 1234567890\r\n".get(..0).unwrap()),
        &trailer("X: 1234567890\r\n"),
        431,
    );
    assert_bound(&limits, &trailer("X: 123456789\r\n"), &trailer("X: 1234567890\r\n"), 431);
    assert_bound(&limits, &trailer("X:1\r\nX:2\r\n"), &trailer("X:\r\nX:\r\nX:\r\n"), 431);
}

#[test]
fn chunked_requests() {
    let limits = Limits { chunked_requests: false, ..Limits::default() };
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    assert_bound(
        &limits,
        &format!("{head}Content-Length: 1\r\n\r\na"),
        &format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
        411,
    );
}

#[test]
fn rfc9110_15_5_20_authorities_served_elsewhere() {
    let hosts = vec!["a.example".to_owned(), "[fd00::2]".to_owned()];
    for (host, expected) in [
        ("a.example", 200),
        ("A.Example:8080", 200),
        ("a.example.", 200),
        ("A.EXAMPLE.:80", 200),
        ("a.example..", 421),
        (".", 421),
        ("[FD00::2]", 200),
        ("[fd00::2]:80", 200),
        ("[fd00::3]:80", 421),
        ("b.example", 421),
        ("a.example.org", 421),
        ("a", 421),
        ("", 421),
    ] {
        let mut server = Server::new(Config { hosts: hosts.clone(), ..Config::default() });
        server.feed(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(status(&server.outcome()), expected, "{host}");
    }
}

#[test]
fn rfc5952_1_an_address_has_many_texts() {
    for (own, host, expected) in [
        ("[0:0:0:0:0:0:0:1]", "[::1]", 200),
        ("[0:0:0:0:0:0:0:1]", "[0::1]:80", 200),
        ("[::1]", "[0:0:0:0:0:0:0:1]:8080", 200),
        ("[FD00:0::2]", "[fd00::0002]", 200),
        ("[::ffff:10.9.0.2]", "[::ffff:a09:2]", 200),
        ("[::1]", "[::2]", 421),
        ("[::ffff:10.9.0.2]", "10.9.0.2", 421),
    ] {
        let hosts = vec![own.to_owned()];
        let mut server = Server::new(Config { hosts, ..Config::default() });
        server.feed(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(status(&server.outcome()), expected, "{own} {host}");
    }
}

fn server() -> Server {
    Server::new(Config::default())
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn head_timeout_runs_from_the_connections_start_and_silence_is_no_408() {
    let mut server = server();
    assert_eq!(server.connection.next_deadline(), Some(seconds(10)));
    server.connection.handle_timeout(seconds(9));
    assert!(server.connection.poll_event().is_none());
    assert_eq!(server.connection.state(), ConnectionState::Open);
    server.run_to_deadline();
    assert_eq!((server.output.len(), server.connection.state()), (0, ConnectionState::EndOutput));
    // Then the peer has the linger time to go.
    assert_eq!(server.connection.next_deadline(), Some(seconds(15)));
    server.run_to_deadline();
    assert_eq!(server.connection.state(), ConnectionState::Closed);
    assert_eq!(server.connection.next_deadline(), None);
}

#[test]
fn head_timeout_is_not_extended_by_progress() {
    let mut server = server();
    for second in 0..10 {
        server.now = seconds(second);
        server.feed(b"GET / HTTP/"[second as usize..].get(..1).unwrap());
        assert_eq!(server.connection.next_deadline(), Some(seconds(10)));
    }
    server.run_to_deadline();
    assert_eq!(server.events, ["failed: Timeout"]);
    assert_eq!(status(&server.outcome()), 408);
}

#[test]
fn idle_timeout_then_head_timeout() {
    let mut server = server();
    server.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.connection.next_deadline(), Some(seconds(75)));
    assert!(server.connection.is_idle());
    server.now = seconds(30);
    server.feed(b"G");
    assert_eq!(server.connection.next_deadline(), Some(seconds(40)));
    assert!(!server.connection.is_idle());
    server.feed(b"ET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.connection.next_deadline(), Some(seconds(105)));
    let output_len = server.output.len();
    server.run_to_deadline();
    assert_eq!(
        (server.output.len(), server.connection.state()),
        (output_len, ConnectionState::EndOutput)
    );
}

#[test]
fn body_timeout_is_extended_by_progress_and_stands_still_while_paused() {
    let mut server = server();
    server.feed(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100003\r\n\r\n");
    assert_eq!(server.connection.next_deadline(), Some(seconds(30)));
    server.now = seconds(15);
    server.feed(&[b'a'; 100_001]);
    assert_eq!(server.connection.next_deadline(), Some(seconds(45)));
    server.connection.pause_body();
    assert_eq!(server.connection.next_deadline(), None);
    server.ring.extend_from_slice(b"b");
    assert_eq!(server.connection.handle_input(server.now, b"b"), 0);
    assert!(server.connection.poll_event().is_none());
    server.now = seconds(100);
    server.connection.read_body(server.now);
    assert_eq!(server.connection.next_deadline(), Some(seconds(130)));
    server.run_to_deadline();
    assert_eq!(server.events, ["POST /echo ...", "failed: Timeout"]);
    assert_eq!(status(&server.outcome()), 408);
}

#[test]
fn a_body_that_trickles_is_refused_in_time() {
    let mut server = server();
    server.feed(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    // 600 bytes a second are enough for as long as it takes.
    while server.now < seconds(100) {
        server.now += seconds(1);
        server.feed(&[b'a'; 600]);
        assert!(server.connection.next_deadline() > Some(server.now + seconds(29)));
    }
    // One in ten seconds is progress, too, but not for ever.
    let mut bytes = 0;
    while server.connection.next_deadline() > Some(server.now + seconds(10)) {
        server.now += seconds(10);
        server.feed(b"a");
        bytes += 1;
    }
    assert!(bytes < 4, "{bytes} bytes");
    server.run_to_deadline();
    assert_eq!(status(&server.outcome()), 408);
}

#[test]
fn write_timeout_ends_in_a_reset() {
    let mut server = server();
    server.room = 0;
    server.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.connection.next_deadline(), Some(seconds(60)));
    // A byte moves it by the least rate's share of a second.
    let mut out = [0; 1];
    assert_eq!(server.connection.poll_transmit(seconds(59), &mut out), 1);
    assert_eq!(server.connection.next_deadline(), Some(Duration::from_millis(60_002)));
    server.run_to_deadline();
    assert_eq!(server.connection.state(), ConnectionState::Abort);
    assert_eq!(server.events, ["GET /", "failed: Timeout"]);
}

/// A flow takes much at once: what the client took of that is progress, by its share of a second.
#[test]
fn what_the_client_takes_of_what_has_left_puts_the_deadline_off() {
    let mut server = server();
    server.connection.peer_took(seconds(1), 1000);
    server.room = 0;
    server.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.connection.peer_took(seconds(60), 1000);
    server.connection.handle_timeout(seconds(60));
    assert_eq!(server.connection.next_deadline(), Some(seconds(62)));
}

/// How long a client is sent an answer to a request for `path` that it takes `bytes_per_second` of.
fn sent_for(path: &str, bytes_per_second: usize) -> Option<u64> {
    let mut server = server();
    server.room = 0;
    server.feed(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let mut buffer = vec![0; bytes_per_second];
    while server.connection.state() == ConnectionState::Open {
        server.now += seconds(1);
        if server.connection.next_deadline().is_some_and(|deadline| deadline <= server.now) {
            server.connection.handle_timeout(server.now);
            assert_eq!(server.connection.state(), ConnectionState::Abort);
            break;
        }
        server.transmit_into(&mut buffer);
        if server.connection.is_answered() {
            return None;
        }
    }
    Some(server.now.as_secs())
}

#[test]
fn a_client_that_takes_less_than_the_least_rate_is_cut_off_in_time() {
    for path in ["/long", "/long-parts", "/long-stream"] {
        assert_eq!(sent_for(path, 600), None, "{path}: fast enough for as long as it takes");
        let cut = sent_for(path, 400).expect("too slow");
        assert!((60..=301).contains(&cut), "{path}: after {cut} s");
        assert_eq!(sent_for(path, 0), Some(60), "{path}: a client that pauses has the timeout");
    }
}

#[test]
fn what_waits_to_be_sent_is_told_apart_from_what_was_taken() {
    for (path, length) in [("/long", 400_000), ("/long-parts", 400_000), ("/kept-long", 4000)] {
        let mut server = server();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..3 {
            server.room = usize::MAX;
            server.feed(request.as_bytes());
            assert_eq!(server.connection.untaken_content(), 0);
        }
        server.room = 0;
        server.feed(request.as_bytes());
        assert_eq!(server.connection.untaken_content(), length, "{path}");
        let mut out = vec![0; 1000];
        let count = server.connection.poll_transmit(server.now, &mut out);
        let head = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(server.connection.untaken_content(), length - (count - head) as u64, "{path}");
        server.run_to_deadline();
        assert_eq!(server.connection.untaken_content(), length - (count - head) as u64, "{path}");
    }
}

/// A connection whose answer of 20,000 bytes has been written up to the end of its head.
fn answering() -> Connection {
    let mut connection = Connection::new(Rc::default(), Duration::ZERO);
    connection.handle_input(Duration::ZERO, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    let answer = Response::ok("text/plain", vec![b'x'; 20_000]);
    connection.respond(Duration::ZERO, answer).unwrap();
    assert!(connection.long_output().is_none(), "the head comes first");
    let mut out = vec![0; 30_000];
    let count = connection.poll_transmit(Duration::ZERO, &mut out);
    assert!(out[..count].ends_with(b"\r\n\r\n"), "the content is left for zero copy");
    connection
}

#[test]
fn content_sent_by_zero_copy_is_progress_like_written_one() {
    let mut connection = answering();
    assert_eq!(connection.long_output().map(|bytes| bytes.split_to(15_000).len()), Some(15_000));
    connection.long_output_taken(seconds(19), 15_000);
    assert_eq!(connection.next_deadline(), Some(seconds(79)));
    assert_eq!(connection.long_output().map(|bytes| bytes.len()), Some(5_000));
    connection.long_output_taken(seconds(30), 0);
    assert_eq!(connection.next_deadline(), Some(seconds(79)), "nothing was taken");
    connection.handle_timeout(seconds(79));
    assert!(matches!(connection.poll_event(), Some(Event::Failed(..))));
    assert_eq!(connection.state(), ConnectionState::Abort);
}

#[test]
fn content_sent_by_zero_copy_to_its_end_ends_the_answer() {
    let mut connection = answering();
    connection.long_output().unwrap().clear();
    connection.long_output_taken(seconds(1), 20_000);
    assert!(connection.long_output().is_none() && !connection.wants_transmit());
    assert!(connection.is_idle() && !connection.has_request());
    let mut connection = answering();
    let mut out = vec![0; 30_000];
    let count = connection.poll_transmit(Duration::ZERO, &mut out);
    assert_eq!((count, connection.is_idle()), (20_000, true), "who does not take it gets a copy");
}

#[test]
fn rfc9112_9_6_lingering_has_a_bound_of_bytes_silence_and_rate() {
    let lingering = |linger_bytes_max| {
        let limits = Limits { linger_bytes_max, ..Limits::default() };
        let mut server = Server::new(Config { limits, ..Config::default() });
        server.feed(b"bad\r\n\r\n");
        assert_eq!(server.connection.state(), ConnectionState::EndOutput);
        assert_eq!(server.connection.next_deadline(), Some(seconds(5)));
        server
    };
    let mut bytes = lingering(10);
    bytes.feed(b"123456789");
    assert_eq!(bytes.connection.state(), ConnectionState::EndOutput);
    bytes.feed(b"0");
    assert_eq!(bytes.connection.state(), ConnectionState::Closed);

    let mut silence = lingering(1 << 20);
    silence.now = seconds(4);
    silence.feed(&[0; 10_000]);
    assert_eq!(silence.connection.next_deadline(), Some(seconds(9)), "from the last bytes");
    silence.run_to_deadline();
    assert_eq!(silence.connection.state(), ConnectionState::Closed);

    let mut dripping = lingering(1 << 20);
    while dripping.connection.next_deadline() > Some(dripping.now + seconds(1)) {
        dripping.now += seconds(1);
        dripping.feed(b"a");
    }
    assert!(dripping.now < seconds(6), "{:?}", dripping.now);
}

#[test]
fn an_upload_that_nobody_wants_is_refused_with_the_connections_end_announced() {
    let unwanted = |coding: &str, body: &[u8]| {
        let mut server = server();
        let head = format!("POST /refuse HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n");
        server.feed(&[head.as_bytes(), body].concat());
        let outcome = server.outcome();
        (outcome.output.contains("\r\nConnection: close\r\n"), outcome.state)
    };
    let ends = (true, ConnectionState::EndOutput);
    assert_eq!(unwanted("Transfer-Encoding: chunked", b"5\r\nhel"), ends);
    assert_eq!(unwanted("Content-Length: 300000", b"hel"), ends);
    // What is known to be little is worth reading.
    let persists = (false, ConnectionState::Open);
    assert_eq!(unwanted("Content-Length: 30000", b"hel"), persists);
}

#[test]
fn rfc9112_8_the_end_of_input_inside_a_message() {
    for input in [
        "G",
        "GET / HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut server = server();
        server.feed(input.as_bytes());
        server.end();
        assert_eq!(server.events.last().unwrap(), "failed: Truncated");
        let outcome = server.outcome();
        assert_eq!((status(&outcome), outcome.state), (400, ConnectionState::Closed), "{input}");
    }
}

#[test]
fn a_client_that_ends_its_side_after_a_request_is_answered() {
    let mut server = server();
    server.room = 0;
    server.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.end();
    server.room = 100;
    server.feed(b"");
    let outcome = server.outcome();
    assert_eq!((status(&outcome), outcome.state), (200, ConnectionState::Closed));
    assert!(outcome.output.contains("\r\nConnection: close\r\n"));
}

#[test]
fn a_drained_server_answers_what_is_open_and_ends() {
    let mut idle = server();
    idle.connection.drain(idle.now);
    assert_eq!(idle.connection.state(), ConnectionState::EndOutput);

    let mut busy = server();
    busy.feed(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    busy.connection.drain(busy.now);
    busy.feed(b"bGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let outcome = busy.outcome();
    assert_eq!((status(&outcome), outcome.state), (200, ConnectionState::EndOutput));
    assert_eq!(outcome.events, ["POST /echo ...", "body ab"]);
}

#[test]
fn a_connection_is_small_and_an_idle_one_holds_no_memory() {
    assert!(size_of::<Connection>() <= 400, "{}", size_of::<Connection>());
}

/// What is written next, by whoever sends nothing from where it lies.
fn written(connection: &mut Connection) -> Vec<u8> {
    let mut out = vec![0; 30_000];
    let count = connection.poll_transmit(Duration::ZERO, &mut out);
    out.truncate(count);
    out
}

/// A page of a file that is read while it is sent goes out from where it lies, in a chunk or not.
#[test]
fn a_long_piece_of_a_stream_is_lent() {
    for (length, before, end) in
        [(Some(40_004), "", "last"), (None, "4e20\r\n", "4\r\nlast\r\n0\r\n\r\n")]
    {
        let mut connection = Connection::new(Rc::default(), Duration::ZERO);
        connection.handle_input(Duration::ZERO, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
        let response = Response::new(Status::OK).carrying(Content::Stream(length));
        connection.respond(Duration::ZERO, response).unwrap();
        assert!(written(&mut connection).ends_with(b"\r\n\r\n"));
        // Lent whole, lent in part, and copied.
        for lent in [20_000, 15_000] {
            connection.send_data(Duration::ZERO, vec![7; 20_000].into()).unwrap();
            assert_eq!(connection.body_capacity(), 0, "one piece at a time");
            assert!(connection.held_bytes() >= 20_000);
            if !before.is_empty() {
                assert!(connection.long_output().is_none(), "the chunk's size comes first");
                assert!(written(&mut connection).ends_with(before.as_bytes()));
            }
            let taken = connection.long_output().map(|bytes| bytes.split_to(lent).len());
            assert_eq!(taken, Some(lent));
            connection.long_output_taken(Duration::ZERO, lent);
        }
        assert_eq!(written(&mut connection)[..5_000], [7; 5_000]);
        assert!(connection.long_output().is_none());
        connection.send_data(Duration::ZERO, b"last".into()).unwrap();
        connection.finish(Duration::ZERO).unwrap();
        assert!(written(&mut connection).ends_with(end.as_bytes()));
        assert!(!connection.has_request());
    }
}

#[test]
fn rfc9112_8_a_stream_that_is_cut_sends_what_it_has_and_ends_the_connection_where_that_shows() {
    let get =
        |version| format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    for (version, length, rest, state) in [
        ("1.1", None, &b"00000005\r\nearly\r\n"[..], ConnectionState::EndOutput),
        ("1.1", Some(9), b"early", ConnectionState::EndOutput),
        // By its end alone it would look whole.
        ("1.0", None, b"", ConnectionState::Abort),
        ("1.1", Some(5), b"", ConnectionState::Abort),
    ] {
        let mut connection = Connection::new(Rc::default(), Duration::ZERO);
        connection.handle_input(Duration::ZERO, get(version).as_bytes());
        assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
        let response = Response::new(Status::OK).carrying(Content::Stream(length));
        connection.respond(Duration::ZERO, response).unwrap();
        assert!(written(&mut connection).ends_with(b"\r\n\r\n"));
        connection.send_data(Duration::ZERO, b"early".into()).unwrap();
        connection.cut_response(Duration::ZERO);
        let mut sent = Vec::new();
        while connection.wants_transmit() {
            sent.extend(written(&mut connection));
        }
        assert_eq!((&sent[..], connection.state()), (rest, state), "{version} {length:?}");
    }
    // Of what was not begun, the client can be told.
    let mut connection = Connection::new(Rc::default(), Duration::ZERO);
    connection.handle_input(Duration::ZERO, get("1.1").as_bytes());
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    let response = Response::new(Status::OK).carrying(Content::Stream(None));
    connection.respond(Duration::ZERO, response).unwrap();
    connection.cut_response(Duration::ZERO);
    assert!(written(&mut connection).starts_with(b"HTTP/1.1 500 "));
}

/// Long parts of one content, which are not its own, go out from where they lie, short ones between them by copy.
#[test]
fn long_parts_are_lent() {
    let mut connection = Connection::new(Rc::default(), Duration::ZERO);
    connection.handle_input(Duration::ZERO, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    let parts = [vec![1; 20_000], vec![2; 5], vec![3; 20_000], vec![4; 20_000]];
    let content = Content::Parts(parts.map(|part| Bytes::from(part).into()).into());
    connection.respond(Duration::ZERO, Response::new(Status::OK).carrying(content)).unwrap();
    assert_eq!(connection.untaken_content(), 60_005);
    assert!(written(&mut connection).ends_with(b"\r\n\r\n"));
    let mut taken = Vec::new();
    while connection.wants_transmit() {
        match connection.long_output() {
            Some(bytes) => {
                let some = bytes.split_to(bytes.len().min(15_000));
                taken.extend_from_slice(&some);
                connection.long_output_taken(Duration::ZERO, some.len());
            }
            None => taken.extend(written(&mut connection)),
        }
    }
    let runs: Vec<_> = taken.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    assert_eq!(runs, [(1, 20_000), (2, 5), (3, 20_000), (4, 20_000)]);
    assert!(!connection.has_request());
}
