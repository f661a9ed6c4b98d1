//! What is compressed, what is not, and when.

use super::super::gzip::tests::decoded;
use super::*;
use crate::fields::FieldLines;
use crate::request::parsed;
use crate::{Body, Handler};
use alloc::string::String;
use core::cell::Cell;
use core::task::{Context, Waker};
use flow::Address;
use flow::sync::Notify;
use flow::task::block_on;

const PAGE: &str = "text/html; charset=utf-8";

fn asked_of(layer: Compression, accept: &str, reply: impl Fn() -> Reply + 'static) -> Reply {
    asked_by("GET", &[("Accept-Encoding", accept)], layer, reply)
}

fn asked_by(
    method: &str,
    fields: &[(&str, &str)],
    layer: Compression,
    reply: impl Fn() -> Reply + 'static,
) -> Reply {
    let handler = (move |_: Request| core::future::ready(reply())).layer(layer);
    let head = parsed(method, "/", fields);
    let request = Request::new(head, Body::empty(), Address::Memory(0));
    block_on(handler.answer(request).into_future())
}

fn asked(accept: &str, reply: impl Fn() -> Reply + 'static) -> Reply {
    asked_of(Compression::new(), accept, reply)
}

fn page(bytes: usize) -> Response {
    Response::ok(PAGE, alloc::vec![b'a'; bytes])
}

fn is_coded(reply: &Reply) -> bool {
    reply.response.header("content-encoding") == Some(b"gzip")
}

/// The whole content; none if it was given up.
fn content(mut reply: Reply) -> Option<Vec<u8>> {
    let Next::Produce(produce) = reply.next else {
        let Content::Full(data) = reply.response.take_content() else { return None };
        return Some(data.into_shared().to_vec());
    };
    let mut pieces = Pieces::new(produce);
    let mut whole = Vec::new();
    loop {
        match block_on(poll_fn(|cx| pieces.poll_next(cx))) {
            Piece::Data(data) => whole.extend_from_slice(data.as_bytes()),
            Piece::End => return Some(whole),
            Piece::Abandoned => return None,
        }
    }
}

#[test]
fn rfc9110_12_5_3_who_accepts_it_gets_gzip() {
    for (accept, expected) in [
        ("gzip", true),
        ("br, gzip;q=0.5", true),
        ("gzip;q=0", false),
        ("br", false),
        ("identity, gzip;q=0.5", false),
    ] {
        let reply = asked(accept, || page(2000).into());
        assert_eq!(is_coded(&reply), expected, "{accept}");
        assert_eq!(reply.response.header("vary"), Some(&b"Accept-Encoding"[..]));
    }
    let reply = asked("gzip", || page(2000).into());
    assert_eq!(decoded(&content(reply).unwrap(), true), [b'a'; 2000]);
}

#[test]
fn what_gains_nothing_or_may_not_be_changed_stays() {
    let stays = |make: fn() -> Response| {
        let reply = asked("gzip", move || make().into());
        !is_coded(&reply) && reply.response.header("vary").is_none()
    };
    assert!(!stays(|| page(1024)));
    assert!(stays(|| page(1023)));
    assert!(stays(|| Response::ok("image/png", alloc::vec![0; 2000])));
    assert!(stays(|| Response::ok("text/event-stream", alloc::vec![0; 2000])));
    let part = asked("gzip", || page(2000).with_status(Status::PARTIAL_CONTENT).into());
    assert!(!is_coded(&part));
    assert!(stays(|| page(2000).with_status(Status::NO_CONTENT)));
    // RFC 9110 section 7.7.
    assert!(stays(|| page(2000).with_header("Cache-Control", "max-age=1, No-Transform")));
    assert!(!stays(|| page(2000).with_header("Cache-Control", "max-age=1")));
    let coded = asked("gzip", || page(2000).with_header("Content-Encoding", "br").into());
    assert_eq!(content(coded).unwrap().len(), 2000);
    // A length alone, as of a handler's answer to HEAD.
    let head =
        asked("gzip", || Response::ok(PAGE, "").carrying(Content::Stream(Some(5000))).into());
    assert!(!is_coded(&head));
    assert_eq!(head.response.content().length(), Some(5000));
}

#[test]
fn types_that_shrink() {
    for (media_type, expected) in [
        ("text/plain", true),
        ("Text/HTML", true),
        ("application/json", true),
        ("application/problem+JSON", true),
        ("image/svg+xml", true),
        ("application/wasm", true),
        ("text/event-stream", false),
        ("image/jpeg", false),
        ("application/gzip", false),
        ("json", false),
        ("", false),
    ] {
        assert_eq!(shrinks(media_type.as_bytes()), expected, "{media_type}");
    }
}

