//! Send queue: frames, encoded (and sealed) only when their turn comes.

use crate::frame::{COMMAND, HEADER_BYTES_MAX, Header, MORE};
use crate::mechanism::curve::Sealer;
use crate::message::body_held_bytes;
use crate::{Message, SendError, command};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// One entry: a whole frame, or the start or a piece of one that is given in pieces.
#[derive(Debug)]
struct Segment {
    // Of a frame's start: its flags and its length.
    head: Option<Header>,
    body: Bytes,
    ends_message: bool,
    // Not to be sealed: part of the handshake.
    clear: bool,
    // A PING, whose leaving matters.
    is_ping: bool,
}

/// Places that a queue keeps when it is empty; a longer one is given back.
const PLACES_KEPT: usize = 64;

impl Segment {
    fn frame(flags: u8, body: Bytes) -> Self {
        let head = Some(Header { flags, len: body.len() as u64 });
        let ends_message = flags & (MORE | COMMAND) == 0;
        Self { head, body, ends_message, clear: false, is_ping: false }
    }

    fn bare(body: Bytes, ends_message: bool) -> Self {
        Self { head: None, body, ends_message, clear: true, is_ping: false }
    }

    /// Bytes that it takes in memory.
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + body_held_bytes(&self.body)
    }
}

/// Commands that wait for the peer, above which nothing is read of it: one that sends PINGs and does not read waits for
/// itself, and its memory here is bounded.
const COMMANDS_WAITING_MAX: usize = 64;

/// From this length on what is left of a body is worth a write of its own.
const LONG_BYTES: usize = 64 << 10;

/// The queue of one connection.
///
/// Commands overtake messages but never stand inside one (RFC 37's grammar: a message's
/// frames follow each other). Sealing waits until a frame's turn, so that CURVE's nonces go
/// out in order and an unsent message can still move to another peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sealer: Option<Sealer>,
    commands: VecDeque<Segment>,
    queue: VecDeque<Segment>,
    writing: Writing,
    mid_message: bool,
    ping_left: bool,
    messages: usize,
    // What all that waits takes in memory.
    held_bytes: usize,
    // The part that is being given in pieces.
    part: Option<OpenPart>,
}

#[derive(Debug)]
struct OpenPart {
    left: u64,
    more: bool,
    // Under CURVE the pieces gather here: a box covers a whole frame.
    gathered: Option<Vec<u8>>,
}

/// The segment under way: header, then body.
#[derive(Debug, Default)]
struct Writing {
    head: [u8; HEADER_BYTES_MAX],
    head_at: u8,
    head_len: u8,
    body: Bytes,
    body_at: usize,
    // What it weighed in the queue; sealing makes it longer.
    counted_bytes: usize,
    ends_message: bool,
    is_ping: bool,
    active: bool,
}

impl Outbox {
    /// From here on every frame is sealed.
    pub(crate) fn seal_with(&mut self, sealer: Sealer) {
        self.sealer = Some(sealer);
    }

    /// Queues a command frame.
    pub(crate) fn command(&mut self, body: Vec<u8>) {
        self.push_command(Segment::frame(COMMAND, body.into()));
    }

    fn push_command(&mut self, segment: Segment) {
        let bytes = segment.held_bytes();
        self.commands.push_back(segment);
        self.held_bytes += bytes;
    }

    fn push(&mut self, segment: Segment) {
        let bytes = segment.held_bytes();
        self.queue.push_back(segment);
        self.held_bytes += bytes;
    }

    /// Queues a command frame of the handshake: never sealed.
    pub(crate) fn handshake(&mut self, body: Vec<u8>) {
        let frame = Segment::frame(COMMAND, body.into());
        self.push_command(Segment { clear: true, ..frame });
    }

    /// Queues a PING; [`Outbox::take_ping_left`] says when it is written.
    pub(crate) fn ping(&mut self, body: Vec<u8>) {
        let frame = Segment::frame(COMMAND, body.into());
        self.push_command(Segment { is_ping: true, ..frame });
    }

    /// Whether a PING was written since this was asked last.
    pub(crate) fn take_ping_left(&mut self) -> bool {
        core::mem::take(&mut self.ping_left)
    }

    /// So many commands wait that their cause must not be read.
    pub(crate) fn is_full_of_commands(&self) -> bool {
        self.commands.len() >= COMMANDS_WAITING_MAX
    }

    /// Queues the answer to a PING.
    pub(crate) fn pong(&mut self, context: &[u8]) {
        self.command(command::join(b"PONG", &[context]));
    }

