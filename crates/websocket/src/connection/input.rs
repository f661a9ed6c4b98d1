//! Input: frames become messages, pongs are queued, the peer's close frame is answered.

use super::{Connection, Event};
use crate::deflate::{DECOMPRESSOR_BYTES, Decompressor};
use crate::frame::{CONTROL_BYTES_MAX, Head, HeadReader, Opcode};
use crate::text::TextBuilder;
use crate::{AgreedDeflate, Closure, Error, Limits, Message, mask};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Messages that nobody has taken, and their bytes, from which on input is not read: of small ones some dozens are taken
/// at once.
const MESSAGES_MAX: usize = 32;
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Control frames that wait to be sent, in bytes, from which on input is not read: whoever sends pings and takes no pong
/// waits.
const PONG_BYTES_MAX: usize = 1024;

/// What has arrived and is not done with.
#[derive(Debug)]
pub(super) struct Input {
    head: HeadReader,
    frame: Option<Frame>,
    /// The payload of the control frame under way.
    control: Vec<u8>,
    message: Option<Partial>,
    /// RSV1 has a meaning, and whether the context lasts.
    deflate: Option<Context>,
    decompressor: Option<Decompressor>,
    /// Messages that nobody has taken, and their bytes.
    ready: VecDeque<Message>,
    ready_bytes: usize,
    end: End,
}

#[derive(Debug)]
enum End {
    Open,
    /// A close frame came, or the connection failed; how, until that is told. Kept here, since whoever drops a connection
    /// for want of memory ends it, too.
    Ended {
        by_close_frame: bool,
        untold: Option<Result<Closure, Error>>,
    },
}

/// Whether the peer's compressor keeps its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    Kept,
    Dropped,
}

/// A frame whose head was read.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    bytes_left: u64,
    /// For the byte that is next.
    mask: Option<[u8; 4]>,
}

/// A message that is not whole.
#[derive(Debug)]
struct Partial {
    content: Content,
    is_compressed: bool,
    fragments: u32,
}

#[derive(Debug)]
enum Content {
    Text(TextBuilder),
    Binary(Vec<u8>),
}

impl Connection {
    /// Whether input is taken.
    pub fn wants_input(&self) -> bool {
        self.over.is_none() && self.input.has_room() && self.output.control_bytes() < PONG_BYTES_MAX
    }

    /// Takes input, unmasking it where it lies; how many bytes it took. What it left is to be shown again: somebody has
    /// to take [events](Self::poll_event), or output, first.
    pub fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        self.clocks.heard(now);
        let mut taken = 0;
        while taken < bytes.len() {
            if self.input.has_ended() {
                // Section 7.1.7, and section 5.5.1: nothing counts behind a close frame.
                return bytes.len();
            }
            if !self.wants_input() {
                break;
            }
            match self.handle_part(now, &mut bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) => self.fail(now, error),
            }
        }
        taken
    }

    /// Takes a head, or the payload as far as it is there.
    fn handle_part(&mut self, now: Duration, bytes: &mut [u8]) -> Result<usize, Error> {
        let input = &mut self.input;
        let (taken, mut frame) = match input.frame.take() {
            Some(frame) => (0, frame),
            None => {
                let deflates = input.deflate.is_some();
                let (taken, head) = input.head.read(bytes, &self.role, deflates)?;
                let Some(head) = head else { return Ok(taken) };
                input.begin_frame(&head, &self.limits)?;
                (taken, Frame::new(&head))
            }
        };
        let rest = &mut bytes[taken..];
        let count = usize::try_from(frame.bytes_left).unwrap_or(usize::MAX).min(rest.len());
        let payload = &mut rest[..count];
        frame.bytes_left -= count as u64;
        if let Some(mask) = &mut frame.mask {
            *mask = mask::apply(*mask, payload);
        }
        if frame.opcode.is_control() {
            input.control.extend_from_slice(payload);
        } else {
            input.take_data(payload, &self.limits)?;
        }
        if frame.bytes_left > 0 {
            input.frame = Some(frame);
        } else if frame.opcode.is_control() {
            self.end_control(now, frame.opcode)?;
        } else if frame.is_final {
            input.end_message(&self.limits)?;
        }
        Ok(taken + count)
    }

    fn end_control(&mut self, now: Duration, opcode: Opcode) -> Result<(), Error> {
        let payload = core::mem::take(&mut self.input.control);
        match opcode {
            // Section 5.5.3: a pong has the ping's payload.
            Opcode::Ping => {
                self.output.queue_control(Opcode::Pong, &payload);
                self.note_output(now);
            }
            Opcode::Close => {
                let closure = Closure::parse(&payload)?;
                self.input.end(Ok(closure.clone()));
                // Section 5.5.1: it is answered, usually with the same code.
                let answer = Closure { reason: Default::default(), ..closure };
                self.output.close_now(&answer);
                self.clocks.begin_closing(now, self.limits.close_timeout);
                self.note_output(now);
            }
            // A pong that nobody asked for is allowed, and says that the peer is there, as all input does.
            _ => {}
        }
        Ok(())
    }
}

impl Input {
    pub(super) fn new(deflate: Option<AgreedDeflate>) -> Self {
        let context = |agreed: AgreedDeflate| match agreed.peer_keeps_context {
            true => Context::Kept,
            false => Context::Dropped,
        };
        Self {
            head: HeadReader::default(),
            frame: None,
            control: Vec::new(),
            message: None,
            deflate: deflate.map(context),
            decompressor: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
            end: End::Open,
        }
    }

