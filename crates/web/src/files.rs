//! Static files (RFC 9110): answers to GET and HEAD from a tree of files.
#![cfg_attr(
    not(feature = "stored-files"),
    allow(dead_code, unreachable_code, unused_variables, reason = "no content is stored")
)]

pub mod conditional;
pub mod encoding;
pub mod etag;
mod name;
pub mod range;
mod stored;

use crate::date::HttpDate;
use crate::fields::FieldLines;
use crate::{Answer, Content, Data, Method, RequestHead, Response, Status, media_type, percent};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use conditional::{Validators, Verdict, evaluate, range_applies};
use core::fmt;
use core::ops::Range;
use encoding::{ContentCoding, choose};
use etag::HashTag;
use name::{PathError, normalise};
use range::Ranges;
use stored::{Part, StoredBody, StoredContent};

pub use stored::{Reading, Stored, Unreadable};

/// A file to be served.
#[derive(Clone, Debug)]
pub struct Variant {
    content: FileContent,
    etag: HashTag,
    coding: ContentCoding,
    /// The fields that 200, 206 and 304 have in common, written once.
    fields: Rc<[u8]>,
}

impl Variant {
    /// Content tagged by itself, all of which is read for that.
    pub fn new(content: impl Into<Data>) -> Variant {
        let content = content.into();
        let hash = HashTag::of_content(content.as_bytes());
        Variant::with_tag(content, hash)
    }

    /// Content whose tag is made of `hash`, by which the caller tells its versions apart.
    pub fn tagged(content: impl Into<Data>, hash: u64) -> Variant {
        Variant::with_tag(content.into(), HashTag::new(hash))
    }

    /// Content that is not in memory, tagged as by [`tagged`](Self::tagged).
    #[cfg(feature = "stored-files")]
    pub fn stored(content: Rc<dyn Stored>, hash: u64) -> Variant {
        Variant::with(FileContent::Stored(content), HashTag::new(hash))
    }

    fn with_tag(content: Data, etag: HashTag) -> Variant {
        Variant::with(FileContent::Memory(content), etag)
    }

    fn with(content: FileContent, etag: HashTag) -> Variant {
        Variant { content, etag, coding: ContentCoding::Identity, fields: Rc::new([]) }
    }
}

/// Where a file's content is.
#[derive(Clone)]
enum FileContent {
    Memory(Data),
    Stored(StoredContent),
}

impl FileContent {
    fn len(&self) -> usize {
        match self {
            FileContent::Memory(data) => data.len(),
            FileContent::Stored(content) => content.len(),
        }
    }

    fn part(&self, range: &Range<usize>) -> Part {
        match self {
            FileContent::Memory(data) => Part::Bytes(data.clone().slice(range.start, range.end)),
            FileContent::Stored(content) => Part::Stored(content.clone(), range.clone()),
        }
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// How files are answered with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file that stands for its directory. Default `index.html`.
    pub index: &'static str,
    /// The value of `Cache-Control`. Default `no-cache`: caches keep it and ask each time, which a tag makes cheap.
    pub cache_control: Option<&'static str>,
    /// Ranges of one request. Default 16; a request for more gets the whole (RFC 9110 section 14.2).
    pub ranges_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { index: "index.html", cache_control: Some("no-cache"), ranges_max: 16 }
    }
}

/// A tree of files, in memory or [elsewhere](Stored), which answers GET and HEAD. What it answers from memory does not
/// change, so most of it is [repeatable](Response::repeatable).
///
/// `page.html.gz` and `page.html.br` become variants of `page.html`, and stay files of their own as
/// well.
#[derive(Debug, Default)]
pub struct Site {
    /// By name: segments joined by slashes, none first. A directory with an index is there too, by
    /// its name with a slash at the end.
    entries: BTreeMap<String, Rc<File>>,
    options: Options,
    files: usize,
}

/// A file with the variants it was compressed to beforehand.
#[derive(Clone, Debug)]
struct File {
    identity: Variant,
    gzip: Option<Variant>,
    brotli: Option<Variant>,
    modified: Option<u64>,
    media_type: &'static str,
}

