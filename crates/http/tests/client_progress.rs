//! What a client waits for, how long, and how its requests go out.

use http::client::{Connection, Event, Request};
use http::{ConnectionState, Limits};
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Method};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(count: u64) -> Option<Duration> {
    Some(seconds(count))
}

fn get(target: &str) -> Request {
    Request::new(Method::Get, "a", target).unwrap()
}

/// What is written at this second into so much room.
fn written(connection: &mut Connection, second: u64, room: usize) -> String {
    let mut out = vec![0; room];
    let count = connection.poll_transmit(seconds(second), &mut out);
    String::from_utf8(out[..count].to_vec()).unwrap()
}

/// A connection whose request has been sent at 0.
fn asked(limits: Limits) -> Connection {
    let mut connection = Connection::new(Rc::new(limits));
    connection.request(seconds(0), get("/")).unwrap();
    assert_eq!(written(&mut connection, 0, 1000), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    connection
}

fn assert_response(connection: &mut Connection) {
    assert!(matches!(connection.poll_event(), Some(Event::Response(_))));
}

#[test]
fn each_step_of_a_response_has_its_time() {
    let mut connection = asked(Limits::default());
    assert_eq!(connection.next_deadline(), at(30));
    let early = b"HTTP/1.1 103 Early\r\n\r\n";
    assert_eq!(connection.handle_input(seconds(20), early), early.len());
    assert_eq!(connection.next_deadline(), at(50), "an interim response is a word");
    // A head has its time as a whole.
    for (second, piece) in [(40, "HTTP/1.1"), (45, " 200 OK\r\n"), (49, "Content-Length: 5\r\n")] {
        assert_eq!(connection.handle_input(seconds(second), piece.as_bytes()), piece.len());
        assert_eq!(connection.next_deadline(), at(50), "{piece}");
    }
    assert_eq!(connection.handle_input(seconds(49), b"\r\n12"), 2);
    assert_response(&mut connection);
    // Its content waits for the application, and then comes piece by piece.
    assert_eq!(connection.handle_input(seconds(49), b"12"), 0);
    assert_eq!(connection.next_deadline(), None);
    connection.read_body(seconds(60));
    assert_eq!(connection.next_deadline(), at(90));
    assert_eq!(connection.handle_input(seconds(70), b"12"), 2);
    assert!(matches!(connection.poll_event(), Some(Event::Data(range)) if range == (0..2)));
    assert_eq!(connection.next_deadline(), at(100));
    assert_eq!(connection.handle_input(seconds(80), b""), 0);
    connection.read_body(seconds(80));
    assert_eq!(connection.next_deadline(), at(100), "nothing came");
    connection.pause_body();
    assert_eq!(connection.handle_input(seconds(90), b"345"), 0);
    assert_eq!(connection.next_deadline(), None);
    connection.read_body(seconds(95));
    assert_eq!(connection.handle_input(seconds(99), b"345"), 3);
    assert!(matches!(connection.poll_event(), Some(Event::Data(range)) if range == (0..3)));
    assert!(matches!(connection.poll_event(), Some(Event::End(None))));
    assert_eq!(connection.next_deadline(), at(99 + 75), "it is idle");
    assert!(connection.is_reusable());
}

#[test]
fn content_that_is_dropped_has_its_time_too() {
    let mut connection = asked(Limits { discard_bytes_max: 9, ..Limits::default() });
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(connection.handle_input(seconds(1), head), head.len());
    assert_response(&mut connection);
    connection.drop_body(seconds(2));
    assert_eq!(connection.next_deadline(), at(32));
    assert_eq!(connection.handle_input(seconds(10), b"1234"), 4);
    assert_eq!(connection.next_deadline(), at(40));
    assert_eq!(connection.handle_input(seconds(11), b"56789"), 5);
    assert!(connection.poll_event().is_none() && connection.is_reusable());
}

#[test]
fn output_that_is_taken_renews_its_time() {
    let mut connection = Connection::new(Rc::default());
    let put = Request::new(Method::Put, "a", "/").unwrap();
    let put = put.with_content("text/plain", vec![b'x'; 10_000]);
    connection.request(seconds(0), put).unwrap();
    assert_eq!(connection.next_deadline(), at(60));
    assert_eq!(written(&mut connection, 50, 0), "");
    assert_eq!(connection.next_deadline(), at(60), "nothing was taken");
    assert_eq!(written(&mut connection, 50, 1000).len(), 1000);
    assert_eq!(connection.next_deadline(), at(110));
    connection.peer_took(seconds(55), 1);
    assert_eq!(connection.next_deadline(), at(115));
    written(&mut connection, 100, 1 << 16);
    assert!(!connection.wants_transmit());
    assert_eq!(connection.next_deadline(), at(130), "the response's");
    connection.peer_took(seconds(101), 1);
    assert_eq!(written(&mut connection, 120, 1000), "");
    assert_eq!(connection.next_deadline(), at(130), "there was nothing to take");
}

/// What waits for room is not begun: the time of the response to what was written runs.
#[test]
fn pipelined_requests_go_in_turn_and_within_the_room() {
    let text = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut connection = Connection::new(Rc::default());
    for target in ["/1", "/2", "/3"] {
        connection.pipeline(seconds(0), get(target)).unwrap();
    }
    let room = text("/1").len();
    assert_eq!(written(&mut connection, 10, room), text("/1"));
    assert!(connection.wants_transmit());
    assert_eq!(connection.next_deadline(), at(40));
    assert_eq!(written(&mut connection, 11, room + 3), text("/2") + "GET");
    assert!(connection.wants_transmit());
    assert_eq!(written(&mut connection, 12, room), text("/3")[3..]);
    assert!(!connection.wants_transmit());
    for last in [false, false, true] {
        assert!(!connection.is_reusable());
        let response = b"HTTP/1.1 204 X\r\n\r\n";
        assert_eq!(connection.handle_input(seconds(13), response), response.len());
        assert_response(&mut connection);
        assert_eq!(connection.is_reusable(), last);
        assert_eq!(connection.next_deadline(), at(if last { 13 + 75 } else { 13 + 30 }));
    }
}

/// However long each part of a request's head is, and whether there is room for it at once.
#[test]
fn a_long_head_is_sent_whole() {
    let long: &'static str = "v".repeat(400).leak();
    let put = |authority: &str, target: &str| Request::new(Method::Put, authority, target).unwrap();
    let head = |target: &str, host: &str, lines: &str| {
        format!("PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{lines}\r\n")
    };
    let typed = |request: Request| request.with_content(long, "");
    let upgraded = format!("Connection: upgrade\r\nUpgrade: {long}\r\n");
    let (target, field, media) =
        (format!("/{long}"), format!("X: {long}\r\n"), format!("Content-Type: {long}\r\n"));
    for (request, expected) in [
        (put("a", &target), head(&target, "a", "")),
        (put(long, "/"), head("/", long, "")),
        (typed(put("a", "/")), head("/", "a", &media)),
        (put("a", "/").with_header("X", long), head("/", "a", &field)),
        (put("a", "/").upgrading(long), head("/", "a", &upgraded)),
        (
            typed(put(long, &target)).with_header("X", long).upgrading(long),
            head(&target, long, &(media.clone() + &field + &upgraded)),
        ),
    ] {
        for room in [1, 100, 10_000] {
            let mut connection = Connection::new(Rc::default());
            connection.request(seconds(0), request.clone()).unwrap();
            let mut sent = String::new();
            while connection.wants_transmit() {
                sent += &written(&mut connection, 0, room);
            }
            assert_eq!(sent, expected, "{room}");
        }
    }
}

#[test]
fn what_comes_after_the_end_is_taken_and_means_nothing() {
    let mut connection = asked(Limits::default());
    let response = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(connection.handle_input(seconds(1), response), response.len());
    assert_response(&mut connection);
    assert_eq!(connection.state(), ConnectionState::Closed);
    assert_eq!(connection.handle_input(seconds(1), response), response.len());
    assert!(connection.poll_event().is_none());
    assert!(connection.request(seconds(2), get("/")).is_err());
    assert!(connection.send_data(seconds(2), "x".into()).is_err());
    assert_eq!((connection.next_deadline(), connection.wants_transmit()), (None, false));
}

#[test]
fn a_stream_takes_nothing_before_its_head_is_written_and_none_without_consent() {
    let put = || Request::new(Method::Put, "a", "/").unwrap().carrying(Content::Stream(None));
    let mut connection = Connection::new(Rc::default());
    connection.request(seconds(0), put().expecting_continue()).unwrap();
    for wait in [true, false] {
        assert!(connection.is_streaming());
        assert_eq!(connection.body_capacity(), 0);
        assert!(connection.send_data(seconds(0), "x".into()).is_err());
        assert!(connection.finish(seconds(0), &[]).is_err());
        if wait {
            assert!(written(&mut connection, 0, 1000).ends_with("Expect: 100-continue\r\n\r\n"));
        }
    }
    connection.handle_input(seconds(0), b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(connection.body_capacity() > 0 && connection.is_streaming());
    connection.send_data(seconds(1), "x".into()).unwrap();
    connection.finish(seconds(1), &[]).unwrap();
    assert!(!connection.is_streaming());
    assert_eq!(written(&mut connection, 1, 1000), "00000001\r\nx\r\n0\r\n\r\n");
}

#[test]
fn interim_responses_are_taken_with_what_follows_them_and_dropped_content_without() {
    let mut connection = asked(Limits { discard_bytes_max: 2, ..Limits::default() });
    let heads =
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(connection.handle_input(seconds(1), heads), heads.len());
    assert_eq!(connection.handle_input(seconds(1), b"ab"), 0, "an event waits");
    assert_response(&mut connection);
    connection.drop_body(seconds(1));
    assert_eq!(connection.handle_input(seconds(1), b"abcd"), 2);
    assert!(connection.is_reusable());
    assert_eq!(connection.handle_input(seconds(1), b"cd"), 2);
    assert_eq!(connection.state(), ConnectionState::Closed, "nobody asked for that");
}

#[test]
fn content_of_the_greatest_length_is_taken() {
    for (length, is_taken) in [(5, true), (6, false)] {
        let mut connection = asked(Limits { body_bytes_max: 5, ..Limits::default() });
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(connection.handle_input(seconds(1), head.as_bytes()), head.len());
        let event = connection.poll_event();
        assert_eq!(matches!(event, Some(Event::Response(_))), is_taken, "{event:?}");
    }
}
