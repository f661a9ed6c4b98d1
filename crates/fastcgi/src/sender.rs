//! Sender: a response as `FCGI_STDOUT` records, piece by piece into the caller's buffer, and records of other kinds
//! between them.

use crate::record::{CONTENT_BYTES_MAX, Kind, ProtocolStatus, put_end_request, put_header};
use alloc::vec::{self, Vec};
use web::server::OutOfTurn;
use web::{Content, Data, Response, Status};

/// Bytes of one piece of a stream. One is held at a time, so this bounds what waits in a connection.
const STREAM_PIECE_BYTES_MAX: usize = 64 << 10;
/// Content up to this length is copied behind the head, so that both are one record, bytes.
const SHORT_BYTES_MAX: usize = 1024;
/// Memory that is kept for the next response's framing, bytes.
const RETAINED_BYTES_MAX: usize = 4096;

/// Sends one response at a time.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Headers, heads and whole records that go out before any more content.
    framing: Vec<u8>,
    framing_sent: usize,
    /// Bytes of content at its end.
    framed_content: usize,
    /// Records that concern no response: they go out between two others.
    control: Vec<u8>,
    /// Where in `framing` the response began.
    response_at: usize,
    request_id: u16,
    phase: Phase,
    /// Content that is next.
    piece: Data,
    /// Bytes of it that belong to the record whose header is written.
    record_left: usize,
    /// Content after it.
    pieces: vec::IntoIter<Data>,
    /// Somebody writes the content: what of it may still come.
    stream: Option<Stream>,
    app_status: u32,
}

/// A response that may be sent again.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) status: Status,
    /// One record, with its head, and its content if that is short.
    framing: Vec<u8>,
    /// Its content, if long.
    content: Data,
    pub(crate) content_bytes: u64,
}

impl Kept {
    pub(crate) fn held_bytes(&self) -> usize {
        self.framing.capacity()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// There is no response, or all of it is written.
    #[default]
    Idle,
    Content,
    /// All content is written, and `FCGI_END_REQUEST` is on its way.
    Ending,
}

#[derive(Debug)]
struct Stream {
    /// Bytes that the response declared and nobody has given yet.
    left: Option<u64>,
    ended: bool,
}

impl Sender {
    /// Begins a response: its head, and its content if it `has_content`.
    pub(crate) fn start(&mut self, request_id: u16, mut response: Response, has_content: bool) {
        self.request_id = request_id;
        self.phase = Phase::Content;
        self.app_status = 0;
        let content = response.take_content();
        let header_at = self.framing.len();
        self.response_at = header_at;
        put_header(&mut self.framing, Kind::Stdout, request_id, 0);
        put_head(&mut self.framing, &response, &content);
        if has_content {
            self.take_content(content);
        }
        if self.piece.len() <= SHORT_BYTES_MAX {
            self.framing.extend_from_slice(self.piece.as_bytes());
            self.framed_content = self.piece.len();
            self.piece = Data::default();
        }
        self.close_first_record(header_at);
    }

    fn take_content(&mut self, content: Content) {
        match content {
            Content::Empty => {}
            Content::Full(data) => self.piece = data,
            Content::Parts(parts) => self.pieces = parts.into_iter(),
            Content::Stream(left) => self.stream = Some(Stream { left, ended: false }),
        }
    }

    /// Says in the header at `header_at` how long what follows it is; a head that no record holds is cut into several.
    fn close_first_record(&mut self, header_at: usize) {
        let content_at = header_at + crate::record::HEADER_BYTES;
        let content_bytes = self.framing.len() - content_at;
        if let Ok(content_bytes) = u16::try_from(content_bytes) {
            let [high, low] = content_bytes.to_be_bytes();
            self.framing[header_at + 4] = high;
            self.framing[header_at + 5] = low;
            return;
        }
        let text = self.framing.split_off(content_at);
        self.framing.truncate(header_at);
        for part in text.chunks(CONTENT_BYTES_MAX) {
            put_header(&mut self.framing, Kind::Stdout, self.request_id, part.len());
            self.framing.extend_from_slice(part);
        }
    }

