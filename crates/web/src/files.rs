//! Static files (RFC 9110): answers to GET and HEAD from a tree of files.
#![cfg_attr(
    not(feature = "stored-files"),
    allow(dead_code, unreachable_code, unused_variables, reason = "no content is stored")
)]

mod accept;
pub mod conditional;
pub mod encoding;
pub mod etag;
mod file;
mod listing;
mod making;
mod name;
pub mod range;
pub mod redirects;
pub mod rules;
mod selected;
mod stored;

use crate::{Answer, Data, Method, RequestHead, Response, Status, media_type, percent};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Bound, Range};
use encoding::ContentCoding;
use etag::{ContentHash, HashTag};
use flow::task::Slices;
use listing::Listing;
use name::{PathError, normalise};
use redirects::{Redirects, Target};
use rules::FieldRule;
use selected::Selected;
use stored::{Part, StoredContent};

pub use accept::{prefers_page, wants_page};
pub use stored::{Reading, Stored, Unreadable};

/// The path of a request as patterns of [rules] see it: decoded, in normal form. One that is no file's, as malformed and
/// hidden ones are, has a normal form, too: others may answer it, and errors are for paths as well.
pub fn normal_path(path: &[u8]) -> String {
    if let Ok(name) = normalise(path) {
        return format!("/{name}");
    }
    let decoded = percent::decode_leniently(path);
    let text = String::from_utf8_lossy(&decoded);
    let mut segments = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            _ => segments.push(segment),
        }
    }
    let is_directory = text.ends_with('/') && !segments.is_empty();
    format!("/{}{}", segments.join("/"), if is_directory { "/" } else { "" })
}

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

    /// The same, while others have their turn: a file is a unit of that work, and as much is [`HASHED_BYTES`](Self::HASHED_BYTES)
    /// of content.
    pub async fn new_in_slices(content: impl Into<Data>, slices: &mut Slices) -> Variant {
        let content = content.into();
        let mut hash = ContentHash::default();
        for part in content.as_bytes().chunks(Self::HASHED_BYTES) {
            hash.update(part);
            slices.done(1).await;
        }
        Variant::with_tag(content, hash.tag())
    }

    /// Bytes of content of which a hash takes as long as the rest of a small file.
    pub const HASHED_BYTES: usize = 2 << 10;

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
    /// Whether `about.html` answers for `/about`. Default no.
    pub clean_urls: CleanUrls,
    /// The file that answers, with 200, for what is not there, where a page is asked for: of an application that has its own
    /// routes. Default none.
    pub fallback: Option<Rc<str>>,
    /// Whether a directory without an index is listed. Default no: 404.
    pub listing: bool,
    /// The directory of pages for errors, as `404.html` and `5xx.html`. Default `errors`.
    pub errors: Rc<str>,
    /// Media types by extension, in lower case; before those that are [known](media_type::of_name). Default none.
    pub media_types: Rc<[(String, &'static str)]>,
    /// Fields that answers get and lose, by path: what a later rule says is in force. Default none.
    pub rules: Rc<[FieldRule]>,
    /// What is elsewhere. Default nothing.
    pub redirects: Rc<Redirects>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            index: "index.html",
            cache_control: Some("no-cache"),
            ranges_max: 16,
            clean_urls: CleanUrls::Off,
            fallback: None,
            listing: false,
            errors: "errors".into(),
            media_types: Rc::new([]),
            rules: Rc::new([]),
            redirects: Rc::default(),
        }
    }
}

impl Options {
    fn media_type(&self, name: &str) -> &'static str {
        let extension = || Some(name.rsplit('/').next()?.rsplit_once('.')?.1);
        if !self.media_types.is_empty()
            && let Some(extension) = extension()
            && let Some((_, own)) =
                self.media_types.iter().find(|(own, _)| own.eq_ignore_ascii_case(extension))
        {
            return own;
        }
        media_type::of_name(name)
    }
}

/// Paths without the extension of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUrls {
    /// `/about` is nothing unless there is a file of that name.
    Off,
    /// `/about` is answered with `about.html`, and `/about.html` is, too.
    Answer,
    /// `/about` is answered with `about.html`, and `/about.html` is sent there, as `/docs/index.html` is to `/docs/`.
    Redirect,
}