    /// Queues bytes that are no frame: the greeting.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let body = Bytes::copy_from_slice(bytes);
        self.push_command(Segment::bare(body, false));
    }

    /// Queues a message, of whose last part [`Outbox::piece`] will bring `left` bytes more.
    pub(crate) fn message(&mut self, message: Message, left: u64) -> Result<(), SendError> {
        if self.part.is_some() {
            return Err(SendError::PartUnfinished);
        }
        let mut parts_after = message.part_count() - 1;
        if parts_after == 0 && left == 0 {
            let (body, _) = message.split_first();
            self.last_part(body);
            return Ok(());
        }
        // Room for all first: half a message must not stay if there is none.
        self.queue.reserve(message.part_count() + 1);
        for part in message.into_parts() {
            if parts_after > 0 {
                self.push(Segment::frame(MORE, part));
                parts_after -= 1;
            } else if left > 0 {
                self.begin_part(left.saturating_add(part.len() as u64), false)?;
                self.piece(part)?;
            } else {
                self.last_part(part);
            }
        }
        Ok(())
    }

    fn last_part(&mut self, part: Bytes) {
        self.push(Segment::frame(0, part));
        self.messages += 1;
    }

    /// Starts a part of `len` bytes that [`Outbox::piece`] will bring.
    pub(crate) fn begin_part(&mut self, len: u64, more: bool) -> Result<(), SendError> {
        if self.part.is_some() {
            return Err(SendError::PartUnfinished);
        }
        let gathered = self.sealer.is_some().then(Vec::new);
        if gathered.is_none() {
            let head = Some(Header { flags: if more { MORE } else { 0 }, len });
            let ends_message = !more && len == 0;
            self.push(Segment { head, ..Segment::bare(Bytes::new(), ends_message) });
        }
        self.messages += usize::from(!more);
        self.part = Some(OpenPart { left: len, more, gathered });
        self.end_part();
        Ok(())
    }

    /// The next bytes of the part under way.
    pub(crate) fn piece(&mut self, bytes: Bytes) -> Result<(), SendError> {
        // Room first: bytes that are counted must not get lost.
        self.queue.reserve(2);
        let part = self.part.as_mut().ok_or(SendError::PartOverrun)?;
        let left = part.left.checked_sub(bytes.len() as u64).ok_or(SendError::PartOverrun)?;
        if let Some(gathered) = &mut part.gathered {
            gathered.extend_from_slice(&bytes);
            part.left = left;
        } else {
            let ends_message = left == 0 && !part.more;
            part.left = left;
            if !bytes.is_empty() {
                self.push(Segment::bare(bytes, ends_message));
            }
        }
        self.end_part();
        Ok(())
    }

    fn end_part(&mut self) {
        let Some(part) = self.part.take_if(|part| part.left == 0) else {
            return;
        };
        if let Some(body) = part.gathered {
            let flags = if part.more { MORE } else { 0 };
            self.push(Segment::frame(flags, body.into()));
        }
    }

    /// Whether a part lacks bytes; until it has them nothing else can be queued.
    pub(crate) fn is_part_open(&self) -> bool {
        self.part.is_some()
    }

    /// Whether pieces of the open part are written as they come: CURVE's are not.
    pub(crate) fn streams(&self) -> bool {
        self.sealer.is_none()
    }

    /// Messages not yet wholly written.
    pub(crate) fn message_count(&self) -> usize {
        self.messages
    }

    /// Bytes that all that waits takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let gathered = self.part.as_ref().and_then(|part| part.gathered.as_ref());
        self.held_bytes + gathered.map_or(0, Vec::capacity)
    }

    /// Whether [`Outbox::write`] has anything to write.
    pub(crate) fn has_output(&self) -> bool {
        self.writing.active
            || !self.queue.is_empty()
            || (!self.mid_message && !self.commands.is_empty())
    }

    /// Drops messages and keeps commands: the connection is about to close.
    pub(crate) fn drop_messages(&mut self) {
        if !self.mid_message {
            let dropped: usize = self.queue.iter().map(Segment::held_bytes).sum();
            self.held_bytes -= dropped;
            self.queue = VecDeque::new();
            self.part = None;
            self.messages = usize::from(self.writing.active && self.writing.ends_message);
        } else {
            // Nothing can follow half a message.
            *self = Self::default();
        }
    }

    /// The messages of which no byte has been written, oldest first.
    pub(crate) fn take_unsent(&mut self) -> Vec<Message> {
        let mut unsent = Vec::new();
        let mut parts = Vec::new();
        // The rest of a message that is half written is lost with its connection.
        let mut skipping = self.mid_message;
        while let Some(segment) = self.queue.pop_front() {
            let whole = segment.head.is_some_and(|head| head.len == segment.body.len() as u64);
            skipping |= !whole;
            self.held_bytes -= segment.held_bytes();
            self.messages -= usize::from(segment.ends_message);
            parts.push(segment.body);
            if segment.ends_message {
                let message = Message::from_parts(parts.drain(..));
                unsent.extend(message.filter(|_| !skipping));
                skipping = false;
            }
        }
        unsent
    }

    /// What is left of a long body that is being written.
    pub(crate) fn long_body(&self) -> Option<Bytes> {
        let Writing { body, body_at, head_at, head_len, active, .. } = &self.writing;
        let is_long = *active && head_at == head_len && body.len() - body_at >= LONG_BYTES;
        is_long.then(|| body.slice(*body_at..))
    }

    /// So many bytes of [`Outbox::long_body`] are written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.writing.body_at += count;
        if self.writing.body_at == self.writing.body.len() {
            self.written();
        }
    }

    /// The segment under way is done.
    fn written(&mut self) {
        self.messages -= usize::from(self.writing.ends_message);
        self.held_bytes -= self.writing.counted_bytes;
        self.ping_left |= self.writing.is_ping;
        self.writing.active = false;
        self.writing.body = Bytes::new();
    }

    /// Fills `buf` as far as there is something to write; returns how far.
    pub(crate) fn write(&mut self, buf: &mut [u8]) -> usize {
        let mut filled = if self.writing.active { 0 } else { self.write_short(buf) };
        while filled < buf.len() && (self.writing.active || self.load()) {
            let (used, done) = self.writing.write(&mut buf[filled..]);
            filled += used;
            if done {
                self.written();
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > PLACES_KEPT {
            self.queue = VecDeque::new();
        }
        filled
    }

    /// Writes the short messages at the front of the queue that fit whole: the usual case, and
    /// the one where what is done for each message counts.
    fn write_short(&mut self, buf: &mut [u8]) -> usize {
        let mut filled = 0;
        if self.sealer.is_some() || !self.commands.is_empty() || self.mid_message {
            return 0;
        }
        // One with a head that ends a message is whole.
        while let Some(segment @ Segment { head: Some(head), body, ends_message: true, .. }) =
            self.queue.front()
        {
            let (Ok(len), Some(space)) =
                (u8::try_from(body.len()), buf[filled..].get_mut(..2 + body.len()))
            else {
                break;
            };
            space[0] = head.flags;
            space[1] = len;
            space[2..].copy_from_slice(body);
            filled += space.len();
            self.messages -= 1;
            self.held_bytes -= segment.held_bytes();
            self.queue.pop_front();
        }
        filled
    }

    /// Takes the next segment in hand.
    fn load(&mut self) -> bool {
        let command = if self.mid_message { None } else { self.commands.pop_front() };
        let segment = match command {
            Some(command) => command,
            None => match self.queue.pop_front() {
                Some(segment) => {
                    self.mid_message = !segment.ends_message;
                    segment
                }
                None => return false,
            },
        };
        let counted_bytes = segment.held_bytes();
        let Segment { head, body, ends_message, clear, is_ping } = segment;
        let (head, body) = match (head, &mut self.sealer) {
            (Some(head), Some(sealer)) if !clear => {
                let body = Bytes::from(sealer.seal(head.flags, &body));
                // libzmq sends a MESSAGE command as a message frame, whatever is inside.
                (Some(Header { flags: 0, len: body.len() as u64 }), body)
            }
            (head, _) => (head, body),
        };
        let (head, head_len) = head.map_or(([0; HEADER_BYTES_MAX], 0), Header::encode);
        self.writing = Writing {
            head,
            head_at: 0,
            head_len,
            body,
            body_at: 0,
            counted_bytes,
            ends_message,
            is_ping,
            active: true,
        };
        true
    }
}

impl Writing {
    /// Writes on; returns how much, and whether the segment is done.
    fn write(&mut self, buf: &mut [u8]) -> (usize, bool) {
        let head = &self.head[usize::from(self.head_at)..usize::from(self.head_len)];
        let head_used = head.len().min(buf.len());
        buf[..head_used].copy_from_slice(&head[..head_used]);
        self.head_at += head_used as u8;
        let buf = &mut buf[head_used..];
        let body = &self.body[self.body_at..];
        let body_used = body.len().min(buf.len());
        buf[..body_used].copy_from_slice(&body[..body_used]);
        self.body_at += body_used;
        let done = self.head_at == self.head_len && self.body_at == self.body.len();
        (head_used + body_used, done)
    }
}

#[cfg(test)]
mod tests;
