//! Heads that come again, and answers that are given again.

use http::server::{Config, Connection, Event, Shared};
use http::{ConnectionState, Limits};
use http_test_server::Server;
use std::rc::Rc;
use std::time::Duration;
use web::Response;
use web::date::HttpDate;

/// Servers of one configuration, fed one after the other.
fn again(limits: Limits, heads: &[&str]) -> (u16, String) {
    let shared = Rc::new(Shared::new(Config { limits, ..Config::default() }));
    let mut last = (0, String::new());
    for head in heads {
        let mut server = Server::sharing(shared.clone());
        server.feed(head.as_bytes());
        let outcome = server.outcome();
        let status = outcome.output["HTTP/1.1 ".len()..][..3].parse().expect("a status");
        last = (status, outcome.output.rsplit("\r\n\r\n").next().unwrap().to_owned());
    }
    last
}

#[test]
fn a_head_that_comes_again_means_the_same_and_another_does_not() {
    let head = "GET /headers HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let other = |from: &str, to: &str| again(Limits::default(), &[head, &head.replace(from, to)]);
    let fields = |text: &str| (200, text.to_owned());
    assert_eq!(other("", ""), fields("Host=a\nX=y\n"));
    // One byte more, less, or other.
    assert_eq!(other("y", "z"), fields("Host=a\nX=z\n"));
    assert_eq!(other("y", "yy"), fields("Host=a\nX=yy\n"));
    assert_eq!(other("y", ""), fields("Host=a\nX=\n"));
    assert_eq!(other("y\r\n", "y\r\nZ: 1\r\n"), fields("Host=a\nX=y\nZ=1\n"));
    assert_eq!(other("X: y\r\n", ""), fields("Host=a\n"));
    // Refused once, refused always.
    assert_eq!(again(Limits { headers_max: 1, ..Limits::default() }, &[head, head]).0, 431);
    assert_eq!(again(Limits { header_bytes_max: 39, ..Limits::default() }, &[head, head]).0, 431);
}

#[test]
fn heads_that_share_a_place_are_told_apart() {
    // The same length, beginning and end; what differs is between.
    let shared = Rc::new(Shared::default());
    let (long, end) = ("x".repeat(40), "e".repeat(40));
    for (round, value) in ["one", "two", "two", "one"].into_iter().enumerate() {
        let mut server = Server::sharing(shared.clone());
        let text =
            format!("GET /headers?{long} HTTP/1.1\r\nHost: a\r\nX: {value}\r\nY: {end}\r\n\r\n");
        server.feed(text.as_bytes());
        let outcome = server.outcome();
        assert!(outcome.output.contains(&format!("\nX={value}\n")), "{round}: {outcome:?}");
    }
}

#[test]
fn a_repeatable_answer_is_given_again_without_a_question() {
    let asked = |events: &[String]| events.iter().filter(|event| *event == "GET /kept").count();
    let head = "GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for room in [usize::MAX, 1, 30] {
        let shared = Rc::new(Shared::default());
        let mut first = Server::sharing(shared.clone());
        first.feed(head.as_bytes());
        first.feed(head.as_bytes());
        let first = first.outcome();
        let mut second = Server::sharing(shared.clone());
        second.room = room;
        for _ in 0..3 {
            second.feed(head.as_bytes());
        }
        // Nothing is kept for others than plain GET, nor does what is kept answer them.
        for other in [
            head.replace("GET", "HEAD"),
            head.replace("a.example\r\n", "a.example\r\nConnection: close\r\n"),
        ] {
            second.feed(other.as_bytes());
        }
        let second = second.outcome();
        let answers: Vec<&str> = second.output.split("HTTP/1.1 ").skip(1).collect();
        assert!(first.output.starts_with(&format!("HTTP/1.1 {}", answers[0])), "{first:?}");
        assert!(answers[..3].iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert!(answers[3].ends_with("\r\n\r\n") && answers[4].contains("Connection: close"));
        assert_eq!(second.state, ConnectionState::Closed);
        assert_eq!((asked(&first.events), asked(&second.events)), (2, 1), "{:?}", second.events);
        assert_eq!(
            second.events.iter().filter(|event| *event == "again GET /kept 200 4").count(),
            3
        );
    }
}