impl Site {
    /// The site of these files: name, content, and when each last changed in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn new(
        files: impl IntoIterator<Item = (String, Variant, Option<u64>)>,
        options: Options,
    ) -> Site {
        // Inserted one by one: collecting would sort them first, with a sort of its own.
        let mut plain = BTreeMap::new();
        for (name, identity, modified) in files {
            let media_type = media_type::of_name(&name);
            let file = File { identity, gzip: None, brotli: None, modified, media_type };
            plain.insert(name, Rc::new(file));
        }
        let variant = |name: &str, suffix: &str| {
            plain.get(&(String::from(name) + suffix)).map(|file| file.identity.clone())
        };
        let mut site = Site { entries: BTreeMap::new(), files: plain.len(), options };
        for (name, file) in &plain {
            let file = File {
                gzip: variant(name, ".gz"),
                brotli: variant(name, ".br"),
                ..File::clone(file)
            };
            let file = Rc::new(file.with_fields(&site.options));
            if let Some(directory) = name.strip_suffix(site.options.index)
                && (directory.is_empty() || directory.ends_with('/'))
            {
                site.entries.insert(String::from(directory), file.clone());
            }
            site.entries.insert(name.clone(), file);
        }
        site
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files
    }

    /// Whether it has no files.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// The whole of the file of this name as an answer of another status, such as an error's page.
    pub fn page(&self, name: &str, status: Status, request: &RequestHead) -> Option<Answer> {
        let file = self.entries.get(name)?;
        let found = Selected::whole(&file.identity, file.media_type);
        let found = found.map(|response| response.with_status(status));
        Some(found.answer(request))
    }

    /// Whether a file, or a directory's index, answers for this path of a request; `prefix` as in [`answer`](Self::answer).
    pub fn has(&self, path: &[u8], prefix: &str) -> bool {
        let name = path.strip_prefix(prefix.as_bytes()).and_then(|path| normalise(path).ok());
        name.is_some_and(|name| self.entries.contains_key(&*name))
    }

    /// Answers GET and HEAD for the request's path; `prefix` is the part of it that is not the
    /// tree's.
    pub fn answer(&self, request: &RequestHead, prefix: &str, now_unix_seconds: u64) -> Answer {
        self.select(request, prefix, now_unix_seconds).answer(request)
    }

    fn select(&self, request: &RequestHead, prefix: &str, now_unix_seconds: u64) -> Selected {
        if !matches!(request.method(), Method::Get | Method::Head) {
            let refusal = Response::plain(Status::METHOD_NOT_ALLOWED);
            return refusal.with_header("Allow", "GET, HEAD").into();
        }
        let Some(path) = request.path().strip_prefix(prefix.as_bytes()) else {
            return Response::plain(Status::NOT_FOUND).into();
        };
        let name = match normalise(path) {
            Ok(name) => name,
            Err(PathError::Malformed) => return Response::plain(Status::BAD_REQUEST).into(),
            Err(PathError::Hidden) => return Response::plain(Status::NOT_FOUND).into(),
        };
        match self.entries.get(&*name) {
            Some(file) => file.answer(request, now_unix_seconds, &self.options),
            None if self.entries.contains_key(&(String::from(&*name) + "/")) => {
                redirect_to_directory(prefix, &name, request.query()).into()
            }
            None => Response::plain(Status::NOT_FOUND).into(),
        }
    }
}

/// Links in a directory's index are relative to the directory, so its URI must end with a slash.
fn redirect_to_directory(prefix: &str, name: &str, query: Option<&[u8]>) -> Response {
    // Built from the normal form, which has no empty segment that a client could take for a host.
    let mut location = String::from(prefix).into_bytes();
    location.push(b'/');
    location.extend_from_slice(percent::encode(name).as_bytes());
    location.push(b'/');
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Response::plain(Status::MOVED_PERMANENTLY).with_header("Location", location)
}