#[test]
fn rfc9110_8_8_3_3_a_strong_tag_becomes_weak_and_ranges_are_not_offered() {
    let fields: [(&str, &[u8]); 2] = [("ETag", b"\"x\""), ("Accept-Ranges", b"bytes")];
    let shared: Rc<[u8]> = FieldLines::of(&fields).as_bytes().into();
    let reply = asked("gzip", move || page(2000).with_shared_fields(shared.clone()).into());
    assert_eq!(reply.response.header("etag"), Some(&b"W/\"x\""[..]));
    assert_eq!(reply.response.header("accept-ranges"), None);
    let weak = asked("gzip", || page(2000).with_header("ETag", "W/\"y\"").into());
    assert_eq!(weak.response.header("etag"), Some(&b"W/\"y\""[..]));
}

#[test]
fn rfc9110_15_4_5_who_has_a_compressed_representation_is_told_of_that_one() {
    let tag_of = |status: Status, told: &str| {
        let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", told)];
        let reply = asked_by("GET", &fields, Compression::new(), move || {
            let response = Response::ok(PAGE, "").with_status(status);
            response.with_header("ETag", "\"x\"").with_header("Accept-Ranges", "bytes").into()
        });
        assert_eq!(reply.response.header("vary"), Some(&b"Accept-Encoding"[..]));
        let has_ranges = reply.response.header("accept-ranges").is_some();
        (reply.response.header("etag").map(<[u8]>::to_vec), has_ranges)
    };
    let (strong, weak) = (Some(b"\"x\"".to_vec()), Some(b"W/\"x\"".to_vec()));
    assert_eq!(tag_of(Status::NOT_MODIFIED, "W/\"x\""), (weak.clone(), false));
    assert_eq!(tag_of(Status::NOT_MODIFIED, "\"y\", W/\"x\""), (weak, false));
    assert_eq!(tag_of(Status::NOT_MODIFIED, "\"x\""), (strong.clone(), true));
    assert_eq!(tag_of(Status::NOT_MODIFIED, "W/\"y\""), (strong.clone(), true));
    // RFC 9110 section 15.3.7: a part is of what is not compressed, and varies as the whole does.
    assert_eq!(tag_of(Status::PARTIAL_CONTENT, "W/\"x\""), (strong, true));
}

#[test]
fn rfc9110_9_3_2_head_has_the_fields_and_compresses_nothing() {
    let timers = Timers::new();
    let layer = Compression::new().with_bytes_per_second_max(&timers, 3000);
    let budget = layer.budget.clone().unwrap();
    for _ in 0..10 {
        let layer = Compression { budget: Some(budget.clone()), ..Compression::new() };
        let fields = [("Accept-Encoding", "gzip")];
        let head =
            asked_by("HEAD", &fields, layer, || page(2000).with_header("ETag", "\"x\"").into());
        assert!(is_coded(&head));
        assert_eq!(head.response.header("etag"), Some(&b"W/\"x\""[..]));
        assert_eq!(content(head), Some(Vec::new()));
    }
    assert_eq!(budget.used.get(), 0);
}

#[test]
fn long_content_is_compressed_while_it_is_sent() {
    let text: String = (0..40_000).map(|n| alloc::format!("{n},")).collect();
    let (whole, parts) = (text.clone(), text.clone());
    let full = asked("gzip", move || Response::ok(PAGE, whole.clone()).into());
    assert!(is_coded(&full) && full.response.content().is_stream());
    let text_of = |reply| content(reply).map(|member| decoded(&member, true));
    assert!(text_of(full).unwrap() == text.as_bytes());
    let parts = asked("gzip", move || {
        let (one, other) = parts.split_at(1000);
        let parts = [one, other].map(|part| Data::from(part.as_bytes().to_vec())).to_vec();
        Response::ok(PAGE, "").carrying(Content::Parts(parts)).into()
    });
    assert!(text_of(parts).unwrap() == text.as_bytes());
}

#[test]
fn a_stream_reaches_its_reader_whenever_its_writer_waits() {
    let go = Rc::new(Notify::default());
    let waits = go.clone();
    let reply = asked("gzip", move || {
        let go = waits.clone();
        Reply::stream(
            Response::ok(PAGE, "").carrying(Content::Stream(None)),
            async move |mut writer| {
                writer.write("first").await;
                go.notified().await;
                writer.write(" second").await;
            },
        )
    });
    let Next::Produce(produce) = reply.next else { panic!("it is streamed") };
    let mut pieces = Pieces::new(produce);
    let mut cx = Context::from_waker(Waker::noop());
    let mut member = Vec::new();
    let mut read = |pieces: &mut Pieces, turns: usize| {
        for _ in 0..turns {
            match pieces.poll_next(&mut cx) {
                Poll::Ready(Piece::Data(data)) => member.extend_from_slice(data.as_bytes()),
                Poll::Ready(Piece::End) => return (member.clone(), true),
                Poll::Ready(Piece::Abandoned) => panic!("abandoned"),
                Poll::Pending => {}
            }
        }
        (member.clone(), false)
    };
    let (first, is_whole) = read(&mut pieces, 9);
    assert_eq!((decoded(&first, false), is_whole), (b"first".to_vec(), false));
    go.notify();
    let (all, is_whole) = read(&mut pieces, 9);
    assert_eq!((decoded(&all, true), is_whole), (b"first second".to_vec(), true));
}

