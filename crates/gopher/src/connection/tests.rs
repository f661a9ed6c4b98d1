//! A client and its request, in pieces of any size.

use super::*;
use std::vec;

const NOW: Duration = Duration::ZERO;
const LOCAL: &str = "10.9.0.2:70";

fn config() -> Config {
    Config { port: 7070, ..Config::default() }
}

fn connection(config: Config) -> Connection {
    let local = Address::Ip(LOCAL.parse().unwrap());
    Connection::new(Rc::new(Shared::new(config)), local, NOW)
}

/// A request's target, or why it is refused; nothing if it is not whole.
fn asked(connection: &mut Connection, pieces: &[&[u8]]) -> Option<Result<String, Error>> {
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = connection.handle_input(NOW, rest);
            rest = &rest[taken..];
            match connection.poll_event() {
                Some(Event::Request(head)) => {
                    let target = String::from_utf8(head.target().to_vec()).unwrap();
                    return Some(Ok(target));
                }
                Some(Event::Failed(error, _)) => return Some(Err(error)),
                Some(other) => panic!("{other:?}"),
                None => assert!(taken > 0, "stuck"),
            }
        }
    }
    None
}

/// All that is sent, with so much room at a time.
fn sent(connection: &mut Connection, room: usize) -> String {
    let (mut out, mut buffer) = (Vec::new(), vec![0; room]);
    while connection.wants_transmit() {
        let count = connection.poll_transmit(NOW, &mut buffer);
        out.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What a response looks like, whatever the room.
fn shown(config: &Config, response: impl Fn() -> Response) -> String {
    let answer = |room: usize| {
        let mut connection = connection(config.clone());
        assert_eq!(asked(&mut connection, &[b"/a\r\n"]), Some(Ok("/a".into())));
        connection.respond(NOW, response()).unwrap();
        let sent = sent(&mut connection, room);
        assert_eq!(connection.state(), ConnectionState::EndOutput);
        connection.handle_end(NOW);
        assert_eq!(connection.state(), ConnectionState::Closed);
        sent
    };
    let whole = answer(1 << 16);
    for room in [1, 2, 3, 7, 100] {
        assert_eq!(answer(room), whole, "room for {room}");
    }
    whole
}

#[test]
fn rfc1436_2_a_request_ends_with_crlf_or_lf_wherever_it_is_cut() {
    for (request, target) in [
        (&b"\r\n"[..], "/"),
        (b"\n", "/"),
        (b"/dir/file\r\n", "/dir/file"),
        (b"/find\ta b\n", "/find?q=a%20b"),
    ] {
        for at in 0..=request.len() {
            let (one, other) = request.split_at(at);
            let asked = asked(&mut connection(config()), &[one, other]);
            assert_eq!(asked, Some(Ok(target.into())), "{} at {at}", request.escape_ascii());
        }
    }
}

#[test]
fn what_is_refused_is_an_item_of_type_3() {
    for (request, error, text) in [
        (&b"/../a\r\n"[..], Error::Parent, "selector with .."),
        (b"/a\0\n", Error::Control, "selector with control bytes"),
        (b"URL:javascript:1\n", Error::Url, "link to nowhere"),
    ] {
        let mut connection = connection(config());
        assert_eq!(asked(&mut connection, &[request]), Some(Err(error)));
        let expected = format!("3{text}\t\terror.host\t1\r\n.\r\n");
        assert_eq!(sent(&mut connection, 1 << 10), expected);
        assert_eq!(connection.state(), ConnectionState::EndOutput);
    }
}

#[test]
fn a_request_is_as_long_as_the_limit_says_and_no_longer() {
    let limits = Limits { request_bytes_max: 10, ..Limits::default() };
    let config = Config { limits, ..config() };
    let fits = asked(&mut connection(config.clone()), &[b"/2345678\r\n"]);
    assert_eq!(fits, Some(Ok("/2345678".into())));
    for pieces in [&[&b"/23456789\r\n"[..]][..], &[b"/23456789", b"\r\n"], &[b"/2345678901"]] {
        let mut connection = connection(config.clone());
        assert_eq!(asked(&mut connection, pieces), Some(Err(Error::TooLong)));
        assert!(sent(&mut connection, 1 << 10).starts_with("3selector longer than allowed\t"));
        assert!(connection.held_bytes() < 1_000);
    }
}

#[test]
fn texts_menus_and_bytes_are_sent_each_in_its_way() {
    let text = |content_type| move || Response::ok(content_type, ".a\nb");
    assert_eq!(shown(&config(), text("text/plain; charset=utf-8")), "..a\r\nb\r\n.\r\n");
    assert_eq!(shown(&config(), text("text/html")), ".a\nb");
    assert_eq!(shown(&config(), text("application/octet-stream")), ".a\nb");
    assert_eq!(shown(&config(), || Response::new(Status::NO_CONTENT)), "");
    assert_eq!(shown(&config(), || Response::ok("text/plain", "")), ".\r\n");
    let parts = || {
        let parts = ["a\n", "", ".b"].map(Data::from).to_vec();
        Response::ok("text/plain", "").carrying(Content::Parts(parts))
    };
    assert_eq!(shown(&config(), parts), "a\r\n..b\r\n.\r\n");
    let long = || Response::ok("text/plain", "x".repeat(100_000));
    assert_eq!(shown(&config(), long), "x".repeat(100_000) + "\r\n.\r\n");
}

#[test]
fn rfc1436_menus_name_this_server() {
    let menu = || web::menu::Menu::new().item(ItemType::Text, "A", "/a.txt").into();
    assert_eq!(shown(&config(), menu), "0A\t/a.txt\t10.9.0.2\t7070\r\n.\r\n");
    let named = Config { host: "a.example".into(), ..config() };
    assert_eq!(shown(&named, menu), "0A\t/a.txt\ta.example\t7070\r\n.\r\n");
}

#[test]
fn other_statuses_are_items() {
    let failed = || Response::plain(Status::NOT_FOUND);
    assert_eq!(shown(&config(), failed), "3404 Not Found\t\terror.host\t1\r\n.\r\n");
    let odd = || Response::new(Status::new(499).unwrap());
    assert_eq!(shown(&config(), odd), "3499\t\terror.host\t1\r\n.\r\n");
    let moved = |location: &'static str| {
        move || Response::new(Status::FOUND).with_header("Location", location)
    };
    assert_eq!(shown(&config(), moved("/b/")), "1It is at /b/\t/b/\t10.9.0.2\t7070\r\n.\r\n");
    assert_eq!(
        shown(&config(), moved("http://a/")),
        "hIt is at http://a/\tURL:http://a/\t10.9.0.2\t7070\r\n.\r\n"
    );
    let nowhere = || Response::new(Status::NOT_MODIFIED);
    assert!(shown(&config(), nowhere).starts_with("3304 Not Modified\t"));
}

#[test]
fn a_link_to_the_web_is_answered_with_a_page() {
    let mut connection = connection(config());
    assert_eq!(asked(&mut connection, &[b"URL:https://a.example/\r\n"]), None);
    let page = sent(&mut connection, 50);
    assert!(page.contains("<a href=\"https://a.example/\">"), "{page}");
    assert_eq!(connection.state(), ConnectionState::EndOutput);
}

#[test]
fn a_stream_is_sent_as_it_comes() {
    let mut connection = connection(config());
    asked(&mut connection, &[b"/a\n"]);
    let response = Response::ok("text/plain", "").carrying(Content::Stream(Some(4)));
    connection.respond(NOW, response).unwrap();
    assert!(connection.is_streaming());
    assert_eq!(connection.body_capacity(), 0, "its head is not written");
    assert_eq!(connection.poll_transmit(NOW, &mut [0; 100]), 0);
    assert_eq!(connection.next_deadline(), None, "nobody waits for the client");
    connection.send_data(NOW, "a\n.".into()).unwrap();
    assert_eq!(connection.send_data(NOW, "b".into()), Err(OutOfTurn));
    assert_eq!(sent(&mut connection, 100), "a\r\n..");
    assert_eq!(connection.finish(NOW), Err(OutOfTurn), "less than was declared");
    assert_eq!(connection.send_data(NOW, "bc".into()), Err(OutOfTurn), "more than was declared");
    connection.fail_response(NOW);
    assert_eq!(connection.state(), ConnectionState::Abort);
}

#[test]
fn deadlines_of_what_does_not_come_or_go() {
    let mut slow = connection(config());
    slow.handle_input(NOW, b"/a");
    assert_eq!(slow.next_deadline(), Some(Duration::from_secs(10)));
    slow.handle_timeout(Duration::from_secs(10));
    assert!(matches!(slow.poll_event(), Some(Event::Failed(Error::Timeout, None))));
    assert!(sent(&mut slow, 100).starts_with("3client made no progress in time\t"));
    assert_eq!(slow.next_deadline(), Some(Duration::from_secs(5)));
    slow.handle_timeout(Duration::from_secs(5));
    assert_eq!(slow.state(), ConnectionState::Closed);

    let mut stuck = connection(config());
    asked(&mut stuck, &[b"/a\n"]);
    assert_eq!(stuck.next_deadline(), None);
    stuck.respond(NOW, Response::ok("text/plain", "x".repeat(1_000))).unwrap();
    stuck.poll_transmit(NOW, &mut [0; 10]);
    assert_eq!(stuck.next_deadline(), Some(Duration::from_secs(60)));
    stuck.handle_timeout(Duration::from_secs(60));
    assert_eq!(stuck.state(), ConnectionState::Abort);
}

#[test]
fn a_client_that_drips_its_reading_is_late() {
    let mut connection = connection(config());
    asked(&mut connection, &[b"/a\n"]);
    connection.respond(NOW, Response::ok("image/png", vec![0; 100_000])).unwrap();
    for second in [20, 40, 59] {
        connection.poll_transmit(Duration::from_secs(second), &mut [0; 500]);
    }
    assert_eq!(connection.next_deadline(), Some(Duration::from_secs(63)));
}

#[test]
fn ends_of_the_connection_at_every_place() {
    let mut unasked = connection(config());
    unasked.handle_end(NOW);
    assert_eq!(unasked.state(), ConnectionState::Closed);
    let mut cut = connection(config());
    cut.handle_input(NOW, b"/a");
    cut.handle_end(NOW);
    assert!(matches!(cut.poll_event(), Some(Event::Failed(Error::Truncated, None))));
    assert!(sent(&mut cut, 100).starts_with("3connection ended"));
    assert_eq!(cut.state(), ConnectionState::Closed);
    // Whoever has asked may end its side, and is answered.
    let mut asking = connection(config());
    asked(&mut asking, &[b"/a\n"]);
    asking.handle_end(NOW);
    asking.respond(NOW, Response::ok("text/plain", "a")).unwrap();
    assert_eq!(sent(&mut asking, 100), "a\r\n.\r\n");
    assert_eq!(asking.state(), ConnectionState::Closed);
}

#[test]
fn what_follows_the_request_is_dropped_as_far_as_the_limit_goes() {
    let limits = Limits { linger_bytes_max: 100, ..Limits::default() };
    let mut connection = connection(Config { limits, ..config() });
    asked(&mut connection, &[b"/a\n"]);
    connection.respond(NOW, Response::ok("text/plain", "a")).unwrap();
    assert_eq!(sent(&mut connection, 100), "a\r\n.\r\n");
    assert_eq!(connection.handle_input(NOW, &[b'x'; 99]), 99);
    assert_eq!(connection.state(), ConnectionState::EndOutput);
    assert_eq!(connection.handle_input(NOW, b"x"), 1);
    assert_eq!(connection.state(), ConnectionState::Closed);
}

#[test]
fn a_failed_handler_and_going_down() {
    let mut failed = connection(config());
    asked(&mut failed, &[b"/a\n"]);
    failed.drain(NOW);
    assert_eq!(failed.state(), ConnectionState::Open);
    failed.fail_response(NOW);
    assert!(sent(&mut failed, 100).starts_with("3500 Internal Server Error\t"));
    let mut idle = connection(config());
    idle.drain(NOW);
    assert_eq!(idle.state(), ConnectionState::Closed);
}