#[test]
fn a_long_repeatable_answer_is_given_again_if_it_need_not_be_copied() {
    for (path, events) in
        [("/kept-long", ["GET", "GET", "again GET"]), ("/kept-copied", ["GET"; 3])]
    {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut server = Server::new(Config::default());
        server.room = 700;
        for _ in 0..3 {
            server.feed(head.as_bytes());
        }
        let outcome = server.outcome();
        assert_eq!(outcome.output.matches(&"long".repeat(1000)).count(), 3);
        let seen = outcome.events.iter().zip(events);
        assert!(seen.clone().all(|(event, start)| event.starts_with(start)), "{outcome:?}");
    }
}

#[test]
fn a_kept_answer_has_the_date_of_its_time() {
    let config = Config { wall_clock_start: Some(Duration::ZERO), ..Config::default() };
    let mut connection = Connection::new(Rc::new(Shared::new(config)), Duration::ZERO);
    let mut out = [0; 512];
    for seconds in [784_111_776, 784_111_777, 784_111_778] {
        let date = HttpDate::from_unix_seconds(seconds);
        let head = b"GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let now = Duration::from_secs(seconds);
        connection.handle_input(now, head);
        if let Some(Event::Request(_)) = connection.poll_event() {
            assert_ne!(seconds, 784_111_778, "asked twice before");
            let response = Response::ok("text/plain", "kept").repeatable();
            connection.respond(now, response).unwrap();
        }
        let len = connection.poll_transmit(now, &mut out);
        let text = std::str::from_utf8(&out[..len]).unwrap();
        let line = format!("\r\nDate: {}\r\n", std::str::from_utf8(date.as_bytes()).unwrap());
        assert!(text.contains(&line) && text.ends_with("\r\n\r\nkept"), "{text}");
    }
}

#[test]
fn a_server_that_goes_down_says_so_in_what_it_repeats() {
    let head = b"GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut server = Server::new(Config::default());
    for _ in 0..3 {
        server.feed(head);
    }
    let mut last = Server::sharing(server.shared.clone());
    last.connection.handle_input(Duration::ZERO, &head[..5]);
    last.connection.drain(Duration::ZERO);
    last.feed(&head[5..]);
    let outcome = last.outcome();
    assert!(outcome.output.contains("Connection: close"), "{outcome:?}");
    assert_eq!(outcome.state, ConnectionState::EndOutput);
}

