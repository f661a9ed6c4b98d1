//! Message sender (RFC 9112 sections 6 and 7): framing bytes and content into the caller's buffer, piece by piece.

mod cursor;

pub(crate) use cursor::Cursor;

use crate::OutOfTurn;
use crate::body::BodyFraming;
use alloc::vec::{self, Vec};
use bytes::{Buf, Bytes};
use web::fields::FieldLines;
use web::{Content, Data};

/// Bytes of one pushed piece of a stream that `body_capacity` offers. One piece is held at a
/// time, so this bounds what waits in a connection; 64 KiB is what one segmentation offload takes.
pub(crate) const STREAM_PIECE_BYTES_MAX: usize = 64 << 10;

/// Content, or a piece of a stream, of so many bytes and more is for zero copy: a caller who copies it, or a flow that does, has lost one call
/// by it.
const LONG_BYTES_MIN: usize = 16 << 10;

/// Sends one message at a time.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Framing bytes that did not fit in the caller's buffer; they go out before any content.
    spill: Vec<u8>,
    spill_sent: usize,
    rest: Rest,
}

#[derive(Debug, Default)]
enum Rest {
    #[default]
    None,
    /// The connection ended before so many bytes of content were taken.
    Cut(u64),
    Full(Data),
    /// Long content, of which some may be sent from where it lies; so is all of it then. With the bytes of memory
    /// that are held for it alone.
    Long(Bytes, usize),
    Parts(Piece, vec::IntoIter<Data>),
    Stream(Stream),
}

#[derive(Debug)]
struct Stream {
    framing: BodyFraming,
    piece: Option<Piece>,
    /// The piece's memory is held for it alone.
    owns_piece: bool,
    /// Whether the piece's chunk size is written.
    in_chunk: bool,
    end: Option<FieldLines>,
    /// It ends before its time, and is not to look whole.
    is_cut: bool,
}

/// A piece of a stream, or one of several parts.
#[derive(Debug)]
enum Piece {
    Short(Data),
    /// As [`Rest::Long`].
    Long(Bytes),
}

impl Sender {
    /// Sends nothing more; so many bytes of content were not taken.
    pub(crate) fn cut(bytes: u64) -> Sender {
        Sender { rest: if bytes == 0 { Rest::None } else { Rest::Cut(bytes) }, ..Sender::default() }
    }

