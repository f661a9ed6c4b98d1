//! Stored content: of files that are not in memory, and are read while they are sent.

use crate::{Answer, Content, ContentWriter, Data, Reply, Response, Status};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::pin::Pin;

/// Where the content of a file is that is not in memory. It does not change.
pub trait Stored {
    /// Bytes in all.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What lies from `range.start` on, if it can be had without waiting: at least one byte, and at most the range.
    fn at_hand(&self, range: Range<usize>) -> Option<Data>;

    /// The same, with the wait for it.
    fn read(&self, range: Range<usize>) -> Reading;

    /// It will be read soon.
    fn read_ahead(&self, range: Range<usize>);
}

/// Stored content, of which a build without it has none: then what is done with it is not compiled.
#[cfg(feature = "stored-files")]
pub(super) type StoredContent = alloc::rc::Rc<dyn Stored>;
#[cfg(not(feature = "stored-files"))]
pub(super) use absent::StoredContent;

/// The longest content that is given as a whole, if it is at hand: some pages of a disk.
const AT_HAND_BYTES_MAX: usize = 256 << 10;

/// What comes of reading.
pub type Reading = Pin<Box<dyn Future<Output = Result<Data, Unreadable>>>>;

/// Why stored content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It can be later: 503.
    Busy,
    /// It cannot be: 500.
    Failed,
}

/// What follows a response's head: bytes that are there, and bytes that are to be read.
pub(super) enum Part {
    Bytes(Data),
    Stored(StoredContent, Range<usize>),
}

/// Content of which at least one part is stored.
pub(super) struct StoredBody {
    parts: Vec<Part>,
    /// The first of these that is stored.
    first: (StoredContent, Range<usize>),
}

impl StoredBody {
    /// The body of these parts; the parts again if all of them are in memory.
    pub(super) fn new(parts: Vec<Part>) -> Result<Self, Vec<Data>> {
        let first = parts.iter().find_map(|part| match part {
            Part::Stored(content, range) => Some((content.clone(), range.clone())),
            Part::Bytes(_) => None,
        });
        match first {
            Some(first) => Ok(Self { parts, first }),
            None => Err(parts.into_iter().filter_map(Part::into_bytes).collect()),
        }
    }

    /// What is said of it beforehand: how long it is.
    pub(super) fn announced(&self) -> Content {
        Content::Stream(Some(self.parts.iter().map(|part| part.len() as u64).sum()))
    }

    /// The answer with this content, of which the response says all but how it begins. If that cannot be read, an error is
    /// the answer; if what follows cannot, the connection is cut.
    pub(super) fn answer(self, response: Response) -> Answer {
        if let Some(content) = self.all_at_hand() {
            return Answer::Now(response.carrying(content).into());
        }
        Answer::Later(Box::pin(async move {
            let (content, range) = &self.first;
            let first = match content.read(range.clone()).await {
                Ok(first) => first,
                Err(error) => return refusal(error).into(),
            };
            let response = response.carrying(self.announced());
            Reply::stream(response, |writer| send(writer, self.parts, Some(first)))
        }))
    }

    /// The content, if it is one part that can be had at once, and not so long that it should not be held until it is sent.
    fn all_at_hand(&self) -> Option<Content> {
        let [Part::Stored(content, range)] = &*self.parts else { return None };
        if range.is_empty() {
            return Some(Content::Empty);
        }
        if range.len() > AT_HAND_BYTES_MAX {
            return None;
        }
        let first = content.at_hand(range.clone())?;
        if first.len() == range.len() {
            return Some(Content::Full(first));
        }
        let mut rest = range.start + first.len()..range.end;
        let mut pieces = Vec::from([first]);
        while !rest.is_empty() {
            let piece = content.at_hand(rest.clone()).filter(|piece| !piece.is_empty())?;
            rest.start += piece.len();
            pieces.push(piece);
        }
        Some(Content::Parts(pieces))
    }
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(data) => data.len(),
            Self::Stored(_, range) => range.len(),
        }
    }

    fn into_bytes(self) -> Option<Data> {
        match self {
            Self::Bytes(data) => Some(data),
            Self::Stored(..) => None,
        }
    }
}

fn refusal(error: Unreadable) -> Response {
    match error {
        Unreadable::Busy => {
            Response::plain(Status::SERVICE_UNAVAILABLE).with_header("Retry-After", "1")
        }
        Unreadable::Failed => Response::plain(Status::INTERNAL_SERVER_ERROR),
    }
}