/// Answers of handlers, of the core itself and repeated ones have it; who says it himself stays.
#[test]
fn rfc9110_10_2_4_a_server_says_its_name_if_it_is_told_to() {
    let said = |name: Option<&str>, head: &str, own: bool| {
        let config = Config { server: name.map(str::to_owned), ..Config::default() };
        let shared = Rc::new(Shared::new(config));
        let mut last = String::new();
        for _ in 0..3 {
            let mut connection = Connection::new(shared.clone(), Duration::ZERO);
            connection.handle_input(Duration::ZERO, head.as_bytes());
            if let Some(Event::Request(_)) = connection.poll_event() {
                let response = Response::ok("text/plain", "kept").repeatable();
                let response = if own { response.with_header("Server", "b") } else { response };
                connection.respond(Duration::ZERO, response).unwrap();
            }
            let mut out = [0; 512];
            let len = connection.poll_transmit(Duration::ZERO, &mut out);
            last = String::from_utf8(out[..len].to_vec()).unwrap();
        }
        let lines = last.lines().filter_map(|line| line.strip_prefix("Server: "));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (good, bad) = ("GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n");
    assert_eq!(said(None, good, false), [""; 0]);
    assert_eq!(said(Some("a/1"), good, false), ["a/1"]);
    assert_eq!(said(Some("a/1"), good, true), ["b"]);
    assert_eq!(said(None, good, true), ["b"]);
    assert_eq!(said(Some("a/1"), bad, false), ["a/1"]);
}

/// How often the answer to this head, which may be kept, was given without a question, of four times.
fn repeated(limits: &Limits, input: &str) -> usize {
    let config = Config { limits: limits.clone(), ..Config::default() };
    let shared = Rc::new(Shared::new(config));
    let mut count = 0;
    for _ in 0..4 {
        let mut server = Server::sharing(shared.clone());
        server.feed(input.as_bytes());
        assert!(server.output.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", server.events);
        count += server.events.iter().filter(|event| event.starts_with("again ")).count();
    }
    count
}

/// An answer is given again to what depends on nothing but its head.
#[test]
fn only_a_plain_get_is_answered_without_a_question() {
    let plain = "GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(repeated(&Limits::default(), plain), 2);
    for other in [
        plain.replace("GET", "HEAD"),
        plain.replace("GET", "POST"),
        plain.replace("1.1", "1.0"),
        plain.replace("1.1", "1.0").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
        plain.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        plain.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
        plain.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        assert_eq!(repeated(&Limits::default(), &other), 0, "{other}");
    }
}

/// What is far larger than most heads is not kept.
#[test]
fn large_heads_are_not_kept() {
    let limits = Limits { headers_max: 1000, ..Limits::default() };
    let long = |len: usize| {
        let text =
            |value: &str| format!("GET /kept HTTP/1.1\r\nHost: a.example\r\nX: {value}\r\n\r\n");
        text(&"x".repeat(len - text("").len()))
    };
    let many = |count: usize| {
        format!("GET /kept HTTP/1.1\r\nHost: a.example\r\n{}\r\n", "X:\r\n".repeat(count - 1))
    };
    assert_eq!(long(4096).len(), 4096);
    assert_eq!((repeated(&limits, &long(4096)), repeated(&limits, &long(4097))), (2, 0));
    assert_eq!((repeated(&limits, &many(128)), repeated(&limits, &many(129))), (2, 0));
}

/// Few of those that are asked for in turn share a place.
#[test]
fn heads_that_come_in_turn_are_all_known() {
    for (name, head) in [
        (
            "beginnings",
            "GET /kept?N HTTP/1.1\r\nHost: a.example\r\nAccept: text/html, text/plain\r\n\r\n",
        ),
        ("ends", "GET /kept HTTP/1.1\r\nHost: a.example\r\nAccept: text/html\r\nCookie: N\r\n\r\n"),
    ] {
        let shared = Rc::new(Shared::default());
        let mut known = 0;
        for round in 0..4 {
            for number in 10..26 {
                let mut server = Server::sharing(shared.clone());
                server.feed(head.replace('N', &number.to_string()).as_bytes());
                let again = server.events.iter().any(|event| event.starts_with("again "));
                assert!(!again || round >= 2, "{name}: {number}");
                known += usize::from(again && round == 3);
            }
        }
        assert!(known >= 12, "{name}: {known} of 16");
    }
}

#[test]
fn an_answer_that_ends_the_connection_is_not_kept() {
    let shared = Rc::new(Shared::default());
    for _ in 0..4 {
        let mut connection = Connection::new(shared.clone(), Duration::ZERO);
        connection.handle_input(Duration::ZERO, b"GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
        let response = Response::ok("text/plain", "last").repeatable().closing();
        connection.respond(Duration::ZERO, response).unwrap();
        let mut out = [0; 512];
        let len = connection.poll_transmit(Duration::ZERO, &mut out);
        assert!(out[..len].ends_with(b"\r\nConnection: close\r\n\r\nlast"));
        assert_eq!(connection.state(), ConnectionState::EndOutput);
    }
}

#[test]
fn of_a_kept_answer_the_part_that_is_not_taken_is_known() {
    let mut server = Server::new(Config::default());
    let head = b"GET /kept HTTP/1.1\r\nHost: a.example\r\n\r\n";
    server.feed(head);
    let answer = server.output.len();
    server.feed(head);
    server.room = 0;
    server.feed(head);
    assert_eq!(server.events.last().unwrap(), "again GET /kept 200 4");
    for (room, untaken) in [(10, 4), (answer - 12, 2), (1, 1), (1, 0)] {
        let count = server.connection.poll_transmit(Duration::ZERO, &mut vec![0; room]);
        assert_eq!((count, server.connection.untaken_content()), (room, untaken));
    }
}