    pub(super) fn has_event(&self) -> bool {
        !self.ready.is_empty() || matches!(self.end, End::Ended { untold: Some(_), .. })
    }

    pub(super) fn take_event(&mut self) -> Option<Event> {
        if let Some(message) = self.ready.pop_front() {
            self.ready_bytes -= message.len();
            return Some(Event::Message(message));
        }
        match &mut self.end {
            End::Ended { untold, .. } => untold.take().map(Event::Closed),
            End::Open => None,
        }
    }

    /// The peer's close frame came.
    pub(super) fn has_closed(&self) -> bool {
        matches!(self.end, End::Ended { by_close_frame: true, .. })
    }

    fn has_ended(&self) -> bool {
        !matches!(self.end, End::Open)
    }

    fn has_room(&self) -> bool {
        self.has_ended()
            || (self.ready.len() < MESSAGES_MAX && self.ready_bytes < MESSAGE_BYTES_MAX)
    }

    /// Nothing follows. What is not whole is dropped.
    pub(super) fn end(&mut self, how: Result<Closure, Error>) {
        self.end = End::Ended { by_close_frame: how.is_ok(), untold: Some(how) };
        (self.frame, self.message, self.decompressor) = (None, None, None);
        self.control = Vec::new();
    }

    pub(super) fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.content.capacity());
        let decompressor = if self.decompressor.is_some() { DECOMPRESSOR_BYTES } else { 0 };
        let ready = self.ready_bytes + self.ready.len() * size_of::<Message>();
        message + decompressor + ready + self.control.capacity()
    }

    /// Checks a frame's place among others, and its length (section 5.4).
    fn begin_frame(&mut self, head: &Head, limits: &Limits) -> Result<(), Error> {
        let content = match head.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(()),
            Opcode::Continuation => None,
            Opcode::Text => Some(Content::Text(TextBuilder::default())),
            Opcode::Binary => Some(Content::Binary(Vec::new())),
        };
        match (content, &mut self.message) {
            (None, None) => return Err(Error::NothingToContinue),
            (Some(_), Some(_)) => return Err(Error::Unfinished),
            (None, Some(_)) => {}
            (Some(content), None) => {
                let is_compressed = head.is_compressed;
                self.message = Some(Partial { content, is_compressed, fragments: 0 });
                if is_compressed {
                    self.decompressor.get_or_insert_with(Decompressor::new);
                }
            }
        }
        let Some(message) = &mut self.message else { return Ok(()) };
        message.fragments += 1;
        if message.fragments > limits.fragments_max {
            return Err(Error::TooManyFragments);
        }
        // What is compressed is longer in the end, or has been made longer on purpose.
        let room = limits.message_bytes_max - message.content.len();
        if head.payload_bytes > room as u64 + message.slack() {
            Err(Error::TooLong)
        } else {
            Ok(())
        }
    }

    fn take_data(&mut self, payload: &[u8], limits: &Limits) -> Result<(), Error> {
        let Some(Partial { content, is_compressed, .. }) = &mut self.message else { return Ok(()) };
        let mut push = |bytes: &[u8]| content.push(bytes, limits.message_bytes_max);
        match &mut self.decompressor {
            Some(decompressor) if *is_compressed => decompressor.push(payload, &mut push),
            _ => push(payload),
        }
    }

    fn end_message(&mut self, limits: &Limits) -> Result<(), Error> {
        let Some(Partial { mut content, is_compressed, .. }) = self.message.take() else {
            return Ok(());
        };
        if is_compressed && let Some(decompressor) = &mut self.decompressor {
            decompressor.end_message(&mut |bytes| content.push(bytes, limits.message_bytes_max))?;
        }
        if self.deflate == Some(Context::Dropped) {
            self.decompressor = None;
        }
        let message = match content {
            Content::Text(text) => Message::Text(text.finish()?),
            Content::Binary(bytes) => Message::Binary(bytes.into()),
        };
        self.ready_bytes += message.len();
        self.ready.push_back(message);
        Ok(())
    }
}

impl Frame {
    fn new(head: &Head) -> Self {
        let Head { opcode, is_final, payload_bytes, mask, is_compressed: _ } = *head;
        Self { opcode, is_final, bytes_left: payload_bytes, mask }
    }
}

impl Partial {
    /// By how much a frame may be longer than what it becomes: DEFLATE adds 5 bytes to 64 KiB at least, and peers may
    /// flush more often.
    fn slack(&self) -> u64 {
        if self.is_compressed { self.content.len() as u64 / 8 + COMPRESSED_SLACK_BYTES } else { 0 }
    }
}

const COMPRESSED_SLACK_BYTES: u64 = 64 << 10;

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Takes bytes up to the limit, so that what is wrong before it is found however the bytes are cut.
    fn push(&mut self, bytes: &[u8], bytes_max: usize) -> Result<(), Error> {
        let fitting = bytes.get(..bytes_max - self.len()).unwrap_or(bytes);
        match self {
            Self::Text(text) => text.push(fitting)?,
            Self::Binary(all) => all.extend_from_slice(fitting),
        }
        if fitting.len() < bytes.len() { Err(Error::TooLong) } else { Ok(()) }
    }
}

const _: () =
    assert!(PONG_BYTES_MAX >= 2 * CONTROL_BYTES_MAX, "several pings are answered at once");
