//! What a server does out of turn, at the end of input, and with what it holds.

use bytes::Bytes;
use http::server::{Config, Connection, Event};
use http::{ConnectionState, Limits};
use http_test_server::Server;
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Data, Response, Status};

const NOW: Duration = Duration::ZERO;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A connection with this request open, whose content was not asked for.
fn asked(head: &[u8]) -> Connection {
    let mut connection = Connection::new(Rc::default(), NOW);
    assert_eq!(connection.handle_input(NOW, head), head.len());
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    connection
}

/// What is written into this much room at once.
fn written(connection: &mut Connection, room: usize) -> Vec<u8> {
    let mut out = vec![0; room];
    let count = connection.poll_transmit(NOW, &mut out);
    out.truncate(count);
    out
}

fn stream(length: Option<u64>) -> Response {
    Response::new(Status::OK).carrying(Content::Stream(length))
}

#[test]
fn a_request_has_one_response() {
    let ok = || Response::ok("text/plain", "ok");
    let mut connection = Connection::new(Rc::default(), NOW);
    assert!(connection.respond(NOW, ok()).is_err(), "nobody asked");
    assert!(!connection.has_request() && connection.is_answered() && !connection.wants_transmit());

    let mut connection = asked(GET);
    assert!(connection.has_request() && !connection.is_answered());
    connection.respond(NOW, ok()).unwrap();
    assert!(connection.respond(NOW, stream(None)).is_err(), "it waits");
    assert!(!connection.is_streaming());
    assert!(written(&mut connection, 1000).ends_with(b"\r\n\r\nok"));
    assert!(!connection.has_request() && connection.respond(NOW, ok()).is_err(), "it is sent");

    let mut connection = asked(GET);
    connection.respond(NOW, stream(None)).unwrap();
    assert!(connection.is_streaming() && connection.body_capacity() == 0);
    assert!(connection.send_data(NOW, "early".into()).is_err(), "its head is not sent");
    assert!(connection.finish(NOW).is_err());
    written(&mut connection, 1000);
    assert!(connection.respond(NOW, ok()).is_err(), "its head is sent");
    assert!(connection.body_capacity() > 0 && connection.send_data(NOW, "late".into()).is_ok());
}

#[test]
fn rfc9110_7_8_only_who_asked_and_sent_all_is_upgraded() {
    let upgrade = || Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "echo");
    let head = |more: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{more}\r\n").into_bytes();
    let asks = "Connection: upgrade\r\nUpgrade: echo\r\n";
    let mut connection = asked(&head(asks));
    let hints = Response::new(Status::new(103).unwrap());
    assert!(connection.respond(NOW, hints).is_err(), "no interim response is final");
    connection.respond(NOW, upgrade()).unwrap();
    written(&mut connection, 1000);
    assert_eq!(connection.state(), ConnectionState::Upgraded);
    assert_eq!(connection.handle_input(NOW, b"theirs"), 0);
    for head in [head("Upgrade: echo\r\n"), head(&format!("{asks}Content-Length: 1\r\n"))] {
        let mut connection = asked(&head);
        assert!(connection.respond(NOW, upgrade()).is_err());
        connection.respond(NOW, Response::new(Status::OK)).unwrap();
        written(&mut connection, 1000);
        assert_ne!(connection.state(), ConnectionState::Upgraded);
    }
}