/// The extension that clean paths lack.
const PAGE_SUFFIX: &str = ".html";

/// A tree of files, in memory or [elsewhere](Stored), which answers GET and HEAD. What it answers from memory does not
/// change, so most of it is [repeatable](Response::repeatable).
///
/// `page.html.gz`, `page.html.br` and `page.html.zst` become variants of `page.html`, and stay files of their own as
/// well. The file [`_redirects`](redirects) is not served.
#[derive(Debug, Default)]
pub struct Site {
    /// By name: segments joined by slashes, none first. A directory with an index is there too, by
    /// its name with a slash at the end.
    entries: BTreeMap<String, Rc<File>>,
    options: Options,
    files: usize,
    has_error_pages: bool,
}

/// A file with the variants it was compressed to beforehand.
#[derive(Clone, Debug)]
struct File {
    name: Rc<str>,
    identity: Variant,
    gzip: Option<Variant>,
    brotli: Option<Variant>,
    zstd: Option<Variant>,
    modified: Option<u64>,
    media_type: &'static str,
}

impl Site {
    /// The name for which a file answers beside its own: its directory's, if it is the index, or its own without extension.
    fn other_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        if let Some(directory) = name.strip_suffix(self.options.index)
            && (directory.is_empty() || directory.ends_with('/'))
        {
            return Some(directory);
        }
        let clean =
            name.strip_suffix(PAGE_SUFFIX).filter(|own| !own.is_empty() && !own.ends_with('/'));
        clean.filter(|_| self.options.clean_urls != CleanUrls::Off)
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files
    }

    /// Whether it has no files.
    pub fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// The site's own page for an error at this path: `404.html` or `4xx.html` of the [directory](Options::errors) of such
    /// pages, and for 404 that of the root. It is for who [asks for pages](wants_page).
    pub fn error_page(&self, status: Status, path: &[u8], is_head: bool) -> Option<Answer> {
        let file = self.page_for(status)?;
        Some(self.ruled(path, "", file.with_status(status)).answer(is_head))
    }

    /// Whether there is one for this status.
    pub fn has_page_for(&self, status: Status) -> bool {
        self.page_for(status).is_some()
    }

    fn page_for(&self, status: Status) -> Option<&Rc<File>> {
        if !self.has_error_pages {
            return None;
        }
        let (errors, code) = (&self.options.errors, status.code());
        let in_directory = [
            format!("{errors}/{code}{PAGE_SUFFIX}"),
            format!("{errors}/{}xx{PAGE_SUFFIX}", code / 100),
        ];
        let in_root = Some(format!("{code}{PAGE_SUFFIX}")).filter(|_| status == Status::NOT_FOUND);
        let names = in_directory.into_iter().filter(|_| !errors.is_empty()).chain(in_root);
        names.into_iter().find_map(|name| self.entries.get(&name))
    }

    /// Whether a file, or a directory's index, answers for this path of a request; `prefix` as in [`answer`](Self::answer).
    pub fn has(&self, path: &[u8], prefix: &str) -> bool {
        let name = path.strip_prefix(prefix.as_bytes()).and_then(|path| normalise(path).ok());
        name.is_some_and(|name| self.entries.contains_key(&*name))
    }

    /// The name of the file that answers a request, if one does: by its path, by a redirect that rewrites it, or as the fallback.
    /// `prefix` as in [`answer`](Self::answer).
    pub fn name_of_answer(&self, request: &RequestHead, prefix: &str) -> Option<Rc<str>> {
        let path = request.path().strip_prefix(prefix.as_bytes())?;
        let name = normalise(path).ok()?;
        let rewritten =
            |is_forced| match self.options.redirects.find(&name, request.query(), is_forced)? {
                Target::File(_, path) => self.file_at(&path),
                Target::Moved(..) => None,
            };
        let forced = if self.options.redirects.has_forced() { rewritten(true) } else { None };
        let fallback = || self.entries.get(&**self.options.fallback.as_ref()?);
        let file = forced.or_else(|| self.entries.get(&*name)).or_else(|| rewritten(false));
        file.or_else(fallback).map(|file| file.name.clone())
    }

    /// The file at a path that a redirect says.
    fn file_at(&self, path: &str) -> Option<&Rc<File>> {
        let path = path.split(['?', '#']).next().unwrap_or("");
        self.entries.get(&*normalise(path.as_bytes()).ok()?)
    }

    /// Answers GET and HEAD for the request's path; `prefix` is the part of it that is not the
    /// tree's.
    pub fn answer(&self, request: &RequestHead, prefix: &str, now_unix_seconds: u64) -> Answer {
        let is_head = request.method() == Method::Head;
        self.select(request, prefix, now_unix_seconds).answer(is_head)
    }

    fn select(&self, request: &RequestHead, prefix: &str, now_unix_seconds: u64) -> Selected {
        let refused = |refusal: Response| self.ruled(request.path(), prefix, refusal.into());
        if !matches!(request.method(), Method::Get | Method::Head) {
            let refusal = Response::plain(Status::METHOD_NOT_ALLOWED);
            return refused(refusal.with_header("Allow", "GET, HEAD"));
        }
        let Some(path) = request.path().strip_prefix(prefix.as_bytes()) else {
            return refused(Response::plain(Status::NOT_FOUND));
        };
        let name = match normalise(path) {
            Ok(name) => name,
            Err(PathError::Malformed) => return refused(Response::plain(Status::BAD_REQUEST)),
            Err(PathError::Hidden) => return refused(Response::plain(Status::NOT_FOUND)),
        };
        let forced = self
            .options
            .redirects
            .has_forced()
            .then(|| self.redirected(request, &name, true, now_unix_seconds));
        if let Some(selected) = forced.flatten() {
            return self.ruled(request.path(), prefix, selected);
        }
        match self.entries.get(&*name) {
            Some(file) => match self.clean_name(&name) {
                Some(clean) => {
                    let moved = redirect(prefix, clean, request.query()).repeatable().into();
                    self.ruled(request.path(), prefix, moved)
                }
                None => {
                    let selected = file.answer(request, now_unix_seconds, &self.options);
                    match rules::is_kept(selected.response.status()) {
                        true => selected,
                        false => self.ruled(request.path(), prefix, selected),
                    }
                }
            },
            None => {
                let selected = self.absent(request, prefix, &name, now_unix_seconds);
                self.ruled(request.path(), prefix, selected)
            }
        }
    }

    /// The name at which a file is to be asked for, if that is not its own.
    fn clean_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.options.clean_urls != CleanUrls::Redirect {
            return None;
        }
        let clean = self.other_name(name)?;
        // Where there is a file of that name it is another one.
        let tag = |name: &str| self.entries.get(name).map(|file| file.identity.etag);
        (tag(clean) == tag(name)).then_some(clean)
    }

    /// Answers for a name that no file has.
    fn absent(&self, request: &RequestHead, prefix: &str, name: &str, now: u64) -> Selected {
        let is_directory = name.is_empty() || name.ends_with('/');
        let directory =
            if is_directory { Cow::Borrowed(name) } else { Cow::Owned(format!("{name}/")) };
        let is_listed = self.options.listing && self.has_below(&directory);
        if !is_directory && (is_listed || self.entries.contains_key(&*directory)) {
            return redirect(prefix, &directory, request.query()).repeatable().into();
        }
        let clean = name.strip_suffix('/').filter(|clean| self.is_clean(clean));
        if let Some(clean) = clean {
            return redirect(prefix, clean, request.query()).repeatable().into();
        }
        if let Some(selected) = self.redirected(request, name, false, now) {
            return selected;
        }
        if is_listed {
            return self.list(request, prefix, name).repeatable().into();
        }
        if let Some(file) =
            self.options.fallback.as_ref().and_then(|name| self.entries.get(&**name))
        {
            let selected = match wants_page(request) {
                true => file.answer(request, now, &self.options),
                false => Response::plain(Status::NOT_FOUND).into(),
            };
            return selected.map(|response| response.varying_by("Accept"));
        }
        Response::plain(Status::NOT_FOUND).into()
    }

    /// Whether a page answers for this name without its extension.
    fn is_clean(&self, name: &str) -> bool {
        self.options.clean_urls != CleanUrls::Off && !name.is_empty() && {
            let page = String::from(name) + PAGE_SUFFIX;
            self.entries.contains_key(name) && self.entries.contains_key(&page)
        }
    }

    /// The answer by the file of redirects.
    fn redirected(
        &self,
        request: &RequestHead,
        name: &str,
        is_forced: bool,
        now: u64,
    ) -> Option<Selected> {
        match self.options.redirects.find(name, request.query(), is_forced)? {
            Target::Moved(status, location) => {
                let response = Response::plain(status).with_header("Location", location);
                Some(response.repeatable().into())
            }
            Target::File(status, path) => {
                let file = self.file_at(&path)?;
                Some(match status {
                    Status::OK => file.answer(request, now, &self.options),
                    status => file.with_status(status).repeatable(),
                })
            }
        }
    }

    /// Those from this name on.
    fn from<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a String, &'a Rc<File>)> {
        self.entries.range::<str, _>((Bound::Included(name), Bound::Unbounded))
    }

    /// Whether there is a file below a directory, which is "" or ends with a slash.
    fn has_below(&self, directory: &str) -> bool {
        let mut names = self.from(directory).map(|(name, _)| name);
        names.find(|name| **name != directory).is_some_and(|name| name.starts_with(directory))
    }

    fn list(&self, request: &RequestHead, prefix: &str, directory: &str) -> Response {
        let mut listing = Listing::default();
        for (name, file) in self.from(directory) {
            let Some(below) = name.strip_prefix(directory) else { break };
            if !self.is_other(name) {
                listing.add(below, file.identity.content.len(), file.modified);
            }
        }
        let response =
            if accept::weight(request, "application/json") > accept::weight(request, "text/html") {
                listing.json(request)
            } else {
                listing.page(&format!("{prefix}/{directory}"), request)
            };
        response.varying_by("Accept")
    }

    /// Whether a name is no file's own: a directory's, a page's without extension, or that of a variant.
    fn is_other(&self, name: &str) -> bool {
        let is_variant = [".gz", ".br", ".zst"].iter().any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|own| self.entries.contains_key(own))
        });
        is_variant || name.is_empty() || name.ends_with('/') || self.is_clean(name)
    }

    /// What is no file's answer as the rules for its path leave it; a file's has their fields already.
    fn ruled(&self, path: &[u8], prefix: &str, selected: Selected) -> Selected {
        if self.options.rules.is_empty() {
            return selected;
        }
        let path = path.strip_prefix(prefix.as_bytes()).unwrap_or(path);
        selected.map(|response| self.with_rules(path, response))
    }

    /// A response that no file gives as the rules for its path leave it, as an error of somebody before the files. What is
    /// done already may be done again.
    #[must_use]
    pub fn with_rules(&self, path: &[u8], response: Response) -> Response {
        if self.options.rules.is_empty() {
            return response;
        }
        let path = normal_path(path);
        // Rules for a file are for its errors, whichever path leads to it.
        let file = path.strip_prefix('/').and_then(|name| self.entries.get(name));
        let file = file.map_or_else(|| path.clone(), |file| format!("/{}", file.name));
        rules::applied(&self.options.rules, &[&path, &file], response)
    }
}

