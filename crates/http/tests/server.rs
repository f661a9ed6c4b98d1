//! What a server makes of requests: bytes in, events and bytes out, whole and split at every byte.

use http::ConnectionState;
use http::Limits;
use http_test_server::{Outcome, serve_every_way};

const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nhello, world\n";

fn serve(input: &str) -> Outcome {
    serve_every_way(input.as_bytes(), &Limits::default())
}

/// The request is served and the connection stays open.
fn assert_open(input: &str, events: &[&str], output: &str) {
    let outcome = serve(input);
    assert_eq!(outcome.events, events, "{input}");
    assert_eq!(outcome.output, output, "{input}");
    assert_eq!(outcome.state, ConnectionState::Open, "{input}");
}

/// The request is served and the connection ends in this way.
fn assert_ends(input: &str, events: &[&str], output: &str, state: ConnectionState) {
    let outcome = serve(input);
    assert_eq!(outcome.events, events, "{input}");
    assert_eq!(outcome.output, output, "{input}");
    assert_eq!(outcome.state, state, "{input}");
}

#[test]
fn a_plain_request_and_the_connection_persists() {
    assert_open("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /"], HELLO);
}

#[test]
fn rfc9112_2_2_one_empty_line_before_a_request_is_ignored() {
    assert_open(
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /", "GET /"],
        &(HELLO.to_owned() + HELLO),
    );
    let outcome = serve("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(outcome.events, ["failed: StartLine"]);
}

#[test]
fn rfc9112_9_3_2_pipelined_requests_are_answered_in_order() {
    let input = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /parts HTTP/1.1\r\nHost: a\r\n\r\n";
    let output = HELLO.to_owned()
        + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: application/octet-stream\r\n\r\nabc\
           HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    assert_open(input, &["GET /", "POST /echo ...", "body abc", "GET /parts"], &output);
}

#[test]
fn rfc9112_9_3_persistence() {
    let closed = HELLO.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let kept = HELLO.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE ,y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    ] {
        assert_ends(head, &["GET /"], &closed, ConnectionState::Closed);
    }
    assert_open("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &["GET /"], &kept);
    assert_open("GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n", &["GET /"], &kept);
    assert_open("GET / HTTP/1.7\r\nHost: a\r\n\r\n", &["GET /"], HELLO);
    // The server's own wish: what the client may have sent meanwhile is still read.
    assert_ends(
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /close"],
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbye",
        ConnectionState::EndOutput,
    );
}

#[test]
fn rfc9112_6_3_responses_without_content() {
    let head = HELLO.split_inclusive("\r\n\r\n").next().unwrap();
    assert_open("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &["HEAD /"], head);
    assert_open(
        "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /empty"],
        "HTTP/1.1 204 No Content\r\n\r\n",
    );
    assert_open(
        "GET /same HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /same"],
        "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
    );
    assert_open(
        "GET /reset HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /reset"],
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    );
    assert_open(
        "GET /odd HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /odd"],
        "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
    );
    assert_open(
        "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n",
        &["HEAD /stream"],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
}

#[test]
fn rfc9112_7_1_streamed_responses() {
    assert_open(
        "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /stream"],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000003\r\none\r\n00000003\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n",
    );
    assert_open(
        "GET /stream-6 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /stream-6"],
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nonetwo",
    );
    // RFC 9112 section 6.1: no coding for HTTP/1.0; the end of the connection is the end.
    for head in
        ["GET /stream HTTP/1.0\r\n\r\n", "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]
    {
        let outcome = serve(head);
        assert_eq!(outcome.output, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo");
        assert!(matches!(outcome.state, ConnectionState::Closed | ConnectionState::EndOutput));
    }
}

#[test]
fn rfc9112_7_1_chunked_requests() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let echo = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: application/octet-stream\r\n\r\nab\r\ncHTTP/1.1 200 OK";
    for chunks in [
        "5\r\nab\r\nc\r\n0\r\n\r\n",
        "00000005\r\nab\r\nc\r\n000\r\n\r\n",
        "2;a;b=c;d=\"e;\\\"\"\r\nab\r\n3 \t;x\r\n\r\nc\r\n0;last\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n1\r\n\r\r\n1\r\n\n\r\n1\r\nc\r\n0\r\n\r\n",
    ] {
        let input = head.to_owned() + chunks + "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let events = ["POST /echo ...", "body ab\\r\\nc", "GET /"];
        assert_open(
            &input,
            &events,
            &(echo.to_owned() + HELLO.strip_prefix("HTTP/1.1 200 OK").unwrap()),
        );
    }
}

#[test]
fn rfc9112_7_1_2_trailers_stay_apart() {
    let input = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-B:\t2 \r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let outcome = serve(input);
    assert_eq!(outcome.events, ["POST /echo ...", "body a [X-Sum=1] [X-B=2]", "GET /"]);
}