#[test]
fn a_client_that_ends_its_side_gets_the_answer_that_waits() {
    // After an answer that closes, nothing else is waited for.
    let mut server = Server::new(Config::default());
    server.feed(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.connection.state(), ConnectionState::EndOutput);
    server.connection.handle_end(NOW);
    assert_eq!(server.connection.state(), ConnectionState::Closed);
    assert_eq!(server.connection.next_deadline(), None);
    // What comes all the same is taken, and nothing comes of it.
    assert_eq!(server.connection.handle_input(NOW, GET), GET.len());
    assert!(server.connection.poll_event().is_none());

    // Between two requests it is no fault.
    for requests in [0, 2] {
        let mut server = Server::new(Config::default());
        server.feed(&GET.repeat(requests));
        let output = server.output.len();
        server.end();
        assert_eq!((server.events.len(), server.output.len()), (requests, output));
        assert_eq!(server.connection.state(), ConnectionState::Closed);
    }

    // Before the refusal is written.
    let mut server = Server::new(Config::default());
    server.room = 0;
    server.feed(b"bad\r\n\r\n");
    server.end();
    assert_eq!(server.connection.state(), ConnectionState::Open);
    server.room = 30;
    server.feed(b"");
    let outcome = server.outcome();
    assert!(outcome.output.starts_with("HTTP/1.1 400 "), "{outcome:?}");
    assert_eq!(outcome.state, ConnectionState::Closed);
}

#[test]
fn what_is_dropped_is_bounded_over_the_whole() {
    let refused = |early: &[u8]| {
        let limits = Limits { linger_bytes_max: 10, ..Limits::default() };
        let mut server = Server::new(Config { limits, ..Config::default() });
        server.room = 0;
        server.feed(b"bad\r\n\r\n");
        server.feed(early);
        assert_eq!(server.connection.state(), ConnectionState::Open, "the answer waits");
        server.room = 1000;
        server.feed(b"");
        assert!(server.output.starts_with(b"HTTP/1.1 400 "));
        server
    };
    let mut server = refused(b"123456");
    server.feed(b"789");
    assert_eq!(server.connection.state(), ConnectionState::EndOutput);
    server.feed(b"0");
    assert_eq!(server.connection.state(), ConnectionState::Closed);
    assert_eq!(refused(b"123456789").connection.state(), ConnectionState::EndOutput);
    assert_eq!(refused(b"1234567890").connection.state(), ConnectionState::Closed);
}

#[test]
fn what_a_connection_holds_is_counted() {
    let mut connection = Connection::new(Rc::default(), NOW);
    assert_eq!(connection.held_bytes(), 0);
    connection.handle_input(NOW, &GET[..20]);
    assert!((20..100).contains(&connection.held_bytes()), "{}", connection.held_bytes());
    connection.handle_input(NOW, &GET[20..]);
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    assert_eq!(connection.held_bytes(), 0);

    let parts =
        || Content::Parts(vec![vec![1; 3000].into(), vec![2; 4000].into(), "static".into()]);
    connection.respond(NOW, Response::new(Status::OK).carrying(parts())).unwrap();
    assert_eq!(connection.held_bytes(), 7000);
    assert_eq!(connection.untaken_content(), 7006);
    for (room, count, held) in [(1000, 1000, 7000), (3000, 3000, 4000), (3900, 3047, 0)] {
        assert_eq!(written(&mut connection, room).len(), count);
        assert_eq!(connection.held_bytes(), held, "{room}");
    }
    // A head for which there is no room is held, too.
    let mut connection = asked(GET);
    connection.respond(NOW, Response::new(Status::OK).carrying(parts())).unwrap();
    assert_eq!(written(&mut connection, 10).len(), 10);
    assert!((7010..8000).contains(&connection.held_bytes()), "{}", connection.held_bytes());
    assert_eq!(connection.untaken_content(), 7006);
    // Long parts of its own are copied, each of which is free then.
    let mut connection = asked(GET);
    let parts = Content::Parts(vec![vec![1; 20_000].into(), vec![2; 30_000].into()]);
    connection.respond(NOW, Response::new(Status::OK).carrying(parts)).unwrap();
    for held in [50_000, 30_000, 30_000, 30_000, 0] {
        written(&mut connection, 12_000);
        assert!(connection.long_output().is_none());
        assert_eq!(connection.held_bytes(), held);
    }
    // Of a stream the piece, if it is its own.
    for (piece, held) in [
        (vec![0; 5000].into(), 5000),
        (vec![0; 20_000].into(), 20_000),
        (Data::from("static"), 0),
        (Data::from(Bytes::from(vec![0; 20_000])), 0),
    ] {
        let mut connection = asked(GET);
        connection.respond(NOW, stream(None)).unwrap();
        written(&mut connection, 1000);
        connection.send_data(NOW, piece).unwrap();
        assert_eq!(connection.held_bytes(), held);
    }
}