impl File {
    /// Writes the fields that all answers with a variant of this file have (RFC 9110 section
    /// 15.4.5).
    fn with_fields(mut self, options: &Options) -> File {
        let negotiated = self.is_negotiated();
        let modified = self.modified.map(HttpDate::from_unix_seconds);
        let write = |variant: &mut Variant, coding: ContentCoding| {
            let mut lines = FieldLines::default();
            lines.push("Accept-Ranges", b"bytes");
            lines.push("ETag", variant.etag.as_bytes());
            if let Some(modified) = &modified {
                lines.push("Last-Modified", modified.as_bytes());
            }
            if let Some(cache_control) = options.cache_control {
                lines.push("Cache-Control", cache_control.as_bytes());
            }
            if negotiated {
                lines.push("Vary", b"Accept-Encoding");
            }
            variant.coding = coding;
            variant.fields = lines.as_bytes().into();
        };
        write(&mut self.identity, ContentCoding::Identity);
        if let Some(variant) = &mut self.gzip {
            write(variant, ContentCoding::Gzip);
        }
        if let Some(variant) = &mut self.brotli {
            write(variant, ContentCoding::Brotli);
        }
        self
    }

    fn is_negotiated(&self) -> bool {
        self.gzip.is_some() || self.brotli.is_some()
    }

    fn answer(&self, request: &RequestHead, now: u64, options: &Options) -> Selected {
        let Some(variant) = self.choose(request) else {
            let refusal = Response::plain(Status::NOT_ACCEPTABLE);
            return refusal.with_header("Vary", "Accept-Encoding").into();
        };
        let selected = if request.selects() {
            self.select(variant, request, now, options)
        } else {
            Selected::of(variant, self.media_type, Ranges::Whole).repeatable()
        };
        match selected.response.status() {
            Status::PRECONDITION_FAILED => selected,
            _ => selected.map(|response| response.with_shared_fields(variant.fields.clone())),
        }
    }

    /// Answers a conditional request, or one for ranges.
    fn select(
        &self,
        variant: &Variant,
        request: &RequestHead,
        now: u64,
        options: &Options,
    ) -> Selected {
        let current = Validators { etag: Some(variant.etag.tag()), modified: self.modified };
        match evaluate(request, Some(&current), now) {
            Verdict::PreconditionFailed => Response::plain(Status::PRECONDITION_FAILED).into(),
            Verdict::NotModified => Response::new(Status::NOT_MODIFIED).into(),
            Verdict::Proceed => {
                let ranges = match request.header("range") {
                    // RFC 9110 section 14.2: for GET only.
                    Some(value)
                        if request.method() == Method::Get
                            && range_applies(request, &current, now) =>
                    {
                        range::parse(value, variant.content.len(), options.ranges_max)
                    }
                    _ => Ranges::Whole,
                };
                Selected::of(variant, self.media_type, ranges)
            }
        }
    }

    fn choose(&self, request: &RequestHead) -> Option<&Variant> {
        if !self.is_negotiated() {
            return Some(&self.identity);
        }
        let (gzip, brotli) = (self.gzip.as_ref(), self.brotli.as_ref());
        let accepted = request.headers_named("accept-encoding");
        match choose(accepted, gzip.is_some(), brotli.is_some())? {
            ContentCoding::Gzip => gzip,
            ContentCoding::Brotli => brotli,
            ContentCoding::Identity => Some(&self.identity),
        }
    }
}

/// A response, and what of its content is not in memory.
struct Selected {
    response: Response,
    /// The content, if the response does not have it.
    body: Option<StoredBody>,
}

impl From<Response> for Selected {
    fn from(response: Response) -> Self {
        Selected { response, body: None }
    }
}