/// Writes the parts; `first` is what the first stored one begins with.
async fn send(mut writer: ContentWriter, parts: Vec<Part>, mut first: Option<Data>) {
    for part in parts {
        let (content, mut range) = match part {
            Part::Bytes(data) => {
                writer.write(data).await;
                continue;
            }
            Part::Stored(content, range) => (content, range),
        };
        let mut ahead = Ahead::default();
        while !range.is_empty() {
            ahead.look(&*content, range.clone());
            let read = match (first.take(), content.at_hand(range.clone())) {
                (Some(first), _) => Ok(first),
                (None, Some(data)) => Ok(data),
                (None, None) => content.read(range.clone()).await,
            };
            match read {
                Ok(data) if !data.is_empty() && data.len() <= range.len() => {
                    range.start += data.len();
                    writer.write(data).await;
                }
                // The head is on its way: what follows is not to be taken for the rest.
                _ => return writer.abandon(),
            }
        }
    }
}

/// Read-ahead: the longer somebody reads on, the more is read before it is wanted.
#[derive(Default)]
struct Ahead {
    window_bytes: usize,
    /// Up to where it has been asked for.
    end: usize,
}

impl Ahead {
    const BYTES_MIN: usize = 64 << 10;
    const BYTES_MAX: usize = 512 << 10;

    fn look(&mut self, content: &dyn Stored, wanted: Range<usize>) {
        if self.window_bytes > 0 && wanted.start + self.window_bytes / 2 < self.end {
            return;
        }
        self.window_bytes = (2 * self.window_bytes).clamp(Self::BYTES_MIN, Self::BYTES_MAX);
        let end = wanted.end.min(wanted.start + 2 * self.window_bytes);
        let start = self.end.max(wanted.start);
        if start < end {
            content.read_ahead(start..end);
            self.end = end;
        }
    }
}

/// What stands in for stored content in a build without it: nothing is one.
#[cfg(not(feature = "stored-files"))]
mod absent {
    use super::Stored;
    use core::ops::Deref;

    #[derive(Clone)]
    pub(in crate::files) enum StoredContent {}

    impl Deref for StoredContent {
        type Target = dyn Stored;

        fn deref(&self) -> &Self::Target {
            match *self {}
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "it cannot be read now",
            Self::Failed => "it cannot be read",
        })
    }
}

impl core::error::Error for Unreadable {}

#[cfg(all(test, feature = "stored-files"))]
mod tests {
    use super::*;
    use crate::files::{Options, Site, Variant};
    use crate::request::parsed;
    use crate::testing::{self, Seen};
    use crate::{Handler, Request};
    use alloc::rc::Rc;
    use alloc::string::String;
    use core::cell::{Cell, RefCell};
    use flow::task::block_on;

    const PIECE_BYTES: usize = 64 << 10;
    const LEN: usize = 5 * PIECE_BYTES + 3;

    /// Content that comes in pieces.
    #[derive(Default)]
    struct Disk {
        /// It is there without waiting.
        is_warm: bool,
        /// From where on it cannot be read, and why.
        fault: Option<(usize, Unreadable)>,
        /// It gives nothing, as if it were at its end.
        is_short: bool,
        reads: Cell<usize>,
        ahead: RefCell<Vec<Range<usize>>>,
    }

    impl Disk {
        fn data(&self, range: &Range<usize>) -> Data {
            let piece_end = (range.start / PIECE_BYTES + 1) * PIECE_BYTES;
            let end = if self.is_short { range.start } else { range.end.min(piece_end) };
            Data::from(content(range.start..end))
        }
    }

    impl Stored for Disk {
        fn len(&self) -> usize {
            LEN
        }

        fn at_hand(&self, range: Range<usize>) -> Option<Data> {
            self.is_warm.then(|| self.data(&range))
        }

        fn read(&self, range: Range<usize>) -> Reading {
            self.reads.set(self.reads.get() + 1);
            let outcome = match self.fault {
                Some((from, error)) if range.start >= from => Err(error),
                _ => Ok(self.data(&range)),
            };
            Box::pin(async { outcome })
        }

        fn read_ahead(&self, range: Range<usize>) {
            self.ahead.borrow_mut().push(range);
        }
    }

    fn content(range: Range<usize>) -> Vec<u8> {
        range.map(|at| (at / 7) as u8).collect()
    }

    struct Files(Site);

    impl Handler for Files {
        fn answer(&self, request: Request) -> Answer {
            self.0.answer(&request, "", 0)
        }
    }

    fn files(disk: &Rc<Disk>) -> Files {
        let variant = Variant::stored(disk.clone(), 0x123);
        let file = (String::from("long.bin"), variant, Some(784_111_777));
        Files(Site::new([file], Options::default()))
    }

    fn get(disk: &Rc<Disk>, range: &str) -> Seen {
        testing::get("/long.bin").header("Range", range).ask(&files(disk))
    }

    /// What the response says of its content before anything of it is taken.
    fn announced(disk: &Rc<Disk>, method: &str, fields: &[(&str, &str)]) -> Content {
        let answer = files(disk).0.answer(&parsed(method, "/long.bin", fields), "", 0);
        block_on(answer.into_future()).response.take_content()
    }