#[test]
fn rfc9110_10_1_1_continue_is_sent_when_the_content_is_wanted() {
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";
    assert_open(head, &["POST /echo ..."], "HTTP/1.1 100 Continue\r\n\r\n");
    // Refused without it: whether the content comes is unknown, so the connection ends.
    let refused = head.replace("/echo", "/refuse");
    assert_ends(
        &refused,
        &["POST /refuse ..."],
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nForbidden",
        ConnectionState::EndOutput,
    );
    // Nothing to wait for, or a version that knows no 100.
    assert_open("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", &["GET /"], HELLO);
    let old = serve("POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(old.output, "");
}

#[test]
fn content_that_nobody_wants_is_dropped_for_the_sake_of_the_connection() {
    let input = "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nForbidden";
    assert_open(input, &["POST /refuse ...", "GET /"], &(refused.to_owned() + HELLO));
    let limits = Limits { discard_bytes_max: 9, ..Limits::default() };
    let outcome = serve_every_way(input.as_bytes(), &limits);
    assert_eq!(outcome.output, refused.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    assert_eq!(outcome.state, ConnectionState::EndOutput);
}

#[test]
fn a_response_may_come_before_the_content() {
    let input = "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let early = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nearly";
    assert_open(input, &["POST /early ...", "body ab", "GET /"], &(early.to_owned() + HELLO));
}

#[test]
fn rfc9110_7_8_upgrade_hands_over_what_follows() {
    let input =
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nleft over";
    let outcome = serve(input);
    assert_eq!(
        outcome.output,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"
    );
    assert_eq!(outcome.state, ConnectionState::Upgraded);
    assert_eq!(outcome.unread, "left over");
    // Without the connection option there is nothing to upgrade to.
    assert!(
        serve("GET /upgrade HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n")
            .output
            .starts_with("HTTP/1.1 404 ")
    );
}

#[test]
fn rfc9110_15_5_22_a_426_says_what_to_upgrade_to() {
    let answer = |connection| {
        format!(
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 16\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Upgrade: echo\r\nConnection: {connection}\r\n\r\nUpgrade Required"
        )
    };
    assert_open(
        "GET /upgrade-first HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /upgrade-first"],
        &answer("upgrade"),
    );
    let last = serve("GET /upgrade-first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(last.output, answer("close, upgrade"));
}

#[test]
fn rfc9110_9_3_6_connect_hands_over_what_follows() {
    let outcome = serve("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n\x16\x03");
    assert_eq!(outcome.output, "HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!((outcome.state, &*outcome.unread), (ConnectionState::Upgraded, "\x16\x03"));
}

#[test]
fn rfc9112_3_2_target_forms() {
    for (target, authority) in [
        ("GET /authority", "host.example"),
        ("GET /authority?x=/y", "host.example"),
        ("GET http://other.example:81/authority", "other.example:81"),
        ("GET HTTPS://other.example/authority?q", "other.example"),
    ] {
        let outcome = serve(&format!("{target} HTTP/1.1\r\nHost: host.example\r\n\r\n"));
        assert!(outcome.output.ends_with(&format!("\r\n\r\n{authority}")), "{}", outcome.output);
    }
    // RFC 9112 section 3.2.2: the target's authority replaces Host, in the field too.
    let outcome = serve("GET http://b/headers HTTP/1.1\r\nA: 1\r\nHost: a\r\n\r\n");
    assert!(outcome.output.ends_with("\r\n\r\nA=1\nHost=b\n"), "{}", outcome.output);
    assert_open("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", &["GET http://b"], HELLO);
    assert!(serve("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").output.starts_with("HTTP/1.1 404 "));
}

#[test]
fn rfc9112_5_1_whitespace_around_values_is_no_part_of_them() {
    let outcome = serve(
        "GET /headers HTTP/1.1\r\nHost:a\r\nX-A: \t b\tc  \t\r\nX-B:\r\nX-C: \r\nX-D: \u{e9}\r\n\r\n",
    );
    assert!(
        outcome.output.ends_with("\r\n\r\nHost=a\nX-A=b\\tc\nX-B=\nX-C=\nX-D=\\xc3\\xa9\n"),
        "{}",
        outcome.output
    );
}

/// However long an answer's own fields are, and whether there is room for its head at once.
#[test]
fn a_long_head_is_sent_whole() {
    use http::server::{Config, Connection, Event, Shared};
    use std::{rc::Rc, time::Duration};
    for length in [0, 1, 200, 256, 300, 5_000] {
        for room in [100, 10_000] {
            let shared = Rc::new(Shared::new(Config::default()));
            let mut connection = Connection::new(shared, Duration::ZERO);
            connection.handle_input(Duration::ZERO, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
            let value = "v".repeat(length);
            let response = web::Response::ok("text/plain", "body").with_header("X", &value);
            connection.respond(Duration::ZERO, response).unwrap();
            let mut sent = Vec::new();
            let mut out = vec![0; room];
            while let count @ 1.. = connection.poll_transmit(Duration::ZERO, &mut out) {
                sent.extend_from_slice(&out[..count]);
            }
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.contains(&format!("\r\nX: {value}\r\n")), "{length} {room}: {sent}");
            assert!(sent.ends_with("\r\n\r\nbody"), "{length} {room}: {sent}");
        }
    }
}