/// Links in a directory's index are relative to the directory, so its URI must end with a slash.
/// A page without its extension has no slash there.
fn redirect(prefix: &str, name: &str, query: Option<&[u8]>) -> Response {
    // Built from the normal form, which has no empty segment that a client could take for a host.
    let mut location = String::from(prefix).into_bytes();
    location.push(b'/');
    location.extend_from_slice(percent::encode(name).as_bytes());
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Response::plain(Status::MOVED_PERMANENTLY).with_header("Location", location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
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
            file("app.js.zst", "zstandard"),
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

    /// Asks a site of small files, in the way of who wants pages.
    fn asked(options: &Options, names: &[&'static str], target: &str) -> Response {
        let files = names.iter().map(|name| (String::from(*name), Variant::new(*name), None));
        let site = Site::new(files, options.clone());
        answered(site.answer(&parsed("GET", target, &[("Accept", "text/html,*/*;q=0.8")]), "", NOW))
    }

    /// The status, and where to or what.
    fn seen(options: &Options, names: &[&'static str], target: &str) -> (u16, String) {
        let response = asked(options, names, target);
        let shown = match response.header("location") {
            Some(location) => String::from_utf8_lossy(location).into_owned(),
            None => text(&response),
        };
        (response.status().code(), shown)
    }

    #[test]
    fn clean_urls() {
        let names = [
            "index.html",
            "about.html",
            "docs/index.html",
            "both",
            "both.html",
            "a.html",
            "a/x.html",
        ];
        let with = |clean_urls| Options { clean_urls, ..Options::default() };
        for (target, off, answer, redirect) in [
            ("/about", (404, "Not Found"), (200, "about.html"), (200, "about.html")),
            ("/about.html", (200, "about.html"), (200, "about.html"), (301, "/about")),
            ("/about/", (404, "Not Found"), (301, "/about"), (301, "/about")),
            ("/about.html?q=1", (200, "about.html"), (200, "about.html"), (301, "/about?q=1")),
            ("/", (200, "index.html"), (200, "index.html"), (200, "index.html")),
            ("/index.html", (200, "index.html"), (200, "index.html"), (301, "/")),
            ("/docs", (301, "/docs/"), (301, "/docs/"), (301, "/docs/")),
            (
                "/docs/index.html",
                (200, "docs/index.html"),
                (200, "docs/index.html"),
                (301, "/docs/"),
            ),
            ("/both", (200, "both"), (200, "both"), (200, "both")),
            ("/both.html", (200, "both.html"), (200, "both.html"), (200, "both.html")),
            ("/a", (404, "Not Found"), (200, "a.html"), (200, "a.html")),
            ("/a/x", (404, "Not Found"), (200, "a/x.html"), (200, "a/x.html")),
        ] {
            for (clean_urls, expected) in [
                (CleanUrls::Off, off),
                (CleanUrls::Answer, answer),
                (CleanUrls::Redirect, redirect),
            ] {
                let seen = seen(&with(clean_urls), &names, target);
                assert_eq!((seen.0, &*seen.1), expected, "{target} {clean_urls:?}");
            }
        }
    }

    #[test]
    fn a_fallback_is_for_pages_only() {
        let options = Options { fallback: Some("index.html".into()), ..Options::default() };
        let names = ["index.html", "a.js"];
        assert_eq!(seen(&options, &names, "/any/route?x"), (200, String::from("index.html")));
        let page = asked(&options, &names, "/any");
        assert_eq!(header(&page, "vary"), "Accept");
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, options.clone());
        for accept in ["*/*", "image/png", "text/html;q=0"] {
            let answer = site.answer(&parsed("GET", "/missing.js", &[("Accept", accept)]), "", NOW);
            assert_eq!(answered(answer).status(), Status::NOT_FOUND, "{accept}");
        }
        assert_eq!(seen(&options, &["a.js"], "/any"), (404, String::from("Not Found")));
    }

    #[test]
    fn redirects_and_rewrites() {
        let rules = "/old /new 302\n/here /there.html 200\n/gone /gone.html 410\n/here.html /x\n/forced.html /y 301!\n\
                     /up/* /files/:splat 200\n/none /nothing.html 200\n/files/* /blocked 303!\n";
        let redirects = Redirects::parse(rules.as_bytes()).unwrap().into();
        let options = Options { redirects, ..Options::default() };
        let names =
            ["there.html", "gone.html", "here.html", "forced.html", "files/a b", "_redirects"];
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, options.clone());
        let name = |target| site.name_of_answer(&parsed("GET", target, &[]), "");
        for (target, expected) in [
            ("/here", Some("there.html")),
            ("/here.html", Some("here.html")),
            ("/up/a%20b", Some("files/a b")),
            ("/old", None),
            ("/nothing", None),
        ] {
            assert_eq!(name(target).as_deref(), expected, "{target}");
        }
        for (target, status, shown) in [
            ("/old?a", 302, "/new?a"),
            ("/here", 200, "there.html"),
            ("/gone", 410, "gone.html"),
            ("/here.html", 200, "here.html"),
            ("/forced.html", 301, "/y"),
            ("/up/a%20b", 200, "files/a b"),
            ("/up/none", 404, "Not Found"),
            ("/none", 404, "Not Found"),
            ("/files/a%20b", 303, "/blocked"),
            ("/_redirects", 404, "Not Found"),
        ] {
            let seen = seen(&options, &names, target);
            assert_eq!((seen.0, &*seen.1), (status, shown), "{target}");
        }
    }

    #[test]
    fn rules_are_for_every_refusal() {
        let rule = |pattern: &str, name: &str, value: &str| FieldRule {
            pattern: rules::Pattern::new(pattern).unwrap(),
            set: [(String::from(name), String::from(value))].into(),
            removed: Vec::new(),
        };
        let long = "public, max-age=31536000, immutable";
        let rules = [
            rule("/*", "X-All", "1"),
            rule("/*", "Vary", "Origin"),
            rule("/*", "Cache-Control", long),
            rule("*.js", "X-Js", "1"),
        ];
        let options = Options { rules: rules.into(), ..Options::default() };
        let names = ["app.js", "app.js.gz"];
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, options);
        for (method, target, field, status, is_js) in [
            ("GET", "/none", ("X", ""), 404, false),
            ("GET", "/.git/config", ("X", ""), 404, false),
            ("GET", "/../x", ("X", ""), 400, false),
            ("GET", "/a%2fb", ("X", ""), 400, false),
            ("POST", "/app.js", ("X", ""), 405, true),
            ("GET", "/app.js", ("Accept-Encoding", "identity;q=0, *;q=0"), 406, true),
            ("GET", "/app.js", ("If-Match", "\"x\""), 412, true),
            ("GET", "/app.js", ("Range", "bytes=99-"), 416, true),
            ("GET", "/app.js", ("X", ""), 200, true),
            ("HEAD", "/app.js", ("X", ""), 200, true),
        ] {
            let response = answered(site.answer(&parsed(method, target, &[field]), "", NOW));
            let what = format!("{method} {target} {status}");
            assert_eq!(response.status().code(), status, "{what}");
            assert_eq!(header(&response, "x-all"), "1", "{what}");
            assert_eq!(header(&response, "x-js"), if is_js { "1" } else { "" }, "{what}");
            let kept = if status == 200 { long } else { "" };
            assert_eq!(header(&response, "cache-control"), kept, "{what}");
            let again = site.with_rules(target.as_bytes(), response.clone());
            assert_eq!(again.headers().count(), response.headers().count(), "{what}");
        }
    }

    #[test]
    fn patterns_see_a_normal_form_of_every_path() {
        for (path, form) in [
            ("/", "/"),
            ("//a/%62", "/a/b"),
            ("/a/.git/x", "/a/.git/x"),
            ("//a//.git/", "/a/.git/"),
            ("/b/../a/x", "/a/x"),
            ("/..", "/"),
            ("/a%2fb", "/a/b"),
            ("/a/%zz", "/a/%zz"),
            ("*", "/*"),
        ] {
            assert_eq!(normal_path(path.as_bytes()), form, "{path}");
        }
    }

    #[test]
    fn directories_are_listed_if_wanted() {
        let listed = Options { listing: true, ..Options::default() };
        let names = ["index.html", "d/b.txt", "d/b.txt.gz", "d/.x", "d/e/f", "g/.hidden"];
        assert_eq!(seen(&Options::default(), &names, "/d/").0, 404);
        assert_eq!(seen(&listed, &names, "/d"), (301, String::from("/d/")));
        assert_eq!(seen(&listed, &names, "/"), (200, String::from("index.html")));
        assert_eq!(seen(&listed, &names, "/nothing/").0, 404);
        let (status, page) = seen(&listed, &names, "/d/");
        assert_eq!(status, 200);
        assert!(
            page.contains("./b.txt\"")
                && page.contains("./e/\"")
                && page.contains("1 folder, 1 file<"),
            "{page}"
        );
        let response = asked(&listed, &names, "/d/");
        assert!(response.is_repeatable() && header(&response, "vary") == "Accept");
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, listed.clone());
        let json = site.answer(&parsed("GET", "/d/", &[("Accept", "application/json")]), "", NOW);
        assert_eq!(answered(json).content_type(), Some("application/json"));
    }

    #[test]
    fn rules_are_for_all_answers() {
        let rule = |pattern: &str, field: (&str, &str)| FieldRule {
            pattern: rules::Pattern::new(pattern).unwrap(),
            set: [(String::from(field.0), String::from(field.1))].into(),
            removed: Vec::new(),
        };
        let rules = [
            rule("/*", ("X-All", "1")),
            rule("*.html", ("X-Html", "1")),
            rule("/", ("X-Root", "1")),
            rule("/assets/*", ("Cache-Control", "immutable")),
        ];
        let redirects = Redirects::parse(b"/old /new\n/in /assets/a.js 200\n").unwrap().into();
        let options = Options {
            rules: rules.into(),
            clean_urls: CleanUrls::Answer,
            redirects,
            ..Options::default()
        };
        let names = ["index.html", "about.html", "assets/a.js", "errors/404.html"];
        for (target, status, html, root, cache_control) in [
            ("/", 200, "1", "1", "no-cache"),
            ("/index.html", 200, "1", "", "no-cache"),
            ("/about", 200, "1", "", "no-cache"),
            ("/assets/a.js", 200, "", "", "immutable"),
            ("/in", 200, "", "", "immutable"),
            ("/old", 301, "", "", ""),
            ("/none.html", 404, "1", "", ""),
            ("/assets/none", 404, "", "", ""),
        ] {
            let response = asked(&options, &names, target);
            let shown =
                ["X-All", "X-Html", "X-Root", "Cache-Control"].map(|name| header(&response, name));
            let shown = shown.each_ref().map(String::as_str);
            assert_eq!(
                (response.status().code(), shown),
                (status, ["1", html, root, cache_control]),
                "{target}"
            );
        }
        assert!(asked(&options, &names, "/about").is_repeatable());
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, options);
        let page = site.error_page(Status::NOT_FOUND, b"/x", false).unwrap();
        let page = answered(page);
        assert_eq!((&*text(&page), &*header(&page, "x-all")), ("errors/404.html", "1"));
    }

    #[test]
    fn error_pages_are_found_by_status() {
        let names = ["404.html", "errors/403.html", "errors/5xx.html"];
        let files = names.map(|name| (String::from(name), Variant::new(name), None));
        let site = Site::new(files, Options::default());
        for (status, page) in [
            (Status::NOT_FOUND, Some("404.html")),
            (Status::FORBIDDEN, Some("errors/403.html")),
            (Status::BAD_GATEWAY, Some("errors/5xx.html")),
            (Status::GONE, None),
        ] {
            let answer = site.error_page(status, b"/", false).map(answered);
            assert_eq!(answer.as_ref().map(text).as_deref(), page);
            assert!(answer.is_none_or(|answer| answer.status() == status));
        }
    }

    #[test]
    fn own_media_types_go_first() {
        let media_types =
            [(String::from("js"), "text/x-own"), (String::from("glb"), "model/gltf-binary")];
        let options = Options { media_types: media_types.into(), ..Options::default() };
        for (target, expected) in [
            ("/a.js", "text/x-own"),
            ("/a.GLB", "model/gltf-binary"),
            ("/a.css", "text/css; charset=utf-8"),
            ("/js", "application/octet-stream"),
        ] {
            let response = asked(&options, &["a.js", "a.GLB", "a.css", "js"], target);
            assert_eq!(response.content_type(), Some(expected));
        }
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
            ("gzip, zstd", "zstandard", "zstd"),
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
            get("/app.js", &[("Accept-Encoding", "identity;q=0, br;q=0, gzip;q=0, zstd;q=0")])
                .status(),
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
