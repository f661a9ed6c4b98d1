//! Peer of a socket: its connection, and what it sent that nobody has received.

use super::{Chunk, Options, PeerId, SocketEvent, Subscriptions};
use crate::message::body_held_bytes;
use crate::{Body, Connection, Error, Event, Message};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Places that an inbox keeps when it is empty; a longer one is given back.
const PLACES_KEPT: usize = 64;

/// When so much more is queued for a peer, whoever holds the flow hears of it again, though it knows
/// that there is output: it may weigh the peer.
const ANNOUNCED_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: Connection,
    /// Its flow has ended; it stays until its inbox is empty.
    pub(super) gone: bool,
    /// Why we end its connection: nothing more is taken from it, and what is queued still goes out.
    pub(super) leaving: Option<Error>,
    /// Its inbox was full and is not yet half empty: nothing more is read from it.
    pub(super) input_waits: bool,
    /// It is not read for want of memory, by [`Socket::pause`](super::Socket::pause).
    pub(super) paused: bool,
    pub(super) output_announced: bool,
    /// What it held when that was said last.
    announced_bytes: usize,
    /// It stands in the ring of peers to receive from.
    pub(super) in_readable: bool,
    /// It is known to have room; where messages go round, it stands in the ring of those to send
    /// to.
    pub(super) in_writable: bool,
    /// How many messages it gets when it is its turn, where messages go round, and how many of them it still gets.
    pub(super) weight: u16,
    pub(super) turns_left: u16,
    /// Nothing is received from it, by [`Socket::hold_back`](super::Socket::hold_back).
    pub(super) held_back: bool,
    /// It was said that something it asked for is refused.
    pub(super) refusal_said: bool,
    /// What a ROUTER calls it.
    pub(super) route: Option<Bytes>,
    /// What it subscribed to, at a PUB or XPUB.
    pub(super) subscriptions: Subscriptions,
    assembly: Assembly,
    inbox: VecDeque<Delivery>,
    // What follows the messages of the inbox that stream, and the last one received.
    chunks: VecDeque<Chunk>,
    // What comes of the message that streams is dropped.
    discarding: bool,
    // What the inbox and the chunks take in memory.
    inbox_bytes: usize,
    /// What of it is in the socket's sums.
    pub(super) counted: Counted,
}

/// Bytes that peers make a socket hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Of messages that are not whole yet.
    pub(super) unfinished: usize,
    /// Of everything.
    pub(super) held: usize,
    /// Of what is left of peers that are gone.
    pub(super) left: usize,
}

/// A message; whole, or the start of one that streams.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) message: Message,
    /// Bytes that its last part lacks, if it streams.
    pub(super) part_left: u64,
}

/// What some input led to.
#[derive(Debug)]
pub(super) enum Arrival {
    Nothing,
    Ready,
    Message(Delivery),
    /// More of a message that streams.
    Chunk,
    Subscribe(Bytes),
    Cancel(Bytes),
    /// A command too long.
    Skipped,
}

/// A message whose parts are still coming.
#[derive(Debug, Default)]
struct Assembly {
    parts: Vec<Bytes>,
    part: Vec<u8>,
    body_bytes: usize,
    // What the bodies of the parts take in memory.
    parts_bytes: usize,
    // Its start was handed out: what comes are chunks.
    streams: bool,
}