#[test]
fn what_differs_from_its_declared_length_or_is_abandoned_is_cut() {
    let streamed = |length: Option<u64>, abandons: bool| {
        let reply = asked("gzip", move || {
            let response = Response::ok(PAGE, "").carrying(Content::Stream(length));
            Reply::stream(response, async move |mut writer| {
                writer.write(alloc::vec![b'a'; 5000]).await;
                if abandons {
                    writer.abandon();
                }
            })
        });
        assert!(is_coded(&reply));
        content(reply).map(|member| decoded(&member, true).len())
    };
    assert_eq!(streamed(Some(5000), false), Some(5000));
    assert_eq!(streamed(None, false), Some(5000));
    assert_eq!(streamed(Some(5001), false), None);
    assert_eq!(streamed(Some(4999), false), None);
    assert_eq!(streamed(None, true), None);
}

#[test]
fn without_a_compressor_answers_go_as_they_are() {
    let layer = Compression::new().with_streams_max(1);
    let pool = layer.compressors.clone();
    let made = Rc::new(Cell::new(0));
    let count = made.clone();
    let handler = (move |_: Request| {
        count.set(count.get() + 1);
        core::future::ready(page(100_000))
    })
    .layer(layer);
    let ask = || {
        let head = parsed("GET", "/", &[("Accept-Encoding", "gzip")]);
        let request = Request::new(head, Body::empty(), Address::Memory(0));
        block_on(handler.answer(request).into_future())
    };
    let first = ask();
    assert_eq!((is_coded(&first), pool.used()), (true, 1));
    let second = ask();
    assert!(!is_coded(&second));
    // The next to come does not get what may not be for it.
    assert_eq!(second.response.header("vary"), Some(&b"Accept-Encoding"[..]));
    drop(first);
    assert_eq!(pool.used(), 0);
    assert!(is_coded(&ask()));
    assert_eq!((made.get(), pool.used()), (3, 0));
}

/// With a request that has this field, too.
fn asked_with(field: (&str, &str), make: impl Fn() -> Response + 'static) -> bool {
    let layer = Compression::new().sparing_personal_answers();
    let handler = (move |_: Request| core::future::ready(make())).layer(layer);
    let head = parsed("GET", "/", &[("Accept-Encoding", "gzip"), field]);
    let request = Request::new(head, Body::empty(), Address::Memory(0));
    is_coded(&block_on(handler.answer(request).into_future()))
}

#[test]
fn what_may_be_one_visitors_is_spared() {
    let public = ("X-A", "1");
    assert!(asked_with(public, || page(2000)));
    assert!(asked_with(public, || page(2000).with_header("Cache-Control", "max-age=1")));
    assert!(!asked_with(("Cookie", "session=1"), || page(2000)));
    assert!(!asked_with(("Authorization", "Basic x"), || page(2000)));
    assert!(!asked_with(public, || page(2000).with_header("Set-Cookie", "session=1")));
    for directives in ["private", "max-age=1, Private", "no-store", "private=\"set-cookie\""] {
        assert!(!asked_with(public, move || {
            page(2000).with_header("Cache-Control", directives)
        }));
    }
    // The same for everybody, as a file is.
    assert!(asked_with(("Cookie", "session=1"), || page(2000).repeatable()));
}

#[test]
fn of_a_second_so_many_bytes_are_compressed() {
    let timers = Timers::new();
    let layer = Compression::new().with_bytes_per_second_max(&timers, 10_000);
    let handler = (|_: Request| core::future::ready(page(4000))).layer(layer);
    let ask = || {
        let head = parsed("GET", "/", &[("Accept-Encoding", "gzip")]);
        let request = Request::new(head, Body::empty(), Address::Memory(0));
        block_on(handler.answer(request).into_future())
    };
    let coded = |count: usize| (0..count).filter(|_| is_coded(&ask())).count();
    assert_eq!(coded(10), 3);
    assert_eq!(ask().response.header("vary"), Some(&b"Accept-Encoding"[..]));
    // What went beyond is the next second's: 2000 bytes.
    timers.advance(core::time::Duration::from_secs(1));
    assert_eq!(coded(10), 2);
    timers.advance(core::time::Duration::from_secs(100));
    assert_eq!(coded(10), 3);
}

/// RFC 9110 section 15.4.5.
#[test]
fn what_is_not_modified_varies_as_well() {
    let reply = asked("gzip", || Response::new(Status::NOT_MODIFIED).into());
    assert_eq!(reply.response.header("vary"), Some(&b"Accept-Encoding"[..]));
}