    /// Queues framing bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.spill.extend_from_slice(bytes);
    }

    /// Writes a head of at most `len_max` bytes to `out`, or keeps it when it does not fit.
    pub(crate) fn write_head(
        &mut self,
        out: &mut [u8],
        at: &mut usize,
        len_max: usize,
        write: impl FnOnce(&mut Cursor<'_>),
    ) {
        let room = out.get_mut(*at..).unwrap_or_default();
        if self.spill.is_empty() && room.len() >= len_max {
            let mut cursor = Cursor::new(room);
            write(&mut cursor);
            *at += cursor.len();
        } else {
            let old_len = self.spill.len();
            self.spill.resize(old_len + len_max, 0);
            let mut cursor = Cursor::new(self.spill.get_mut(old_len..).unwrap_or_default());
            write(&mut cursor);
            let len = cursor.len();
            self.spill.truncate(old_len + len);
        }
    }

    /// Sets the content that follows the head.
    #[inline(always)] // This and `write` are on the way of each short answer.
    pub(crate) fn start(&mut self, content: Content, framing: BodyFraming) {
        self.rest = match content {
            _ if framing == BodyFraming::None => Rest::None,
            Content::Empty => Rest::None,
            Content::Full(data) if data.len() >= LONG_BYTES_MIN => Rest::long(data),
            Content::Full(data) => Rest::Full(data),
            Content::Parts(parts) => Rest::Parts(Piece::Short(Data::default()), parts.into_iter()),
            Content::Stream(_) => {
                let (owns_piece, in_chunk, is_cut) = (false, false, false);
                let (piece, end) = (None, None);
                Rest::Stream(Stream { framing, piece, owns_piece, in_chunk, end, is_cut })
            }
        };
    }

    /// Writes what it can to `out` from `at` on.
    #[inline(always)]
    pub(crate) fn write(&mut self, out: &mut [u8], at: &mut usize) {
        while *at < out.len() && self.flush(out, at) {
            let progress = match &mut self.rest {
                Rest::None | Rest::Cut(_) => return,
                Rest::Full(data) => write_data(data, out, at),
                Rest::Long(bytes, _) => write_long(bytes, out, at),
                Rest::Parts(part, rest) => write_parts(part, rest, out, at),
                Rest::Stream(stream) => stream.write(out, at, &mut self.spill),
            };
            match progress {
                Progress::More => {}
                Progress::Waiting => return,
                Progress::Done => self.rest = Rest::None,
            }
        }
    }

    /// What may be sent from where it lies next instead of written: long content, when all before it is written.
    pub(crate) fn long_output(&mut self) -> Option<&mut Bytes> {
        if !self.spill.is_empty() {
            return None;
        }
        match &mut self.rest {
            Rest::Long(bytes, _) | Rest::Parts(Piece::Long(bytes), _) => Some(bytes),
            Rest::Stream(stream) => stream.long_piece(),
            _ => None,
        }
    }

    /// Some of that was taken off its front.
    pub(crate) fn long_output_taken(&mut self) {
        match &mut self.rest {
            Rest::Long(bytes, _) if bytes.is_empty() => self.rest = Rest::None,
            Rest::Stream(stream) => stream.long_piece_taken(&mut self.spill),
            Rest::Parts(part, rest) if part.len() == 0 => match rest.next() {
                Some(next) => *part = Piece::of_several(next),
                None => self.rest = Rest::None,
            },
            _ => {}
        }
    }

    /// Whether everything queued is written, and no stream is open.
    pub(crate) fn is_done(&self) -> bool {
        self.spill.is_empty() && matches!(self.rest, Rest::None)
    }

    /// Whether every byte the head announced is written, even if a stream was not ended yet.
    pub(crate) fn is_complete(&self) -> bool {
        let all_pushed = matches!(
            &self.rest,
            Rest::Stream(Stream { framing: BodyFraming::Length(0), piece: None, .. })
        );
        self.is_done() || self.spill.is_empty() && all_pushed
    }

    /// Whether there is something to write now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.spill.is_empty()
            || match &self.rest {
                Rest::None | Rest::Cut(_) => false,
                Rest::Full(_) | Rest::Long(..) | Rest::Parts(..) => true,
                Rest::Stream(stream) => stream.piece.is_some() || stream.end.is_some(),
            }
    }

    /// Bytes of the content given so far that are not written.
    pub(crate) fn untaken_content(&self) -> u64 {
        let len = match &self.rest {
            Rest::None => 0,
            Rest::Cut(bytes) => return *bytes,
            Rest::Full(data) => data.len(),
            Rest::Long(bytes, _) => bytes.len(),
            Rest::Parts(part, rest) => {
                part.len() + rest.as_slice().iter().map(Data::len).sum::<usize>()
            }
            Rest::Stream(stream) => stream.piece.as_ref().map_or(0, Piece::len),
        };
        len as u64
    }

    /// Bytes that are not written, framing included.
    pub(crate) fn untaken_bytes(&self) -> u64 {
        self.untaken_content() + (self.spill.len() - self.spill_sent) as u64
    }

    /// Bytes of memory that are held for the peer.
    pub(crate) fn held_bytes(&self) -> usize {
        let content = match &self.rest {
            Rest::None | Rest::Cut(_) => 0,
            Rest::Full(data) => data.held_bytes(),
            Rest::Long(_, held) => *held,
            // Few: the ranges of one answer.
            Rest::Parts(part, rest) => {
                let part = match part {
                    Piece::Short(data) => data.held_bytes(),
                    Piece::Long(_) => 0,
                };
                part + rest.as_slice().iter().map(Data::held_bytes).sum::<usize>()
            }
            Rest::Stream(stream) if stream.owns_piece => {
                stream.piece.as_ref().map_or(0, Piece::held_bytes)
            }
            Rest::Stream(_) => 0,
        };
        self.spill.capacity() + content
    }

    /// Whether a stream takes data or its end.
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(&self.rest, Rest::Stream(stream) if stream.end.is_none())
    }

    /// Bytes that [`Sender::push_data`] takes now.
    pub(crate) fn capacity(&self) -> usize {
        match &self.rest {
            Rest::Stream(Stream { framing, piece: None, end: None, .. }) => match framing {
                BodyFraming::Length(left) => {
                    usize::try_from(*left).unwrap_or(usize::MAX).min(STREAM_PIECE_BYTES_MAX)
                }
                _ => STREAM_PIECE_BYTES_MAX,
            },
            _ => 0,
        }
    }

    /// Takes one piece of a stream.
    pub(crate) fn push_data(&mut self, data: Data) -> Result<(), OutOfTurn> {
        let Rest::Stream(stream) = &mut self.rest else { return Err(OutOfTurn) };
        if stream.piece.is_some() || stream.end.is_some() {
            return Err(OutOfTurn);
        }
        if let BodyFraming::Length(left) = &mut stream.framing {
            *left = left.checked_sub(data.len() as u64).ok_or(OutOfTurn)?;
        }
        // An empty piece must not become an empty chunk, which would be the last one.
        if !data.is_empty() {
            stream.owns_piece = data.held_bytes() > 0;
            stream.piece = Some(Piece::new(data));
        }
        Ok(())
    }

    /// Ends a stream. Trailers go only with the chunked coding.
    pub(crate) fn finish(&mut self, trailers: FieldLines) -> Result<(), OutOfTurn> {
        let Rest::Stream(stream) = &mut self.rest else { return Err(OutOfTurn) };
        if stream.end.is_some() || matches!(stream.framing, BodyFraming::Length(1..)) {
            return Err(OutOfTurn);
        }
        stream.end = Some(trailers);
        Ok(())
    }

    /// Ends a stream before its time, after what was taken of it; says whether the peer can tell that it is not whole. If it
    /// cannot, nothing is done.
    pub(crate) fn cut_stream(&mut self) -> bool {
        let Rest::Stream(stream) = &mut self.rest else { return false };
        // RFC 9112 section 8: without the last chunk, or with less than the length, it is incomplete.
        if !matches!(stream.framing, BodyFraming::Chunked | BodyFraming::Length(1..)) {
            return false;
        }
        stream.is_cut = true;
        stream.end = Some(FieldLines::default());
        true
    }

    /// Writes spilled framing bytes; whether none are left.
    fn flush(&mut self, out: &mut [u8], at: &mut usize) -> bool {
        if self.spill.is_empty() {
            return true;
        }
        self.spill_sent += copy(self.spill.get(self.spill_sent..).unwrap_or(&[]), out, at);
        if self.spill_sent < self.spill.len() {
            return false;
        }
        self.spill = Vec::new();
        self.spill_sent = 0;
        true
    }
}