/// Long content goes out from where it lies only when all that comes before it is written, through the smallest buffer.
#[test]
fn long_content_does_not_overtake_what_frames_it() {
    let long = || Bytes::from(vec![b'x'; 20_000]);
    let parts = Content::Parts(vec![long().into(), "short".into(), long().into()]);
    let x = "x".repeat(20_000);
    let length = |length| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00004e20\r\n";
    for (content, expected) in [
        (Content::Full(long().into()), length(20_000) + &x),
        (parts, length(40_005) + &x + "short" + &x),
        (Content::Stream(Some(20_000)), length(20_000) + &x),
        (Content::Stream(None), chunked.to_owned() + &x + "\r\n0\r\n\r\n"),
    ] {
        for room in [1, 4, 7, 100] {
            let mut connection = asked(GET);
            let response = Response::new(Status::OK).carrying(content.clone());
            connection.respond(NOW, response).unwrap();
            let (mut sent, mut lent) = (Vec::new(), 0);
            while connection.has_request() {
                if connection.body_capacity() > 0 && lent == 0 {
                    connection.send_data(NOW, long().into()).unwrap();
                } else if connection.is_streaming() && !connection.wants_transmit() {
                    if !connection.holds_head() {
                        connection.finish(NOW).unwrap();
                    }
                } else if let Some(bytes) = connection.long_output() {
                    let piece = bytes.split_to(bytes.len().min(9_000));
                    lent += piece.len();
                    sent.extend_from_slice(&piece);
                    connection.long_output_taken(NOW, piece.len());
                    continue;
                }
                sent.extend(written(&mut connection, room));
            }
            assert!(lent > 0 && sent == expected.as_bytes(), "{room}: {} bytes", sent.len());
        }
    }
}

#[test]
fn rfc9110_10_1_1_no_100_comes_inside_a_response() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut connection = asked(head);
    connection.respond(NOW, stream(None)).unwrap();
    assert!(written(&mut connection, 1000).ends_with(b"\r\nConnection: close\r\n\r\n"));
    connection.read_body(NOW);
    assert!(!connection.wants_transmit() && written(&mut connection, 1000).is_empty());
    // Once is enough, and who has sent already was not waiting.
    let mut connection = asked(head);
    connection.read_body(NOW);
    connection.pause_body();
    connection.read_body(NOW);
    assert_eq!(written(&mut connection, 1000), b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!connection.wants_transmit());
}

#[test]
fn what_comes_in_one_input_is_one_event() {
    let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, content, at) in
        [(length, &b"12345GET"[..], 0), (chunked, b"5\r\n12345\r\n0\r\n\r\n", 3)]
    {
        let mut connection = asked(head.as_bytes());
        assert_eq!(connection.handle_input(NOW, content), 0, "nobody asked for it");
        assert_eq!(connection.next_deadline(), None);
        connection.read_body(NOW);
        let taken = connection.handle_input(NOW, content);
        assert_eq!(taken, at + 5);
        assert_eq!(connection.handle_input(NOW, &content[taken..]), 0, "one event at a time");
        let event = connection.poll_event();
        assert!(matches!(event, Some(Event::Data(range)) if range == (at..at + 5)), "{head}");
        if at > 0 {
            assert_eq!(connection.handle_input(NOW, &content[taken..]), content.len() - taken);
        }
        assert!(matches!(connection.poll_event(), Some(Event::End(None))), "{head}");
        assert!(connection.poll_event().is_none());
        assert_eq!(connection.next_deadline(), None, "it is the handler's turn");
    }
}

