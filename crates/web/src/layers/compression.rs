//! Compression of answers (RFC 9110 section 8.4).

use super::gzip::{Compressors, Gzip};
use super::rate_limit::client_key;
use crate::files::encoding::{Codings, ContentCoding, choose};
use crate::files::etag::{ETag, list_has};
use crate::media_type::essence;
use crate::syntax::trim;
use crate::writer::{Piece, Pieces};
use crate::{
    Answer, Content, ContentWriter, Data, Layer, Method, Next, Producing, Reply, Request, Response,
    Status, layer::Inner,
};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use flow::task::yield_once;
use flow::time::Timers;

/// Content of more bytes is compressed while it is sent, so that nobody waits for it in one piece.
const AT_ONCE_BYTES_MAX: usize = 32 << 10;
/// Compressed bytes that are sent at once.
const PIECE_BYTES: usize = 16 << 10;

/// Sends answers compressed by gzip to clients that accept it (RFC 9110 section 12.5.3). Streamed content is compressed as it is
/// written: what its handler has written is on its way whenever the handler waits.
///
/// Left as they are: content that is small, of a media type that does not shrink (images, say), coded already, a
/// part (206), or marked `no-transform` (RFC 9110 section 7.7); and event streams, which are many, long and slow. So are
/// answers for which there is no compressor: each is some 330 KB, which is why their number is limited, and half of it for one
/// client.
///
/// Where a secret and something that a client chose are in one encrypted answer, its compressed length tells of the secret
/// (the attack called BREACH): leave this layer away from such pages, or have it
/// [spare what is personal](Self::sparing_personal_answers).
pub struct Compression {
    bytes_min: u64,
    level: u8,
    streams_max: usize,
    spares_personal: bool,
    budget: Option<Rc<Budget>>,
    compressors: Rc<Compressors>,
}

impl Compression {
    /// Compresses content from 1 KiB, at level 4, in 8 answers at once.
    pub fn new() -> Self {
        const LEVEL: u8 = 4;
        const STREAMS_MAX: usize = 8;
        Self {
            bytes_min: 1024,
            level: LEVEL,
            streams_max: STREAMS_MAX,
            spares_personal: false,
            budget: None,
            compressors: Rc::new(Compressors::new(LEVEL, STREAMS_MAX)),
        }
    }

    /// Leaves shorter content as it is. What is streamed without a length counts as long.
    #[must_use]
    pub fn with_bytes_min(self, bytes_min: u64) -> Self {
        Self { bytes_min, ..self }
    }

    /// From 1, the fastest, to 9, the smallest.
    #[must_use]
    pub fn with_level(self, level: u8) -> Self {
        let level = level.clamp(1, 9);
        Self { level, compressors: Rc::new(Compressors::new(level, self.streams_max)), ..self }
    }

    /// Compresses so many answers at once; those beyond go as they are.
    #[must_use]
    pub fn with_streams_max(self, streams_max: usize) -> Self {
        let compressors = Rc::new(Compressors::new(self.level, streams_max));
        Self { streams_max, compressors, ..self }
    }

    /// Compresses so many bytes of content in a second, of all answers together; those that begin beyond go as they are. What is
    /// not used in a second is not saved. Without this there is no such bound.
    #[must_use]
    pub fn with_bytes_per_second_max(self, timers: &Timers, bytes: u32) -> Self {
        Self { budget: Some(Rc::new(Budget::new(timers, bytes))), ..self }
    }

    /// Leaves answers as they are that may be one visitor's: those that set a cookie, say `private` or `no-store` in
    /// `Cache-Control`, or are to a request with `Cookie` or `Authorization`. Of these, what is the same for everybody, and so
    /// [repeatable](Response::repeatable), is compressed.
    #[must_use]
    pub fn sparing_personal_answers(self) -> Self {
        Self { spares_personal: true, ..self }
    }

