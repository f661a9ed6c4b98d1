//! Compression of answers (RFC 9110 section 8.4).

use super::gzip::{Compressors, Gzip};
use crate::files::encoding::{Codings, ContentCoding, choose};
use crate::media_type::essence;
use crate::syntax::trim;
use crate::writer::{Piece, Pieces};
use crate::{
    Answer, Content, ContentWriter, Data, Layer, Next, Producing, Reply, Request, Response, Status,
    layer::Inner,
};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use flow::task::yield_once;

/// Content of more bytes is compressed while it is sent, so that nobody waits for it in one piece.
const AT_ONCE_BYTES_MAX: usize = 32 << 10;
/// Compressed bytes that are sent at once.
const PIECE_BYTES: usize = 16 << 10;

/// Sends answers compressed by gzip to clients that accept it (RFC 9110 section 12.5.3). Streamed content is compressed as it is
/// written: what its handler has written is on its way whenever the handler waits.
///
/// Left as they are: content that is small, of a media type that does not shrink (images, say), coded already, a
/// part (206), or marked `no-transform` (RFC 9110 section 7.7); and event streams, which are many, long and slow. So are
/// answers for which there is no compressor: each is some 330 KB, which is why their number is limited.
///
/// Where a secret and something that a client chose are in one encrypted answer, its compressed length tells of the secret
/// (the attack called BREACH): leave this layer away from such pages.
pub struct Compression {
    bytes_min: u64,
    level: u8,
    streams_max: usize,
    compressors: Rc<Compressors>,
}

impl Compression {
    /// Compresses content from 1 KiB, at level 4, in 8 answers at once.
    pub fn new() -> Self {
        Self::with(1024, 4, 8)
    }

    fn with(bytes_min: u64, level: u8, streams_max: usize) -> Self {
        let compressors = Rc::new(Compressors::new(level, streams_max));
        Self { bytes_min, level, streams_max, compressors }
    }

    /// Leaves shorter content as it is. What is streamed without a length counts as long.
    #[must_use]
    pub fn with_bytes_min(self, bytes_min: u64) -> Self {
        Self::with(bytes_min, self.level, self.streams_max)
    }

    /// From 1, the fastest, to 9, the smallest.
    #[must_use]
    pub fn with_level(self, level: u8) -> Self {
        Self::with(self.bytes_min, level.clamp(1, 9), self.streams_max)
    }

    /// Compresses so many answers at once; those beyond go as they are.
    #[must_use]
    pub fn with_streams_max(self, streams_max: usize) -> Self {
        Self::with(self.bytes_min, self.level, streams_max)
    }

    fn fits(&self, reply: &Reply) -> bool {
        let response = &reply.response;
        let status = response.status();
        let is_long = response.content().length().is_none_or(|bytes| bytes >= self.bytes_min);
        is_long
            && !matches!(reply.next, Next::Upgrade(_))
            && status != Status::PARTIAL_CONTENT
            && !status.has_no_content()
            && response.header("content-encoding").is_none()
            && response.header("content-range").is_none()
            && !is_no_transform(response)
            && shrinks(media_type(response))
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for Compression {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        let available = Codings { gzip: true, ..Codings::default() };
        let accepted = choose(request.headers_named("accept-encoding"), available);
        let settings = Self { compressors: self.compressors.clone(), ..*self };
        inner.answer(request).map(move |mut reply| {
            if !settings.fits(&reply) {
                return reply;
            }
            // RFC 9110 section 12.5.5: what is not compressed depends on the field, too.
            reply.response = reply.response.varying_by("Accept-Encoding");
            if accepted != Some(ContentCoding::Gzip) {
                return reply;
            }
            match settings.compressors.begin() {
                Some(gzip) => compress(reply, gzip),
                None => reply,
            }
        })
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes_min, level, streams_max, .. } = self;
        write!(f, "Compression(from {bytes_min} bytes, level {level}, {streams_max} at once)")
    }
}

fn media_type(response: &Response) -> &[u8] {
    let named = || response.header("content-type");
    essence(response.content_type().map(str::as_bytes).or_else(named).unwrap_or(b""))
}