impl Peer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            gone: false,
            leaving: None,
            input_waits: false,
            paused: false,
            output_announced: false,
            announced_bytes: 0,
            in_readable: false,
            in_writable: false,
            weight: 1,
            turns_left: 1,
            held_back: false,
            refusal_said: false,
            route: None,
            subscriptions: Subscriptions::default(),
            assembly: Assembly::default(),
            inbox: VecDeque::new(),
            chunks: VecDeque::new(),
            discarding: false,
            inbox_bytes: 0,
            counted: Counted::default(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.gone && self.leaving.is_none() && self.connection.is_ready()
    }

    /// Whether one more message may be queued for it.
    pub(super) fn has_room(&self, options: &Options) -> bool {
        let queued = self.connection.queued_messages();
        self.is_ready()
            && !self.connection.is_part_open()
            && (queued == 0
                || queued < options.send_messages_max
                    && self.connection.queued_bytes() < options.send_bytes_max)
    }

    pub(super) fn inbox_full(&self, options: &Options) -> bool {
        let waiting = self.inbox.len() + self.chunks.len();
        waiting > 0
            && (waiting >= options.receive_messages_max
                || self.inbox_bytes >= options.receive_bytes_max)
    }

    /// Waking at half, not at the first free place, lets a batch be read at once.
    pub(super) fn inbox_half_empty(&self, options: &Options) -> bool {
        self.inbox.len() + self.chunks.len() <= options.receive_messages_max / 2
            && self.inbox_bytes <= options.receive_bytes_max / 2
    }

    pub(super) fn has_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether it holds anything that can be received.
    pub(super) fn holds_input(&self) -> bool {
        !self.inbox.is_empty() || !self.chunks.is_empty()
    }

    /// Bytes that a message takes which is not yet whole, or a frame under CURVE.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.assembly.held_bytes() + self.connection.gathered_bytes()
    }

    /// Bytes that it makes the socket hold.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.connection.held_bytes()
            + self.assembly.held_bytes()
            + self.inbox_bytes
            + self.subscriptions.held_bytes()
    }

    /// Takes what it holds now into the sums, in place of what it held before.
    pub(super) fn settle(&mut self, sums: &mut Counted) {
        let held = self.held_bytes();
        let left = if self.gone { held } else { 0 };
        let now = Counted { unfinished: self.unfinished_bytes(), held, left };
        self.uncount(sums);
        sums.unfinished += now.unfinished;
        sums.held += now.held;
        sums.left += now.left;
        self.counted = now;
    }

    /// Takes what it holds out of the sums.
    pub(super) fn uncount(&mut self, sums: &mut Counted) {
        let before = core::mem::take(&mut self.counted);
        sums.unfinished -= before.unfinished;
        sums.held -= before.held;
        sums.left -= before.left;
    }

    /// Something was queued for it, or came from it: says so where somebody must know.
    pub(super) fn touched(
        &mut self,
        id: PeerId,
        sums: &mut Counted,
        events: &mut VecDeque<SocketEvent>,
    ) {
        self.settle(sums);
        let has_grown = self.counted.held > self.announced_bytes + ANNOUNCED_BYTES;
        if (!self.output_announced || has_grown) && self.connection.has_output() {
            // The event first: were there no room for it, the flag alone would be silence for ever.
            events.push_back(SocketEvent::Transmit(id));
            self.output_announced = true;
            self.announced_bytes = self.counted.held;
        }
    }

    /// Forgets a message that is not yet whole.
    pub(super) fn drop_unfinished(&mut self) {
        self.assembly = Assembly::default();
        self.connection.drop_gathered();
    }

    /// Whether a message comes in pieces.
    pub(super) fn streams(&self) -> bool {
        self.assembly.streams
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let bytes = delivery.held_bytes();
        self.inbox.push_back(delivery);
        self.inbox_bytes += bytes;
    }

    pub(super) fn receive(&mut self) -> Option<Delivery> {
        let delivery = self.inbox.pop_front()?;
        self.inbox_bytes -= delivery.held_bytes();
        if self.inbox.is_empty() && self.inbox.capacity() > PLACES_KEPT {
            self.inbox = VecDeque::new();
        }
        Some(delivery)
    }

    pub(super) fn receive_chunk(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.inbox_bytes -= chunk.held_bytes();
        Some(chunk)
    }

    /// What is still to come of the message that comes is of no use.
    pub(super) fn refuse_rest(&mut self) {
        self.discarding = self.assembly.streams;
    }

    /// The rest of the message whose start was received last is of no use.
    pub(super) fn discard_rest(&mut self) {
        while let Some(chunk) = self.receive_chunk() {
            if chunk.ends_message() {
                return;
            }
        }
        self.refuse_rest();
    }

    pub(super) fn clear_inbox(&mut self) {
        self.inbox = VecDeque::new();
        self.chunks = VecDeque::new();
        self.inbox_bytes = 0;
        self.refuse_rest();
    }

    /// Takes input up to the end of the next event.
    pub(super) fn take_input(
        &mut self,
        now: Duration,
        input: &[u8],
        options: &Options,
    ) -> Result<(usize, Arrival), Error> {
        let count = self.connection.handle_input(now, input)?;
        let taken = &input[..count];
        let arrival = match self.connection.poll_event() {
            None => Arrival::Nothing,
            Some(Event::Ready) => Arrival::Ready,
            Some(Event::Subscribe(prefix)) => Arrival::Subscribe(prefix),
            Some(Event::Cancel(prefix)) => Arrival::Cancel(prefix),
            Some(Event::Skipped(_)) => Arrival::Skipped,
            Some(Event::Body(body)) if self.assembly.streams => {
                self.take_chunk(body, taken);
                Arrival::Chunk
            }
            Some(Event::Body(body)) => {
                self.assembly.add(body, taken, options)?.map_or(Arrival::Nothing, Arrival::Message)
            }
        };
        Ok((count, arrival))
    }

    fn take_chunk(&mut self, body: Body, taken: &[u8]) {
        let Body { part_left, more, .. } = body;
        let chunk = Chunk { bytes: body.into_bytes(taken), part_left, more };
        let ends = chunk.ends_message();
        self.assembly.streams = !ends;
        if !self.discarding {
            let bytes = chunk.held_bytes();
            self.chunks.push_back(chunk);
            self.inbox_bytes += bytes;
        }
        self.discarding &= !ends;
    }
}