    #[test]
    fn a_long_file_is_streamed_under_its_length() {
        let disk = Rc::new(Disk::default());
        let seen = testing::get("/long.bin").ask(&files(&disk));
        assert_eq!((seen.status(), seen.is_cut()), (Status::OK, false));
        assert_eq!(disk.reads.get(), 6, "each piece once");
        assert_eq!(announced(&disk, "GET", &[]).length(), Some(LEN as u64));
        assert_eq!(seen.header("etag"), Some("\"0000000000000123\""));
        assert_eq!(seen.header("last-modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(seen.content() == content(0..LEN));
        assert!(!seen.response().is_repeatable());
    }

    #[test]
    fn what_is_asked_of_the_head_alone_reads_nothing() {
        let disk = Rc::new(Disk::default());
        assert_eq!(announced(&disk, "HEAD", &[]).length(), Some(LEN as u64));
        let same = testing::get("/long.bin").header("If-None-Match", "\"0000000000000123\"");
        assert_eq!(same.ask(&files(&disk)).status(), Status::NOT_MODIFIED);
        assert_eq!(get(&disk, "bytes=999999-").status(), Status::RANGE_NOT_SATISFIABLE);
        assert_eq!((disk.reads.get(), disk.ahead.borrow().len()), (0, 0));
    }

    #[test]
    fn ranges_are_read_where_they_are() {
        let disk = Rc::new(Disk::default());
        let one = get(&disk, "bytes=65535-65537");
        assert_eq!(one.status(), Status::PARTIAL_CONTENT);
        assert_eq!(one.header("content-range"), Some("bytes 65535-65537/327683"));
        assert_eq!(one.content(), content(65_535..65_538));
        assert_eq!(disk.reads.get(), 2);
        let several = get(&disk, "bytes=0-9,-3");
        let text = several.content();
        assert!(text.windows(10).any(|part| part == content(0..10)));
        assert!(text.windows(3).any(|part| part == content(LEN - 3..LEN)));
        assert_eq!((disk.reads.get(), several.is_cut()), (4, false));
        let length = announced(&disk, "GET", &[("Range", "bytes=0-9,-3")]).length();
        assert_eq!(length, Some(text.len() as u64));
    }

    #[test]
    fn what_is_at_hand_is_answered_at_once() {
        let disk = Rc::new(Disk { is_warm: true, ..Disk::default() });
        let now = announced(&disk, "GET", &[("Range", "bytes=10-19")]);
        assert!(matches!(now, Content::Full(data) if data.as_bytes() == content(10..20)));
        let now = announced(&disk, "GET", &[("Range", "bytes=65000-140000")]);
        let Content::Parts(parts) = now else { panic!("three pieces") };
        let parts: Vec<u8> = parts.iter().flat_map(|part| part.as_bytes().to_vec()).collect();
        assert!(parts == content(65_000..140_001));
        let whole = testing::get("/long.bin").ask(&files(&disk));
        assert!(whole.content() == content(0..LEN));
    }

    #[test]
    fn an_error_at_the_start_is_the_answer() {
        for (error, status) in [
            (Unreadable::Failed, Status::INTERNAL_SERVER_ERROR),
            (Unreadable::Busy, Status::SERVICE_UNAVAILABLE),
        ] {
            let disk = Rc::new(Disk { fault: Some((0, error)), ..Disk::default() });
            let seen = testing::get("/long.bin").ask(&files(&disk));
            assert_eq!((seen.status(), seen.is_cut()), (status, false));
            assert_eq!(seen.header("etag"), None, "an error is not the file");
            assert_eq!(seen.header("retry-after").is_some(), error == Unreadable::Busy);
        }
    }

    #[test]
    fn an_error_later_cuts_the_answer() {
        let fault = Some((2 * PIECE_BYTES, Unreadable::Failed));
        let failing = Rc::new(Disk { fault, ..Disk::default() });
        let seen = testing::get("/long.bin").ask(&files(&failing));
        assert_eq!((seen.status(), seen.is_cut()), (Status::OK, true));
        assert!(seen.content() == content(0..2 * PIECE_BYTES));
        let short = Rc::new(Disk { is_short: true, ..Disk::default() });
        assert!(testing::get("/long.bin").ask(&files(&short)).is_cut());
    }

    /// The disk is asked for what comes next before it is wanted, once for each byte, and never beyond the range.
    #[test]
    fn who_reads_on_is_read_ahead_for() {
        let disk = Rc::new(Disk::default());
        get(&disk, "bytes=100-300000");
        let ahead = disk.ahead.take();
        assert_eq!(ahead.first().map(|range| range.start), Some(100));
        assert!(ahead.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(ahead.last().map(|range| range.end), Some(300_001));
        assert!(ahead[0].len() < ahead.iter().map(Range::len).sum(), "little at first");
    }
}