impl Selected {
    /// 200 or 206 with the ranges of a variant, or 416.
    fn of(variant: &Variant, media_type: &'static str, ranges: Ranges) -> Selected {
        let len = variant.content.len();
        let is_encoded = variant.coding != ContentCoding::Identity;
        let selected = match ranges {
            // `Content-Encoding` would be said of the parts' envelope, which is not encoded, and clients know no place for
            // it inside. RFC 9110 section 14.2: a server may ignore ranges.
            Ranges::Parts(parts) if is_encoded && parts.len() > 1 => {
                Selected::whole(variant, media_type)
            }
            Ranges::Whole => Selected::whole(variant, media_type),
            Ranges::Unsatisfiable => {
                // RFC 9110 section 15.5.17: tell the length there is.
                let content_range = alloc::format!("bytes */{len}");
                let refusal = Response::plain(Status::RANGE_NOT_SATISFIABLE);
                return refusal.with_header("Content-Range", content_range).into();
            }
            Ranges::Parts(parts) => match &*parts {
                [part] => Selected::part(variant, media_type, part).map(|response| {
                    let response = response.with_status(Status::PARTIAL_CONTENT);
                    response.with_header("Content-Range", content_range(part, len))
                }),
                _ => Selected::multipart(variant, media_type, &parts),
            },
        };
        match variant.coding.name() {
            Some(name) => selected.map(|response| response.with_header("Content-Encoding", name)),
            None => selected,
        }
    }

    fn whole(variant: &Variant, media_type: &'static str) -> Selected {
        Selected::part(variant, media_type, &(0..variant.content.len()))
    }

    fn part(variant: &Variant, media_type: &'static str, part: &Range<usize>) -> Selected {
        match variant.content.part(part) {
            Part::Bytes(data) => Response::ok(media_type, data).into(),
            stored => Selected::of_parts(Response::ok(media_type, ""), Vec::from([stored])),
        }
    }

    /// `multipart/byteranges` (RFC 9110 section 14.6).
    fn multipart(variant: &Variant, media_type: &'static str, ranges: &[Range<usize>]) -> Selected {
        // The tag is a hash of the content; content that holds the hash of itself is nobody's accident.
        let boundary = core::str::from_utf8(variant.etag.tag().opaque).unwrap_or("boundary");
        let mut body = Vec::with_capacity(ranges.len() * 2 + 1);
        for range in ranges {
            let place = content_range(range, variant.content.len());
            let head = alloc::format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {place}\r\n\r\n"
            );
            body.push(Part::Bytes(head.into()));
            body.push(variant.content.part(range));
        }
        body.push(Part::Bytes(alloc::format!("\r\n--{boundary}--\r\n").into()));
        let media_type = alloc::format!("multipart/byteranges; boundary={boundary}");
        let response =
            Response::new(Status::PARTIAL_CONTENT).with_header("Content-Type", media_type);
        Selected::of_parts(response, body)
    }

    /// Content of several parts, which is the response's own if all of it is in memory.
    fn of_parts(response: Response, parts: Vec<Part>) -> Selected {
        match StoredBody::new(parts) {
            Ok(body) => Selected { response, body: Some(body) },
            Err(data) => response.carrying(Content::Parts(data)).into(),
        }
    }

    fn map(self, change: impl FnOnce(Response) -> Response) -> Selected {
        Selected { response: change(self.response), ..self }
    }

    /// What is in memory is always the same.
    fn repeatable(self) -> Selected {
        if self.body.is_none() { self.map(Response::repeatable) } else { self }
    }

    fn answer(self, request: &RequestHead) -> Answer {
        match self.body {
            None => Answer::Now(self.response.into()),
            // RFC 9110 section 9.3.2: what is said of the content is the same, and it is not looked at.
            Some(body) if request.method() == Method::Head => {
                Answer::Now(self.response.carrying(body.announced()).into())
            }
            Some(body) => body.answer(self.response),
        }
    }
}