impl Delivery {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.message.held_bytes()
    }
}

impl Chunk {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + body_held_bytes(&self.bytes)
    }
}

impl Assembly {
    fn held_bytes(&self) -> usize {
        self.parts_bytes + self.parts.capacity() * size_of::<Bytes>() + self.part.capacity()
    }

    fn push(&mut self, part: Bytes) {
        let bytes = body_held_bytes(&part);
        self.parts.push(part);
        self.parts_bytes += bytes;
    }

    /// Adds a piece; gives the message when that was its last, or its start when it streams.
    fn add(
        &mut self,
        body: Body,
        taken: &[u8],
        options: &Options,
    ) -> Result<Option<Delivery>, Error> {
        let Body { part_left, more, .. } = body;
        let have = self.part.len() + body.bytes(taken).len();
        let over = options.stream_over_bytes.unwrap_or(usize::MAX);
        let is_long = part_left.saturating_add(have as u64) > over as u64;
        self.check_length(body.bytes(taken).len(), if is_long { 0 } else { part_left }, options)?;
        if is_long && part_left > 0 && have >= over {
            self.part.extend_from_slice(body.bytes(taken));
            self.streams = true;
        } else if part_left > 0 || !self.part.is_empty() {
            self.extend(body.bytes(taken), part_left);
            if part_left > 0 {
                return Ok(None);
            }
        } else if more || !self.parts.is_empty() {
            self.push(body.into_bytes(taken));
            return Ok(if more { None } else { self.finish(0) });
        } else {
            // The usual case.
            self.body_bytes = 0;
            return Ok(Some(Delivery { message: Message::new(body.into_bytes(taken)), part_left }));
        }
        let part = core::mem::take(&mut self.part);
        self.push(part.into());
        Ok(if more && !self.streams { None } else { self.finish(part_left) })
    }

    /// Counts a piece, and refuses a message that it makes too long, or that `part_left` will.
    fn check_length(&mut self, piece: usize, left: u64, options: &Options) -> Result<(), Error> {
        let bytes_max = options.config.limits.message_bytes_max;
        self.body_bytes += piece;
        let room = bytes_max.checked_sub(self.body_bytes).ok_or(Error::MessageTooLong)?;
        if left > room as u64 { Err(Error::MessageTooLong) } else { Ok(()) }
    }

    /// The message of the parts that have come.
    fn finish(&mut self, part_left: u64) -> Option<Delivery> {
        (self.body_bytes, self.parts_bytes) = (0, 0);
        // With its list: kept here, an idle peer's would be as long as its longest message.
        let message = Message::from_parts(core::mem::take(&mut self.parts))?;
        Some(Delivery { message, part_left })
    }

    /// Memory follows what has come: at most four times that, and never more than the part needs.
    /// Growing by less would copy more of a long part once more than the third that it is now.
    fn extend(&mut self, piece: &[u8], part_left: u64) {
        const AT_ONCE: usize = 256 << 10;
        let missing = usize::try_from(part_left).unwrap_or(usize::MAX).saturating_add(piece.len());
        if self.part.capacity() - self.part.len() < piece.len() {
            let step = (3 * self.part.len()).max(AT_ONCE).max(piece.len());
            self.part.reserve_exact(missing.min(step));
        }
        self.part.extend_from_slice(piece);
    }
}