#[test]
fn the_first_of_two_deadlines_counts() {
    let mut connection = asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    connection.respond(NOW, Response::new(Status::OK)).unwrap();
    assert_eq!(connection.next_deadline(), Some(seconds(60)));
    connection.read_body(seconds(1));
    assert_eq!(connection.next_deadline(), Some(seconds(31)));
    connection.read_body(seconds(2));
    assert_eq!(connection.next_deadline(), Some(seconds(31)), "it was asked for");
    connection.pause_body();
    assert_eq!(connection.next_deadline(), Some(seconds(60)));
    connection.read_body(seconds(40));
    assert_eq!(connection.next_deadline(), Some(seconds(60)));
    connection.handle_timeout(seconds(60) - Duration::from_nanos(1));
    assert_eq!(connection.state(), ConnectionState::Open);
    connection.handle_timeout(seconds(60));
    assert_eq!(connection.state(), ConnectionState::Abort);
}

#[test]
fn a_response_that_fails_is_a_500_while_it_can_be() {
    let mut connection = asked(GET);
    connection.respond(NOW, stream(None)).unwrap();
    connection.fail_response(NOW);
    let text = String::from_utf8(written(&mut connection, 1000)).unwrap();
    assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("\r\nConnection: close\r\n"));
    assert_eq!(connection.state(), ConnectionState::EndOutput);
    let mut connection = asked(GET);
    connection.respond(NOW, stream(None)).unwrap();
    written(&mut connection, 1000);
    connection.fail_response(NOW);
    assert_eq!(connection.state(), ConnectionState::Abort);
    let mut connection = Connection::new(Rc::default(), NOW);
    connection.fail_response(NOW);
    assert_eq!((connection.state(), connection.wants_transmit()), (ConnectionState::Abort, false));
}

