//! A server connection as whoever carries one of several protocols drives it.

use flow::Address;
use http::server::{Connection, Event, Shared};
use http::{ConnectionState, Error};
use std::rc::Rc;
use std::time::Duration;
use web::server::{Refusal, ServerCore};
use web::{Content, Response, Status};

const NOW: Duration = Duration::ZERO;

fn asked<C: ServerCore>(shared: C::Shared, head: &[u8]) -> C {
    let mut core = C::new(Rc::new(shared), Address::Unix { user: 0 }, NOW);
    assert_eq!((C::NAME, core.next_deadline()), ("http", Some(Duration::from_secs(10))));
    assert_eq!(core.handle_input(NOW, head), head.len());
    assert!(matches!(core.poll_event(), Some(web::server::Event::Request(_))));
    assert!(core.has_request() && !core.is_answered() && !core.holds_head());
    core
}

fn stream() -> Response {
    Response::new(Status::OK).carrying(Content::Stream(None))
}

/// A stream, of which a piece is lent and the client takes its time.
fn streams<C: ServerCore>(core: &mut C) -> Vec<u8> {
    assert!(!core.is_streaming() && !core.wants_transmit());
    assert_eq!(core.content_length(&Response::ok("text/plain", "four")), 4);
    core.respond(NOW, stream()).unwrap();
    assert!(core.respond(NOW, stream()).is_err());
    assert!(core.is_streaming() && core.holds_head() && core.wants_transmit());
    assert_eq!((core.body_capacity(), core.untaken_content()), (0, 0));
    let (mut sent, mut out) = (Vec::new(), [0; 1000]);
    let mut write = |core: &mut C, sent: &mut Vec<u8>| {
        let count = core.poll_transmit(NOW, &mut out);
        sent.extend_from_slice(&out[..count]);
    };
    write(core, &mut sent);
    assert!(!core.holds_head() && core.body_capacity() > 0);
    core.send_data(NOW, vec![b'x'; 20_000].into()).unwrap();
    assert_eq!((core.untaken_content(), core.held_bytes()), (20_000, 20_000));
    assert!(core.long_output().is_none());
    write(core, &mut sent);
    core.peer_took(Duration::from_secs(10), 5_000);
    assert_eq!(core.next_deadline(), Some(Duration::from_secs(70)));
    let piece = core.long_output().map(|bytes| bytes.split_to(20_000));
    sent.extend(piece.unwrap());
    core.long_output_taken(NOW, 20_000);
    core.finish(NOW).unwrap();
    assert!(!core.is_streaming());
    write(core, &mut sent);
    assert!(!core.has_request() && core.is_answered());
    sent
}

/// What is done with a request's content, and when its time is over.
fn uploads<C: ServerCore>(core: &mut C) {
    assert_eq!(core.next_deadline(), None);
    core.read_body(NOW);
    assert_eq!(core.next_deadline(), Some(Duration::from_secs(30)));
    core.pause_body();
    assert_eq!((core.next_deadline(), core.handle_input(NOW, b"x")), (None, 0));
    core.drop_body(NOW);
    assert_eq!((core.handle_input(NOW, b"x"), core.state()), (1, ConnectionState::Open));
    core.handle_timeout(Duration::from_secs(29));
    assert!(core.poll_event().is_none());
    core.handle_timeout(Duration::from_secs(30));
    let Some(web::server::Event::Failed(error, _)) = core.poll_event() else { panic!("in time") };
    assert_eq!(
        (error.status(), error.reason()),
        (Status::REQUEST_TIMEOUT, "peer made no progress in time")
    );
}

#[test]
fn whoever_carries_several_protocols_drives_it_as_its_own_caller_does() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let get = || asked::<Connection>(Shared::default(), GET);
    let sent = streams(&mut get());
    assert!(
        sent.starts_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00004e20\r\nx")
    );
    assert!(sent.ends_with(b"x\r\n0\r\n\r\n"));
    uploads(&mut asked::<Connection>(
        Shared::default(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
    ));
    // How it ends.
    let ends = |end: fn(&mut Connection)| {
        let mut core = get();
        ServerCore::respond(&mut core, NOW, stream()).unwrap();
        ServerCore::poll_transmit(&mut core, NOW, &mut [0; 1000]);
        end(&mut core);
        ServerCore::poll_transmit(&mut core, NOW, &mut [0; 1000]);
        let next = ServerCore::handle_input(&mut core, NOW, GET);
        (ServerCore::state(&core), next, matches!(core.poll_event(), Some(Event::Request(_))))
    };
    let all = GET.len();
    assert_eq!(ends(ServerCore::abort), (ConnectionState::Abort, all, false));
    assert_eq!(
        ends(|core| ServerCore::fail_response(core, NOW)),
        (ConnectionState::Abort, all, false)
    );
    assert_eq!(
        ends(|core| ServerCore::cut_response(core, NOW)),
        (ConnectionState::EndOutput, all, false)
    );
    let finish = |core: &mut Connection| ServerCore::finish(core, NOW).unwrap();
    assert_eq!(ends(finish), (ConnectionState::Open, all, true));
    let drains = |core: &mut Connection| {
        ServerCore::drain(core, NOW);
        ServerCore::finish(core, NOW).unwrap();
    };
    assert_eq!(ends(drains), (ConnectionState::EndOutput, all, false));
    let hangs_up = |core: &mut Connection| {
        ServerCore::handle_end(core, NOW);
        ServerCore::finish(core, NOW).unwrap();
    };
    assert_eq!(ends(hangs_up), (ConnectionState::Closed, all, false));
}

#[test]
fn refusals_say_why_to_the_client_and_to_the_log() {
    for (error, status, reason) in [
        (Error::StartLine, 400, "malformed start line"),
        (Error::Host, 400, "missing, repeated or malformed Host"),
        (Error::Truncated, 400, "connection ended inside a message"),
        (Error::Timeout, 408, "peer made no progress in time"),
        (Error::LengthRequired, 411, "length required"),
        (Error::BodyTooLarge, 413, "body larger than allowed"),
        (Error::TargetTooLong, 414, "start line longer than allowed"),
        (Error::Expectation, 417, "unknown expectation"),
        (Error::Misdirected, 421, "authority not served here"),
        (Error::HeadTooLarge, 431, "head larger than allowed"),
        (Error::UnsupportedCoding, 501, "transfer coding not implemented"),
        (Error::UnsupportedVersion, 505, "HTTP version not supported"),
    ] {
        assert_eq!(Refusal::status(&error).code(), status, "{error:?}");
        assert_eq!((Refusal::reason(&error), &*error.to_string()), (reason, reason));
    }
}