/// `bytes FIRST-LAST/LENGTH` (RFC 9110 section 14.4).
fn content_range(part: &Range<usize>, len: usize) -> String {
    alloc::format!("bytes {}-{}/{len}", part.start, part.end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use flow::task::block_on;

    const NOW: u64 = 1_700_000_000;

    fn site() -> Site {
        let file = |name: &str, content: &'static str| {
            (String::from(name), Variant::new(content), Some(784_111_777))
        };
        let files = [
            file("index.html", "<h1>front</h1>"),
            file("a/index.html", "in a"),
            file("a b.txt", "0123456789"),
            file("app.js", "plain"),
            file("app.js.gz", "zipped"),
            file("app.js.br", "brotli"),
            file(".secret", "no"),
            (String::from("new.bin"), Variant::new("new"), None),
        ];
        Site::new(files, Options::default())
    }

    #[test]
    fn it_has_what_it_answers() {
        for (path, prefix, has) in [
            ("/", "", true),
            ("/a/", "", true),
            ("/a", "", false),
            ("/a%20b.txt", "", true),
            ("/x/app.js", "/x", true),
            ("/app.js", "/x", false),
            ("/../app.js", "", false),
            ("/nothing", "", false),
            ("*", "", false),
        ] {
            assert_eq!(site().has(path.as_bytes(), prefix), has, "{path} under {prefix:?}");
        }
    }

    #[test]
    fn several_ranges_of_an_encoded_variant_are_the_whole() {
        let ask = |encoding: &'static str, range: &'static str| {
            get("/app.js", &[("Accept-Encoding", encoding), ("Range", range)])
        };
        let whole = ask("br", "bytes=0-0,2-3");
        assert_eq!((whole.status(), &*text(&whole)), (Status::OK, "brotli"));
        assert_eq!(header(&whole, "content-encoding"), "br");
        let one = ask("br", "bytes=2-3");
        assert_eq!((one.status(), &*text(&one)), (Status::PARTIAL_CONTENT, "ot"));
        assert_eq!(header(&one, "content-encoding"), "br");
        let plain = ask("identity", "bytes=0-0,2-3");
        assert_eq!(plain.status(), Status::PARTIAL_CONTENT);
        assert!(plain.header("content-encoding").is_none());
    }

    fn get(target: &str, fields: &[(&str, &str)]) -> Response {
        answered(site().answer(&parsed("GET", target, fields), "", NOW))
    }

    fn answered(answer: Answer) -> Response {
        block_on(answer.into_future()).response
    }

    fn text(response: &Response) -> String {
        let bytes: Vec<u8> = match response.content() {
            Content::Full(data) => data.as_bytes().to_vec(),
            Content::Parts(parts) => {
                parts.iter().flat_map(|part| part.as_bytes().to_vec()).collect()
            }
            Content::Empty | Content::Stream(_) => Vec::new(),
        };
        String::from_utf8(bytes).unwrap()
    }

    fn header(response: &Response, name: &str) -> String {
        String::from_utf8(response.header(name).unwrap_or(b"").to_vec()).unwrap()
    }

    #[test]
    fn files_and_directories() {
        for (target, status, content) in [
            ("/", 200, "<h1>front</h1>"),
            ("/index.html", 200, "<h1>front</h1>"),
            ("/a/", 200, "in a"),
            ("/a%20b.txt", 200, "0123456789"),
            ("/new.bin?x", 200, "new"),
            ("/a", 301, "Moved Permanently"),
            ("/b", 404, "Not Found"),
            ("/b/", 404, "Not Found"),
            ("/index.html/", 404, "Not Found"),
            ("/.secret", 404, "Not Found"),
            ("/../index.html", 400, "Bad Request"),
        ] {
            let response = get(target, &[]);
            assert_eq!(
                (response.status().code(), &*text(&response)),
                (status, content),
                "{target}"
            );
        }
        let page = get("/", &[]);
        assert_eq!(page.content_type(), Some("text/html; charset=utf-8"));
        assert_eq!(header(&page, "last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            header(&page, "etag").as_bytes(),
            HashTag::of_content(b"<h1>front</h1>").as_bytes()
        );
        assert_eq!(header(&get("/new.bin", &[]), "last-modified"), "");
    }

    #[test]
    fn redirects_stay_on_this_host() {
        assert_eq!(header(&get("//a?x=1", &[]), "location"), "/a/?x=1");
        let request = parsed("GET", "/files/a", &[]);
        let response = answered(site().answer(&request, "/files", NOW));
        assert_eq!(header(&response, "location"), "/files/a/");
    }

    #[test]
    fn other_methods_are_refused() {
        let response = answered(site().answer(&parsed("POST", "/", &[]), "", NOW));
        assert_eq!(
            (response.status(), &*header(&response, "allow")),
            (Status::METHOD_NOT_ALLOWED, "GET, HEAD")
        );
    }

    #[test]
    fn rfc9110_12_5_3_variants() {
        for (accept, content, coding) in [
            ("gzip", "zipped", "gzip"),
            ("gzip, br", "brotli", "br"),
            ("deflate", "plain", ""),
            ("br;q=0", "plain", ""),
        ] {
            let response = get("/app.js", &[("Accept-Encoding", accept)]);
            assert_eq!(
                (&*text(&response), &*header(&response, "content-encoding")),
                (content, coding),
                "{accept}"
            );
            assert_eq!(header(&response, "vary"), "Accept-Encoding");
            assert_eq!(response.content_type(), Some("text/javascript; charset=utf-8"));
        }
        assert_eq!(header(&get("/app.js", &[]), "vary"), "Accept-Encoding");
        assert_eq!(header(&get("/", &[]), "vary"), "");
        assert_eq!(
            get("/app.js", &[("Accept-Encoding", "identity;q=0, br;q=0, gzip;q=0")]).status(),
            Status::NOT_ACCEPTABLE
        );
        // Each variant has its own tag (RFC 9110 section 8.8.3.3).
        assert_ne!(
            header(&get("/app.js", &[]), "etag"),
            header(&get("/app.js", &[("Accept-Encoding", "br")]), "etag")
        );
    }

    #[test]
    fn rfc9110_15_4_5_not_modified() {
        let etag = header(&get("/", &[]), "etag");
        let response = get("/", &[("If-None-Match", &etag)]);
        assert_eq!((response.status(), text(&response)), (Status::NOT_MODIFIED, String::new()));
        assert_eq!(
            (header(&response, "etag"), &*header(&response, "cache-control")),
            (etag, "no-cache")
        );
        assert_eq!(
            get("/", &[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")]).status(),
            Status::NOT_MODIFIED
        );
        assert_eq!(get("/", &[("If-Match", "\"x\"")]).status(), Status::PRECONDITION_FAILED);
    }

    #[test]
    fn rfc9110_15_3_7_partial_content() {
        let one = get("/a%20b.txt", &[("Range", "bytes=2-4")]);
        assert_eq!(
            (one.status(), &*text(&one), &*header(&one, "content-range")),
            (Status::PARTIAL_CONTENT, "234", "bytes 2-4/10")
        );
        let none = get("/a%20b.txt", &[("Range", "bytes=10-")]);
        assert_eq!(
            (none.status(), &*header(&none, "content-range")),
            (Status::RANGE_NOT_SATISFIABLE, "bytes */10")
        );
        let stale = get("/a%20b.txt", &[("Range", "bytes=2-4"), ("If-Range", "\"x\"")]);
        assert_eq!((stale.status(), &*text(&stale)), (Status::OK, "0123456789"));
        let head = parsed("HEAD", "/a%20b.txt", &[("Range", "bytes=2-4")]);
        let head = answered(site().answer(&head, "", NOW));
        assert_eq!(head.status(), Status::OK);
        let many = "0-0,".repeat(20) + "1-1";
        assert_eq!(
            get("/a%20b.txt", &[("Range", &(String::from("bytes=") + &many))]).status(),
            Status::OK
        );
    }

    #[test]
    fn rfc9110_14_6_multipart() {
        let several = get("/a%20b.txt", &[("Range", "bytes=0-1,-1")]);
        let content_type = header(&several, "content-type");
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let expected = alloc::format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 9-9/10\r\n\r\n9\
             \r\n--{boundary}--\r\n"
        );
        assert_eq!((several.status(), text(&several)), (Status::PARTIAL_CONTENT, expected));
    }
}