impl Rest {
    #[cold] // Beside the way of short answers; where it pays, its cost is nothing.
    fn long(data: Data) -> Rest {
        let held = data.held_bytes();
        Rest::Long(data.into_shared(), held)
    }
}

impl Stream {
    fn write(&mut self, out: &mut [u8], at: &mut usize, spill: &mut Vec<u8>) -> Progress {
        if let Some(piece) = &mut self.piece {
            if self.framing == BodyFraming::Chunked && !self.in_chunk {
                self.in_chunk = true;
                put(&cursor::chunk_size_line(piece.len()), out, at, spill);
                return Progress::More;
            }
            if !matches!(piece.write(out, at), Progress::Done) {
                return Progress::Waiting;
            }
            self.piece = None;
            if self.in_chunk {
                self.in_chunk = false;
                put(b"\r\n", out, at, spill);
            }
            return Progress::More;
        }
        let Some(trailers) = &self.end else { return Progress::Waiting };
        if self.framing == BodyFraming::Chunked && !self.is_cut {
            put(b"0\r\n", out, at, spill);
            put(trailers.as_bytes(), out, at, spill);
            put(b"\r\n", out, at, spill);
        }
        Progress::Done
    }
}

impl Stream {
    /// The piece, if it is long and only its bytes are to be sent next.
    fn long_piece(&mut self) -> Option<&mut Bytes> {
        let is_framed = self.framing != BodyFraming::Chunked || self.in_chunk;
        match &mut self.piece {
            Some(Piece::Long(bytes)) if is_framed => Some(bytes),
            _ => None,
        }
    }

