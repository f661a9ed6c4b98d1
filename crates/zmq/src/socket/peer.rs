//! One peer of a socket: its connection, and what it sent that nobody has received.

use super::{Options, Subscriptions};
use crate::{Body, Connection, Error, Event, Message};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: Connection,
    /// Its flow has ended; it stays until its inbox is empty.
    pub(super) gone: bool,
    /// Its inbox was full and is not yet half empty: nothing more is read from it.
    pub(super) input_waits: bool,
    pub(super) output_announced: bool,
    /// It stands in the ring of peers to receive from, or to send to.
    pub(super) in_readable: bool,
    pub(super) in_writable: bool,
    /// What a ROUTER calls it.
    pub(super) route: Option<Bytes>,
    /// What it subscribed to, at a PUB or XPUB.
    pub(super) subscriptions: Subscriptions,
    assembly: Assembly,
    inbox: VecDeque<Message>,
    inbox_bytes: usize,
}

/// What some input led to.
#[derive(Debug)]
pub(super) enum Arrival {
    Nothing,
    Ready,
    Message(Message),
    Subscribe(Bytes),
    Cancel(Bytes),
}

/// A message whose parts are still coming.
#[derive(Debug, Default)]
struct Assembly {
    parts: Vec<Bytes>,
    part: Vec<u8>,
    body_bytes: usize,
}

impl Peer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            gone: false,
            input_waits: false,
            output_announced: false,
            in_readable: false,
            in_writable: false,
            route: None,
            subscriptions: Subscriptions::default(),
            assembly: Assembly::default(),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.gone && self.connection.is_ready()
    }

    /// Whether one more message may be queued for it.
    pub(super) fn has_room(&self, options: &Options) -> bool {
        let queued = self.connection.queued_messages();
        self.is_ready()
            && (queued == 0
                || queued < options.send_messages_max
                    && self.connection.queued_bytes() < options.send_bytes_max)
    }

    pub(super) fn inbox_full(&self, options: &Options) -> bool {
        let waiting = self.inbox.len();
        waiting > 0
            && (waiting >= options.receive_messages_max
                || self.inbox_bytes >= options.receive_bytes_max)
    }

    /// Waking at half, not at the first free place, lets a batch be read at once.
    pub(super) fn inbox_half_empty(&self, options: &Options) -> bool {
        self.inbox.len() <= options.receive_messages_max / 2
            && self.inbox_bytes <= options.receive_bytes_max / 2
    }

    pub(super) fn has_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn deliver(&mut self, message: Message) {
        self.inbox_bytes += message.body_bytes();
        self.inbox.push_back(message);
    }

    pub(super) fn receive(&mut self) -> Option<Message> {
        let message = self.inbox.pop_front()?;
        self.inbox_bytes -= message.body_bytes();
        Some(message)
    }

    pub(super) fn clear_inbox(&mut self) {
        self.inbox.clear();
        self.inbox_bytes = 0;
    }

    /// Takes input up to the end of the next event.
    pub(super) fn take_input(
        &mut self,
        now: Duration,
        input: &[u8],
        options: &Options,
    ) -> Result<(usize, Arrival), Error> {
        let taken = self.connection.handle_input(now, input)?;
        let arrival = match taken.event {
            None => Arrival::Nothing,
            Some(Event::Ready) => Arrival::Ready,
            Some(Event::Subscribe(prefix)) => Arrival::Subscribe(prefix),
            Some(Event::Cancel(prefix)) => Arrival::Cancel(prefix),
            Some(Event::Body(body)) => {
                let max = options.config.limits.message_bytes;
                self.assembly.add(body, max)?.map_or(Arrival::Nothing, Arrival::Message)
            }
        };
        Ok((taken.consumed, arrival))
    }
}

impl Assembly {
    /// Adds a piece; gives the message when that was its last.
    fn add(&mut self, body: Body<'_>, bytes_max: usize) -> Result<Option<Message>, Error> {
        let piece = body.bytes().len();
        let part_left = usize::try_from(body.part_left).map_err(|_| Error::MessageTooLong)?;
        self.body_bytes += piece;
        if part_left > bytes_max.saturating_sub(self.body_bytes) || self.body_bytes > bytes_max {
            return Err(Error::MessageTooLong);
        }
        let more = body.more;
        if part_left > 0 || !self.part.is_empty() {
            self.extend(body.bytes(), part_left);
            if part_left > 0 {
                return Ok(None);
            }
            self.parts.push(core::mem::take(&mut self.part).into());
        } else if more || !self.parts.is_empty() {
            self.parts.push(body.into_bytes());
        } else {
            self.body_bytes = 0;
            return Ok(Some(Message::new(body.into_bytes())));
        }
        if more {
            return Ok(None);
        }
        self.body_bytes = 0;
        Ok(Message::from_parts(self.parts.drain(..)))
    }

    /// Memory follows what has come: at most twice that, and never more than the part needs.
    fn extend(&mut self, piece: &[u8], part_left: usize) {
        const AT_ONCE: usize = 256 << 10;
        let missing = piece.len() + part_left;
        if self.part.capacity() - self.part.len() < piece.len() {
            let step = self.part.len().max(AT_ONCE).max(piece.len());
            self.part.reserve_exact(missing.min(step));
        }
        self.part.extend_from_slice(piece);
    }
}