/// Whether content of this type usually becomes smaller, and is not to be sent event by event.
fn shrinks(media_type: &[u8]) -> bool {
    let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
    let starts = |start: &str| {
        media_type.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start.as_bytes()))
    };
    let ends = |end: &str| {
        let at = media_type.len().saturating_sub(end.len());
        media_type.get(at..).is_some_and(|own| own.eq_ignore_ascii_case(end.as_bytes()))
    };
    (starts("text/") && !is("text/event-stream"))
        || ends("+json")
        || ends("+xml")
        || ["json", "javascript", "xml", "wasm", "x-ndjson", "rtf"].iter().any(|subtype| {
            starts("application/")
                && media_type
                    .get("application/".len()..)
                    .is_some_and(|own| own.eq_ignore_ascii_case(subtype.as_bytes()))
        })
        || ["font/ttf", "font/otf", "image/bmp"].iter().any(|name| is(name))
}

fn is_no_transform(response: &Response) -> bool {
    let mut values = response.headers_named("cache-control");
    let is_it = |directive: &[u8]| trim(directive).eq_ignore_ascii_case(b"no-transform");
    values.any(|value| value.split(|&byte| byte == b',').any(is_it))
}

fn compress(reply: Reply, gzip: Gzip) -> Reply {
    let Reply { mut response, next } = reply;
    let content = response.take_content();
    let length = content.length();
    match (content, next) {
        (Content::Full(data), _) if data.len() <= AT_ONCE_BYTES_MAX => {
            let mut gzip = gzip;
            gzip.write(data.as_bytes());
            coded(response).carrying(Content::Full(gzip.finish().into())).into()
        }
        (Content::Full(data), _) => stream(response, gzip, length, give([data].into())),
        (Content::Parts(parts), _) => stream(response, gzip, length, give(parts)),
        (Content::Stream(_), Next::Produce(produce)) => stream(response, gzip, length, produce),
        // There is nothing to compress.
        (content, next) => Reply { response: response.carrying(content), next },
    }
}

/// With the fields of the compressed representation.
fn coded(response: Response) -> Response {
    let response = response.with_header("Content-Encoding", "gzip");
    // RFC 9110 section 14.3: no ranges of it can be had.
    let response = response.without_header("accept-ranges");
    // RFC 9110 section 8.8.3.3: a strong tag is one coding's.
    let weak = match response.header("etag") {
        Some(tag) if !tag.starts_with(b"W/") => [b"W/", tag].concat(),
        _ => return response,
    };
    response.without_header("etag").with_header("ETag", weak)
}

type Produce = Box<dyn FnOnce(ContentWriter) -> Producing>;

/// Content that is there already, as a producer gives it.
fn give(parts: Vec<Data>) -> Produce {
    Box::new(move |mut writer| {
        Box::pin(async move {
            for part in parts {
                writer.write(part).await;
            }
        })
    })
}

fn stream(response: Response, gzip: Gzip, length: Option<u64>, produce: Produce) -> Reply {
    let response = coded(response).carrying(Content::Stream(None));
    Reply::stream(response, move |writer| pass_on(Pieces::new(produce), gzip, length, writer))
}

/// Compresses what the producer writes, which is to be `length` bytes.
async fn pass_on(
    mut pieces: Pieces,
    mut gzip: Gzip,
    length: Option<u64>,
    mut writer: ContentWriter,
) {
    let mut passed = 0;
    loop {
        let ready = poll_fn(|cx| Poll::Ready(pieces.poll_next(cx))).await;
        let piece = match ready {
            Poll::Ready(piece) => piece,
            Poll::Pending if !gzip.is_flushed() => {
                gzip.flush();
                writer.write(gzip.take_output()).await;
                continue;
            }
            Poll::Pending => poll_fn(|cx| pieces.poll_next(cx)).await,
        };
        match piece {
            Piece::Data(data) => {
                passed += data.len() as u64;
                for part in data.as_bytes().chunks(AT_ONCE_BYTES_MAX) {
                    gzip.write(part);
                    if gzip.output_bytes() >= PIECE_BYTES {
                        writer.write(gzip.take_output()).await;
                    }
                    // Others have their turn, also where nothing can be sent yet.
                    yield_once().await;
                }
            }
            // The compressed content has no length by which the client could tell.
            Piece::End if length.is_some_and(|length| length != passed) => return writer.abandon(),
            Piece::End => return writer.write(gzip.finish()).await,
            Piece::Abandoned => return writer.abandon(),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let handler = (move |_: Request| core::future::ready(reply())).layer(layer);
        let head = parsed("GET", "/", &[("Accept-Encoding", accept)]);
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
        assert!(stays(|| page(2000).with_status(Status::PARTIAL_CONTENT)));
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
}