#[test]
fn what_is_too_long_is_refused_before_it_has_come() {
    let limits = Limits { request_line_bytes_max: 20, body_bytes_max: 5, ..Limits::default() };
    let fed = |input: &str| {
        let mut server = Server::new(Config { limits: limits.clone(), ..Config::default() });
        server.feed(input.as_bytes());
        (server.events.join(" "), server.connection.state())
    };
    // The version cannot follow either of them, but the first is no longer than a line may be.
    assert_eq!("GET /012345678901234".len(), 20);
    assert_eq!(fed("GET /012345678901234"), (String::new(), ConnectionState::Open));
    let refused = |error: &str| (error.to_owned(), ConnectionState::EndOutput);
    assert_eq!(fed("GET /0123456789012345"), refused("failed: TargetTooLong"));
    assert_eq!(fed("\r\nGET /012345678901234"), (String::new(), ConnectionState::Open));
    assert_eq!(fed("\r\nGET /0123456789012345"), refused("failed: TargetTooLong"));
    // One byte too long at most, and ended wrongly: that is what is said, however it comes.
    let bare = http_test_server::serve_every_way(b"GET /?12345 HTTP/1.1X\n", &limits);
    assert_eq!(bare.events, ["failed: StartLine"]);
    let post = |length| format!("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(fed(&post(5)), ("POST /e ...".to_owned(), ConnectionState::Open));
    assert_eq!(fed(&post(6)), refused("failed: BodyTooLarge"));
}

/// Content that is dropped after its answer does not end the connection, if it is known to be little.
#[test]
fn unread_content_at_both_sides_of_what_is_dropped() {
    for (length, connection_line, state) in [
        (100, "", ConnectionState::Open),
        (101, "Connection: close\r\n", ConnectionState::EndOutput),
    ] {
        let limits = Limits { discard_bytes_max: 100, ..Limits::default() };
        let mut server = Server::new(Config { limits, ..Config::default() });
        let head = format!("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        server.feed(head.as_bytes());
        let output = String::from_utf8(server.output.clone()).unwrap();
        let end = format!("text/plain; charset=utf-8\r\n{connection_line}\r\nForbidden");
        assert!(output.ends_with(&end), "{output}");
        assert_eq!(server.connection.state(), state);
        for _ in 0..length {
            server.feed(b"x");
        }
        server.feed(GET);
        assert_eq!(server.connection.state(), state);
        let served = server.events.iter().any(|event| event == "GET /");
        assert_eq!(served, state == ConnectionState::Open, "{:?}", server.events);
    }
}

#[test]
fn content_is_told_by_the_request_and_the_status() {
    let four = |status| Response::plain(status).with_content("text/plain", "four");
    let length = |head: &[u8], response| asked(head).content_length(&response);
    assert_eq!(length(GET, four(Status::OK)), 4);
    assert_eq!(length(GET, four(Status::NOT_MODIFIED)), 0);
    assert_eq!(length(GET, stream(Some(5))), 0, "it is not there yet");
    assert_eq!(length(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", four(Status::OK)), 0);
    for status in [Status::OK, Status::NO_CONTENT] {
        let mut connection = asked(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.respond(NOW, stream(Some(5)).with_status(status)).unwrap();
        assert!(!connection.is_streaming(), "it takes nothing");
    }
}

#[test]
fn rfc9110_10_1_1_who_waits_is_told_of_and_waits_no_longer_once_he_sends() {
    let head =
        |expect: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: 3\r\n\r\n");
    for (expect, expects) in [("Expect: 100-continue\r\n", true), ("", false)] {
        let mut connection = Connection::new(Rc::default(), NOW);
        connection.handle_input(NOW, head(expect).as_bytes());
        let Some(Event::Request(request)) = connection.poll_event() else { panic!("a request") };
        assert_eq!(request.expects_continue(), expects);
        // Nothing was taken, so nothing has changed.
        assert_eq!(connection.handle_input(NOW, b"abc"), 0);
        connection.read_body(NOW);
        assert_eq!(connection.wants_transmit(), expects);
        written(&mut connection, 100);
    }
    // An answer to who still waits ends the connection; who does not may go on, even if it is his last request.
    for (more, state, next) in [
        ("Expect: 100-continue\r\n", ConnectionState::EndOutput, false),
        ("Connection: close\r\n", ConnectionState::Open, true),
        ("", ConnectionState::Open, true),
    ] {
        let mut connection = asked(head(more).as_bytes());
        connection.respond(NOW, Response::new(Status::OK)).unwrap();
        written(&mut connection, 1000);
        assert_eq!(connection.state(), state, "{more}");
        connection.read_body(NOW);
        assert_eq!(connection.handle_input(NOW, b"abc"), 3);
        assert_eq!(matches!(connection.poll_event(), Some(Event::Data(_))), next, "{more}");
    }
}

/// Of content whose length nobody knows, no more is dropped than of other: the client is told of the end.
#[test]
fn chunks_that_nobody_wants_are_dropped_up_to_a_bound() {
    let answered = |chunk: &[u8]| {
        let limits = Limits { discard_bytes_max: 10, ..Limits::default() };
        let shared = http::server::Shared::new(Config { limits, ..Config::default() });
        let mut connection = Connection::new(Rc::new(shared), NOW);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.handle_input(NOW, head);
        assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
        connection.drop_body(NOW);
        let input = [chunk, b"\r\n0\r\n\r\n"].concat();
        let mut at = 0;
        while at < input.len() {
            let count = connection.handle_input(NOW, &input[at..]);
            assert!(count > 0);
            at += count;
        }
        connection.respond(NOW, Response::new(Status::OK)).unwrap();
        let output = String::from_utf8(written(&mut connection, 1000)).unwrap();
        (output.contains("Connection: close"), connection.state())
    };
    assert_eq!(answered(b"a\r\n0123456789"), (false, ConnectionState::Open));
    assert_eq!(answered(b"b\r\n0123456789a"), (true, ConnectionState::EndOutput));
}

#[test]
fn only_what_is_taken_is_progress() {
    let limits = Limits { bytes_per_second_min: 0, ..Limits::default() };
    let shared = http::server::Shared::new(Config { limits, ..Config::default() });
    let mut connection = Connection::new(Rc::new(shared), NOW);
    connection.handle_input(NOW, GET);
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    connection.respond(NOW, Response::ok("text/plain", vec![0; 20_000])).unwrap();
    written(&mut connection, 1000);
    connection.long_output_taken(seconds(20), 0);
    assert_eq!(connection.next_deadline(), Some(seconds(60)));
    connection.long_output_taken(seconds(20), 1);
    assert_eq!(connection.next_deadline(), Some(seconds(80)), "there is no least rate");
}

#[test]
fn rfc9110_10_2_4_an_interim_response_has_no_server() {
    for own in [false, true] {
        let server = Some("name".to_owned());
        let shared = http::server::Shared::new(Config { server, ..Config::default() });
        let mut connection = Connection::new(Rc::new(shared), NOW);
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        connection.handle_input(NOW, head);
        let response = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "echo");
        let response = if own { response.with_header("Server", "own") } else { response };
        connection.respond(NOW, response).unwrap();
        let text = String::from_utf8(written(&mut connection, 1000)).unwrap();
        let lines = if own { "Upgrade: echo\r\nServer: own\r\n" } else { "Upgrade: echo\r\n" };
        assert!(
            text.starts_with(&format!("HTTP/1.1 101 Switching Protocols\r\n{lines}Conn")),
            "{text}"
        );
    }
}

/// However long each part of a response's head is, and whether there is room for it at once.
#[test]
fn each_part_of_a_head_may_be_long() {
    let long: &'static str = "v".repeat(400).leak();
    for parts in 0..8 {
        let [named, typed, field] = [1, 2, 4].map(|part| parts & part > 0);
        for room in [1, 100, 10_000] {
            let server = named.then(|| long.to_owned());
            let shared = http::server::Shared::new(Config { server, ..Config::default() });
            let mut connection = Connection::new(Rc::new(shared), NOW);
            connection.handle_input(NOW, GET);
            let response = Response::ok(if typed { long } else { "a/b" }, "x");
            let response = if field { response.with_header("X", long) } else { response };
            connection.respond(NOW, response).unwrap();
            let mut sent = Vec::new();
            while connection.wants_transmit() {
                sent.extend(written(&mut connection, room));
            }
            let line = |name: &str, is_there| {
                if is_there { format!("{name}: {long}\r\n") } else { String::new() }
            };
            let media = if typed { long } else { "a/b" };
            let expected = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: {media}\r\n{}{}\r\nx",
                line("Server", named),
                line("X", field),
            );
            assert_eq!(String::from_utf8(sent).unwrap(), expected, "{room}");
        }
    }
}

/// What was kept is asked for again once it has been taken back.
#[test]
fn an_answer_that_was_taken_back_is_not_given_again() {
    let mut server = Server::new(Config::default());
    let head = b"GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for _ in 0..3 {
        server.feed(head);
    }
    web::repeating::take_back();
    server.feed(head);
    assert_eq!(server.events, ["GET /kept", "GET /kept", "again GET /kept 200 4", "GET /kept"]);
}

/// A file's fields were written when its site was made.
#[test]
fn a_file_is_sent_with_its_fields() {
    use web::files::{Options, Site, Variant};
    let file = ("a.txt".to_owned(), Variant::new("content"), Some(784_111_777));
    let site = Site::new([file], Options::default());
    for room in [1, 1000] {
        let mut connection = Connection::new(Rc::default(), NOW);
        connection.handle_input(NOW, b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        let Some(Event::Request(request)) = connection.poll_event() else { panic!("a request") };
        let web::Answer::Now(reply) = site.answer(&request, "", 0) else { panic!("an answer") };
        connection.respond(NOW, reply.response).unwrap();
        let mut sent = Vec::new();
        while connection.wants_transmit() {
            sent.extend(written(&mut connection, room));
        }
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains("\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{sent}");
        assert!(sent.contains("\r\nETag: \"") && sent.ends_with("\r\n\r\ncontent"), "{sent}");
    }
}