    /// What was begun just now, if it may be sent again: its head is short, and its content is short or nobody's alone.
    pub(crate) fn kept(&self, status: Status, content_bytes: u64) -> Option<Kept> {
        let is_one = self.pieces.as_slice().is_empty() && self.stream.is_none();
        if self.framing_sent > 0 || self.framing.len() > RETAINED_BYTES_MAX || !is_one {
            return None;
        }
        let head_at = self.framing.get(self.response_at..)?;
        let content = self.piece.shared()?;
        Some(Kept { status, framing: head_at.into(), content, content_bytes })
    }

    /// Begins a response that was sent before.
    pub(crate) fn repeat(&mut self, request_id: u16, kept: &Kept) {
        self.request_id = request_id;
        self.phase = Phase::Content;
        self.app_status = 0;
        let header_at = self.framing.len();
        self.framing.extend_from_slice(&kept.framing);
        let [id_high, id_low] = request_id.to_be_bytes();
        self.framing[header_at + 2] = id_high;
        self.framing[header_at + 3] = id_low;
        self.piece = kept.content.clone();
    }

    /// Adds a record that concerns no response.
    pub(crate) fn control(&mut self) -> &mut Vec<u8> {
        &mut self.control
    }

    /// Says on `FCGI_STDERR` why a request fails. The text is short.
    pub(crate) fn say_error(&mut self, request_id: u16, text: &str) {
        put_header(&mut self.framing, Kind::Stderr, request_id, text.len());
        self.framing.extend_from_slice(text.as_bytes());
        put_header(&mut self.framing, Kind::Stderr, request_id, 0);
    }

    /// Ends a response, or a request without one, before its time: what is left of a record whose header is written still
    /// goes, and nothing else but the end.
    pub(crate) fn cut(&mut self, request_id: u16, app_status: u32) {
        self.request_id = request_id;
        self.piece = core::mem::take(&mut self.piece).slice(0, self.record_left);
        self.pieces = Vec::new().into_iter();
        self.stream = None;
        self.app_status = app_status;
        if self.phase != Phase::Ending {
            self.phase = Phase::Content;
        }
    }

    /// Whether there is something to write now.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        !self.framing.is_empty()
            || !self.control.is_empty()
            || !self.piece.is_empty()
            || match self.phase {
                Phase::Idle => false,
                Phase::Content => self.stream.as_ref().is_none_or(|stream| stream.ended),
                Phase::Ending => true,
            }
    }