    /// Whether an answer may be one visitor's, and such are left as they are. `is_personal`: its request is one's.
    fn spares(&self, response: &Response, is_personal: bool) -> bool {
        self.spares_personal
            && (is_personal && !response.is_repeatable()
                || response.header("set-cookie").is_some()
                || says_in_cache_control(response, &["private", "no-store"]))
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
            && !says_in_cache_control(response, &["no-transform"])
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
        let is_personal = self.spares_personal
            && ["cookie", "authorization"].iter().any(|name| request.header(name).is_some());
        let (client, is_head) = (request.peer(), request.method() == Method::Head);
        let told = Told::of(&request);
        let settings =
            Self { compressors: self.compressors.clone(), budget: self.budget.clone(), ..*self };
        inner.answer(request).map(move |mut reply| {
            let status = reply.response.status();
            if status == Status::NOT_MODIFIED || status == Status::PARTIAL_CONTENT {
                // RFC 9110 sections 15.4.5 and 15.3.7: as it would be in 200.
                reply.response = told.as_it_was(reply.response.varying_by("Accept-Encoding"));
                return reply;
            }
            if !settings.fits(&reply) || settings.spares(&reply.response, is_personal) {
                return reply;
            }
            // RFC 9110 section 12.5.5: what is not compressed depends on the field, too.
            reply.response = reply.response.varying_by("Accept-Encoding");
            if accepted != Some(ContentCoding::Gzip) {
                return reply;
            }
            if settings.budget.as_ref().is_some_and(|budget| budget.is_spent()) {
                return reply;
            }
            if is_head {
                return headed(reply);
            }
            match settings.compressors.begin(client_key(client)) {
                Some(gzip) => compress(reply, Work { gzip, budget: settings.budget }),
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

/// Whether any of the directives is said.
fn says_in_cache_control(response: &Response, directives: &[&str]) -> bool {
    let mut values = response.headers_named("cache-control");
    let is_one = |said: &[u8]| {
        let name = said.split(|&byte| byte == b'=').next().unwrap_or(said);
        directives.iter().any(|it| trim(name).eq_ignore_ascii_case(it.as_bytes()))
    };
    values.any(|value| value.split(|&byte| byte == b',').any(is_one))
}

/// What may be compressed in a second.
struct Budget {
    timers: Timers,
    bytes_max: u32,
    /// The second, and what was compressed in it. More than allowed is the next second's.
    second: Cell<u64>,
    used: Cell<u64>,
}

impl Budget {
    fn new(timers: &Timers, bytes_max: u32) -> Self {
        Self { timers: timers.clone(), bytes_max, second: Cell::new(0), used: Cell::new(0) }
    }

    fn is_spent(&self) -> bool {
        let (now, bytes_max) = (self.timers.now().as_secs(), u64::from(self.bytes_max));
        let passed = now.saturating_sub(self.second.replace(now));
        self.used.set(self.used.get().saturating_sub(passed.saturating_mul(bytes_max)));
        self.used.get() >= bytes_max
    }

    fn take(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_add(bytes as u64));
    }
}

/// An answer that is being compressed.
struct Work {
    gzip: Gzip,
    budget: Option<Rc<Budget>>,
}

impl Work {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(budget) = &self.budget {
            budget.take(bytes.len());
        }
        self.gzip.write(bytes);
    }
}

fn compress(reply: Reply, mut work: Work) -> Reply {
    let Reply { mut response, next } = reply;
    let content = response.take_content();
    let length = content.length();
    match (content, next) {
        (Content::Full(data), _) if data.len() <= AT_ONCE_BYTES_MAX => {
            work.write(data.as_bytes());
            coded(response).carrying(Content::Full(work.gzip.finish().into())).into()
        }
        (Content::Full(data), _) => stream(response, work, length, give([data].into())),
        (Content::Parts(parts), _) => stream(response, work, length, give(parts)),
        (Content::Stream(_), Next::Produce(produce)) => stream(response, work, length, produce),
        // There is nothing to compress.
        (content, next) => Reply { response: response.carrying(content), next },
    }
}

/// What the client has by its own words, of an earlier answer.
struct Told(Vec<Vec<u8>>);

impl Told {
    fn of(request: &Request) -> Self {
        Self(request.headers_named("if-none-match").map(<[u8]>::to_vec).collect())
    }

    /// RFC 9110 section 15.4.5: whoever has a compressed representation is told of that one, by the tag that it came with.
    fn as_it_was(&self, response: Response) -> Response {
        let tag = response.header("etag").and_then(ETag::parse);
        let is_its = |had: &ETag<'_>| had.weak && tag.is_some_and(|tag| tag.weak_eq(had));
        let has_it = self.0.iter().any(|tags| list_has(tags, is_its));
        if response.status() != Status::NOT_MODIFIED || !has_it {
            return response;
        }
        weakened(response)
    }
}

/// The fields of the compressed representation without it, as HEAD asks for: it takes nothing of what others may have. Its length
/// is not known (RFC 9110 section 9.3.2).
fn headed(reply: Reply) -> Reply {
    let mut response = reply.response;
    drop(response.take_content());
    let response = coded(response).carrying(Content::Stream(None));
    Reply::stream(response, |_| Box::pin(async {}))
}

/// With the fields of the compressed representation.
fn coded(response: Response) -> Response {
    weakened(response.with_header("Content-Encoding", "gzip"))
}

fn weakened(response: Response) -> Response {
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

fn stream(response: Response, work: Work, length: Option<u64>, produce: Produce) -> Reply {
    let response = coded(response).carrying(Content::Stream(None));
    Reply::stream(response, move |writer| pass_on(Pieces::new(produce), work, length, writer))
}

/// Compresses what the producer writes, which is to be `length` bytes.
async fn pass_on(
    mut pieces: Pieces,
    mut work: Work,
    length: Option<u64>,
    mut writer: ContentWriter,
) {
    let mut passed = 0;
    loop {
        let ready = poll_fn(|cx| Poll::Ready(pieces.poll_next(cx))).await;
        let piece = match ready {
            Poll::Ready(piece) => piece,
            Poll::Pending if !work.gzip.is_flushed() => {
                work.gzip.flush();
                writer.write(work.gzip.take_output()).await;
                continue;
            }
            Poll::Pending => poll_fn(|cx| pieces.poll_next(cx)).await,
        };
        match piece {
            Piece::Data(data) => {
                passed += data.len() as u64;
                for part in data.as_bytes().chunks(AT_ONCE_BYTES_MAX) {
                    work.write(part);
                    if work.gzip.output_bytes() >= PIECE_BYTES {
                        writer.write(work.gzip.take_output()).await;
                    }
                    // Others have their turn, also where nothing can be sent yet.
                    yield_once().await;
                }
            }
            // The compressed content has no length by which the client could tell.
            Piece::End if length.is_some_and(|length| length != passed) => return writer.abandon(),
            Piece::End => return writer.write(work.gzip.finish()).await,
            Piece::Abandoned => return writer.abandon(),
        }
    }
}

#[cfg(test)]
mod tests;