    /// Some of it was taken off its front.
    fn long_piece_taken(&mut self, spill: &mut Vec<u8>) {
        if matches!(&self.piece, Some(Piece::Long(bytes)) if bytes.is_empty()) {
            self.piece = None;
            if core::mem::take(&mut self.in_chunk) {
                spill.extend_from_slice(b"\r\n");
            }
        }
    }
}

impl Piece {
    fn new(data: Data) -> Piece {
        if data.len() < LONG_BYTES_MIN {
            Piece::Short(data)
        } else {
            Piece::Long(data.into_shared())
        }
    }

    /// One of several parts, which is long if its memory is others'.
    fn of_several(data: Data) -> Piece {
        if data.held_bytes() > 0 { Piece::Short(data) } else { Piece::new(data) }
    }

    fn write(&mut self, out: &mut [u8], at: &mut usize) -> Progress {
        match self {
            Piece::Short(data) => write_data(data, out, at),
            Piece::Long(bytes) => write_long(bytes, out, at),
        }
    }

    fn len(&self) -> usize {
        match self {
            Piece::Short(data) => data.len(),
            Piece::Long(bytes) => bytes.len(),
        }
    }

    /// If they are its own: of a long one, what is left of it.
    fn held_bytes(&self) -> usize {
        match self {
            Piece::Short(data) => data.held_bytes(),
            Piece::Long(bytes) => bytes.len(),
        }
    }
}

/// What came of writing content.
enum Progress {
    /// There may be more to write.
    More,
    /// There is no room, or nothing to write yet.
    Waiting,
    /// All is written.
    Done,
}

#[inline(always)]
fn write_data(data: &mut Data, out: &mut [u8], at: &mut usize) -> Progress {
    let count = copy(data.as_bytes(), out, at);
    if count == data.len() {
        return Progress::Done;
    }
    data.advance(count);
    Progress::Waiting
}

#[cold]
fn write_long(bytes: &mut Bytes, out: &mut [u8], at: &mut usize) -> Progress {
    // What is written already goes out by itself, so that the next call can be for zero copy.
    if *at > 0 {
        return Progress::Waiting;
    }
    let count = copy(bytes, out, at);
    bytes.advance(count);
    if bytes.is_empty() { Progress::Done } else { Progress::Waiting }
}

fn write_parts(
    part: &mut Piece,
    rest: &mut vec::IntoIter<Data>,
    out: &mut [u8],
    at: &mut usize,
) -> Progress {
    if !matches!(part.write(out, at), Progress::Done) {
        return Progress::Waiting;
    }
    let Some(next) = rest.next() else { return Progress::Done };
    *part = Piece::of_several(next);
    Progress::More
}

/// Copies as much as fits; how much it was.
fn copy(bytes: &[u8], out: &mut [u8], at: &mut usize) -> usize {
    let room = out.get_mut(*at..).unwrap_or_default();
    let len = bytes.len().min(room.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..len), bytes.get(..len)) {
        room.copy_from_slice(bytes);
    }
    *at += len;
    len
}

/// Copies what fits and keeps the rest; once something is kept, everything after it is.
fn put(bytes: &[u8], out: &mut [u8], at: &mut usize, spill: &mut Vec<u8>) {
    let copied = if spill.is_empty() { copy(bytes, out, at) } else { 0 };
    spill.extend_from_slice(bytes.get(copied..).unwrap_or(&[]));
}