    /// Whether all of the response is written.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it takes pieces, or their end.
    pub(crate) fn is_streaming(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| !stream.ended)
    }

    /// How many bytes of a stream it takes now.
    pub(crate) fn capacity(&self) -> usize {
        if self.is_streaming() && self.piece.is_empty() { STREAM_PIECE_BYTES_MAX } else { 0 }
    }

    /// Takes the next piece of a stream.
    pub(crate) fn push_data(&mut self, data: Data) -> Result<(), OutOfTurn> {
        if self.capacity() == 0 {
            return Err(OutOfTurn);
        }
        let Some(Stream { left, .. }) = &mut self.stream else { return Err(OutOfTurn) };
        if let Some(left) = left {
            *left = left.checked_sub(data.len() as u64).ok_or(OutOfTurn)?;
        }
        self.piece = data;
        Ok(())
    }

    /// Ends a stream.
    pub(crate) fn finish(&mut self) -> Result<(), OutOfTurn> {
        match &mut self.stream {
            Some(Stream { left: None | Some(0), ended: ended @ false }) => {
                *ended = true;
                Ok(())
            }
            _ => Err(OutOfTurn),
        }
    }

    /// Bytes of content that are not written.
    pub(crate) fn untaken_content(&self) -> u64 {
        let framed = self.framed_content.min(self.framing.len() - self.framing_sent);
        (framed + self.piece.len()) as u64
            + self.pieces.as_slice().iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.framing.capacity()
            + self.control.capacity()
            + self.piece.held_bytes()
            + self.pieces.as_slice().iter().map(Data::held_bytes).sum::<usize>()
    }

    /// Bytes of records that concern no response and wait.
    pub(crate) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Writes as much as fits.
    pub(crate) fn write(&mut self, out: &mut [u8], at: &mut usize) {
        while self.flush(out, at) {
            if self.record_left > 0 {
                let record = self.piece.as_bytes().get(..self.record_left).unwrap_or(&[]);
                let count = copy(record, out, at);
                self.piece.advance(count);
                self.record_left -= count;
                if self.record_left > 0 {
                    return;
                }
            }
            if !self.begin_record() {
                return;
            }
        }
    }

    /// At the boundary of two records: puts the next header, or whole record, into `framing`; whether there is one.
    fn begin_record(&mut self) -> bool {
        if !self.control.is_empty() {
            core::mem::swap(&mut self.framing, &mut self.control);
            return true;
        }
        match self.phase {
            Phase::Idle => false,
            Phase::Ending => {
                self.phase = Phase::Idle;
                false
            }
            Phase::Content => self.begin_content(),
        }
    }

    fn begin_content(&mut self) -> bool {
        while self.piece.is_empty() {
            let Some(next) = self.pieces.next() else { break };
            self.piece = next;
        }
        if !self.piece.is_empty() {
            self.record_left = self.piece.len().min(CONTENT_BYTES_MAX);
            put_header(&mut self.framing, Kind::Stdout, self.request_id, self.record_left);
            return true;
        }
        if self.is_streaming() {
            return false;
        }
        self.stream = None;
        self.phase = Phase::Ending;
        // Section 5.3: the end of a stream is a record without content.
        put_header(&mut self.framing, Kind::Stdout, self.request_id, 0);
        let complete = ProtocolStatus::RequestComplete;
        put_end_request(&mut self.framing, self.request_id, self.app_status, complete);
        true
    }

    /// Writes framing; whether none is left.
    fn flush(&mut self, out: &mut [u8], at: &mut usize) -> bool {
        if self.framing.is_empty() {
            return true;
        }
        let rest = self.framing.get(self.framing_sent..).unwrap_or(&[]);
        self.framing_sent += copy(rest, out, at);
        if self.framing_sent < self.framing.len() {
            return false;
        }
        (self.framing_sent, self.framed_content) = (0, 0);
        if self.framing.capacity() > RETAINED_BYTES_MAX {
            self.framing = Vec::new();
        }
        self.framing.clear();
        true
    }
}

/// Writes a CGI response's head (RFC 3875 section 6): the status always, since a web server makes one of its own of a
/// `Location` without.
fn put_head(out: &mut Vec<u8>, response: &Response, content: &Content) {
    put_status(out, response.status());
    if let Some(content_type) = response.content_type() {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = declared_length(response.status(), content) {
        out.extend_from_slice(b"Content-Length: ");
        let mut digits = [0; web::decimal::DIGITS_MAX];
        out.extend_from_slice(web::decimal::write(length, &mut digits));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(response.lines());
    out.extend_from_slice(response.shared_lines());
    out.extend_from_slice(b"\r\n");
}

fn put_status(out: &mut Vec<u8>, status: Status) {
    if status == Status::OK {
        return out.extend_from_slice(b"Status: 200 OK\r\n");
    }
    out.extend_from_slice(b"Status: ");
    match status.text() {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => {
            let mut digits = [0; web::decimal::DIGITS_MAX];
            out.extend_from_slice(web::decimal::write(status.code().into(), &mut digits));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The length that the head says, were it the answer to GET.
fn declared_length(status: Status, content: &Content) -> Option<u64> {
    match status {
        // RFC 9110 section 15.3.6.
        Status::RESET_CONTENT => Some(0),
        // RFC 9110 section 8.6.
        status if status.has_no_content() => None,
        _ => content.length(),
    }
}

/// Copies as much as fits; how much it was.
#[inline]
fn copy(bytes: &[u8], out: &mut [u8], at: &mut usize) -> usize {
    let room = out.get_mut(*at..).unwrap_or_default();
    let len = bytes.len().min(room.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..len), bytes.get(..len)) {
        room.copy_from_slice(bytes);
    }
    *at += len;
    len
}
