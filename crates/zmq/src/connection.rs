//! ZMTP connection: one side of it.

mod reading;

use crate::frame::HEADER_BYTES_MAX;
use crate::greeting::{GREETING_BYTES, Greeting, VERSION_BYTES};
use crate::greeting_v2::GreetingV2;
use crate::heartbeat::Watch;
use crate::mechanism::Handshake;
use crate::mechanism::curve::Opener;
use crate::outbox::Outbox;
use crate::{Config, Error, Message, PeerInfo, SendError, command};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Steps of reading that are taken at once without an event: a frame takes two or three.
const STEPS_AT_ONCE: usize = 4;

/// A ZMTP 3.1 connection (RFC 37), whichever side opened it. A peer may speak 3.0, or, where no security is
/// asked for, 2.0 (RFC 15).
///
/// Feed what the peer sent to [`Connection::handle_input`], see by [`Connection::poll_event`] what came of it, and send
/// what [`Connection::poll_transmit`] writes, until an error ends it. After an error `poll_transmit` may still have an
/// ERROR command for the peer; then close.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    stage: Stage,
    peer: Option<Box<PeerInfo>>,
    reading: Reading,
    event: Option<Event>,
    parts: usize,
    opener: Option<Opener>,
    outbox: Outbox,
    watch: Watch,
}

/// What came from the peer.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done: [`Connection::peer`] says with whom; messages may flow.
    Ready,
    /// Bytes of a message part.
    Body(Body),
    /// A subscription to topics with this prefix (ZMTP 3.1's command form).
    Subscribe(Bytes),
    /// A subscription's end.
    Cancel(Bytes),
    /// A command of this many bytes is skipped: it is longer than
    /// [`Limits::command_bytes_max`](crate::Limits::command_bytes_max).
    Skipped(u64),
}

/// A piece of a message part; an empty part is one empty piece.
#[derive(Debug)]
pub struct Body {
    data: Data,
    /// Bytes of this part that are still to come; 0 at its last piece.
    pub part_left: u64,
    /// Whether another part of the message follows this one.
    pub more: bool,
}

#[derive(Debug)]
enum Data {
    /// The last so many bytes of those that were taken.
    Taken(usize),
    Owned(Bytes),
}

impl Body {
    /// The piece, which may stand in `taken`: what [`Connection::handle_input`] took last.
    pub fn bytes<'a>(&'a self, taken: &'a [u8]) -> &'a [u8] {
        match &self.data {
            Data::Taken(len) => last(taken, *len),
            Data::Owned(bytes) => bytes,
        }
    }

    /// The piece by value: copied only if it stands in `taken`.
    pub fn into_bytes(self, taken: &[u8]) -> Bytes {
        match self.data {
            Data::Taken(len) => Bytes::copy_from_slice(last(taken, len)),
            Data::Owned(bytes) => bytes,
        }
    }
}

fn last(taken: &[u8], len: usize) -> &[u8] {
    taken.len().checked_sub(len).and_then(|from| taken.get(from..)).unwrap_or_default()
}

#[derive(Debug)]
enum Stage {
    Greeting { bytes: [u8; GREETING_BYTES], have: usize, handshake: Handshake },
    GreetingV2(GreetingV2),
    Handshake { handshake: Handshake, minor_version: u8 },
    Ready,
    Failed,
}

/// Where in a frame the input stands.
#[derive(Debug)]
enum Reading {
    Header { bytes: [u8; HEADER_BYTES_MAX], have: usize },
    // Commands and CURVE frames mean nothing until they are whole.
    Whole { flags: u8, bytes: Vec<u8>, left: usize },
    Body { more: bool, left: u64 },
    Skipped { left: u64 },
}

impl Reading {
    const START: Self = Self::Header { bytes: [0; HEADER_BYTES_MAX], have: 0 };
}

impl Connection {
    /// Starts a connection; the start of our greeting is at once there to transmit, and the rest when it is
    /// known which version the peer speaks.
    ///
    /// `entropy` is 48 fresh bytes from a cryptographic source: CURVE's transient secret key
    /// and nonce. The other mechanisms do not use it.
    pub fn new(now: Duration, config: Arc<Config>, entropy: &[u8; 48]) -> Self {
        let security = &config.security;
        let handshake = Handshake::new(security, entropy);
        let mut outbox = Outbox::default();
        let greeting = Greeting::new(security.name(), security.is_server()).encode();
        outbox.raw(&greeting[..VERSION_BYTES]);
        Self {
            stage: Stage::Greeting { bytes: [0; GREETING_BYTES], have: 0, handshake },
            peer: None,
            reading: Reading::START,
            event: None,
            parts: 0,
            opener: None,
            outbox,
            watch: Watch::new(now, &config.limits, config.heartbeat),
            config,
        }
    }

    /// Who is at the other end, once [`Event::Ready`] has come.
    pub fn peer(&self) -> Option<&PeerInfo> {
        self.peer.as_deref()
    }

    /// Whether messages may flow.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Takes bytes from the peer, up to the end of the next event or a few frames without one, and none while answers to
    /// commands wait to be sent; how many. Call [`poll_event`](Self::poll_event) next,
    /// since what nobody has polled by the next call is lost, and then this again with what is left.
    #[inline] // With `poll_event`, so that the event of a short message stays in registers.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> Result<usize, Error> {
        if !input.is_empty() {
            self.watch.heard(now);
        }
        if let Some((taken, event)) = self.short_frame(input) {
            self.event = Some(event);
            return Ok(taken);
        }
        self.long_input(now, input)
    }

    #[inline(never)]
    fn long_input(&mut self, now: Duration, input: &[u8]) -> Result<usize, Error> {
        self.event = None;
        let mut taken = 0;
        let mut steps = 0;
        while taken < input.len()
            && self.event.is_none()
            && steps < STEPS_AT_ONCE
            && !self.outbox.is_full_of_commands()
        {
            steps += 1;
            let step = self.step(now, &input[taken..]);
            let (used, event) = step.inspect_err(|error| self.fail(error))?;
            taken += used;
            self.event = event;
        }
        self.keep_pace(now, taken);
        Ok(taken)
    }

    /// What came of the input that was taken last.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// Whether a message, or a frame, lacks bytes; so many came now.
    fn keep_pace(&mut self, now: Duration, count: usize) {
        let between = matches!(self.reading, Reading::Header { have: 0, .. }) && self.parts == 0;
        if between || !self.is_ready() {
            self.watch.message_ended();
        } else {
            self.watch.message_moved(now, count);
        }
    }

    /// The peer is alive, for it has sent what we have no room to read.
    pub fn defer_input(&mut self, now: Duration) {
        self.watch.heard(now);
        self.watch.message_deferred(now);
    }

    /// Memory is short, so that nothing is read: silence is no fault of the peer's. What lacks of its
    /// message still has to come in time, or memory might stay short for ever.
    pub fn defer_heartbeat(&mut self, now: Duration) {
        self.watch.heard(now);
    }

    /// The peer took so many bytes of output that was taken before from here.
    pub fn peer_took(&mut self, now: Duration, count: usize) {
        if self.has_output() {
            self.watch.output_moved(now, count);
        }
    }

    /// When [`Connection::handle_timeout`] is to be called, if nothing else happens before. The clock of what is there
    /// for the peer starts here, at the latest.
    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        if matches!(self.stage, Stage::Failed) {
            return None;
        }
        if self.has_output() {
            self.watch.output_waits(now);
        }
        self.watch.next_deadline()
    }

    /// Does what is due: queues a PING, or gives up a silent peer.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        if matches!(self.stage, Stage::Failed) {
            return Err(Error::Closed);
        }
        let ping = self.watch.poll(now).inspect_err(|error| self.fail(error))?;
        if let Some(ttl) = ping {
            self.outbox.ping(command::join(b"PING", &[&ttl.to_be_bytes()]));
        }
        Ok(())
    }

    /// Writes what is to be sent into `buf`; returns how many bytes.
    pub fn poll_transmit(&mut self, now: Duration, buf: &mut [u8]) -> usize {
        let written = self.outbox.write(buf);
        if self.outbox.take_ping_left() {
            self.watch.ping_left(now);
        }
        self.output_taken(now, written);
        written
    }

    fn output_taken(&mut self, now: Duration, count: usize) {
        if !self.has_output() {
            self.watch.output_ended();
        } else if count > 0 {
            self.watch.output_moved(now, count);
        }
    }

    /// What [`Connection::poll_transmit`] would write next, where that is the rest of a long body,
    /// to be written from where it lies. Then call [`Connection::long_output_taken`].
    pub fn long_output(&self) -> Option<Bytes> {
        self.outbox.long_body()
    }

    /// So many bytes of [`Connection::long_output`], at most all, have been written.
    pub fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.outbox.advance(count);
        self.output_taken(now, count);
    }

    /// Whether [`Connection::poll_transmit`] has something to write.
    pub fn has_output(&self) -> bool {
        self.outbox.has_output()
    }

    /// Messages queued and not yet wholly written.
    pub fn queued_messages(&self) -> usize {
        self.outbox.message_count()
    }

    /// Bytes that all that is queued takes in memory: bodies, and some fifty bytes beside each.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.held_bytes()
    }

    /// Bytes of a frame that means nothing until it is whole: of a command, or under CURVE.
    pub fn gathered_bytes(&self) -> usize {
        match &self.reading {
            Reading::Whole { bytes, .. } => bytes.capacity(),
            _ => 0,
        }
    }

    /// Bytes that the peer, and what is queued for it, take in memory beside the connection itself.
    pub fn held_bytes(&self) -> usize {
        let peer = self.peer.as_ref().map_or(0, |peer| peer.held_bytes());
        self.gathered_bytes() + self.queued_bytes() + peer
    }

    /// Queues a message. There is no bound here: look at [`Connection::queued_messages`] first.
    pub fn send(&mut self, message: Message) -> Result<(), SendError> {
        self.send_start(message, 0)
    }

    /// Queues a message of whose last part `left` bytes follow by [`Connection::send_piece`].
    pub fn send_start(&mut self, message: Message, left: u64) -> Result<(), SendError> {
        self.check_ready()?;
        self.outbox.message(message, left)
    }

    /// Starts a part of `len` bytes, given in pieces by [`Connection::send_piece`]; `more` says
    /// whether another part of the message follows. Nothing else is sent until it is whole.
    pub fn begin_part(&mut self, len: u64, more: bool) -> Result<(), SendError> {
        self.check_ready()?;
        self.outbox.begin_part(len, more)
    }

    /// The next bytes of the part that [`Connection::begin_part`] started. Under CURVE they
    /// gather until the part is whole.
    pub fn send_piece(&mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.check_ready()?;
        self.outbox.piece(piece.into())
    }

    /// Whether a part lacks bytes; until it has them nothing else can be sent.
    pub fn is_part_open(&self) -> bool {
        self.outbox.is_part_open()
    }

    /// Whether a piece more may wait, by a bound on the bytes that do.
    pub(crate) fn has_piece_room(&self, bytes_max: usize) -> bool {
        // A CURVE part must be whole before any of it can go.
        !self.outbox.streams() || self.outbox.held_bytes() < bytes_max
    }

    /// Queues a subscription, or its end: a command to a 3.1 peer, to a 3.0 peer a message
    /// (RFC 23).
    pub fn send_subscription(&mut self, subscribe: bool, prefix: &[u8]) -> Result<(), SendError> {
        self.check_ready()?;
        if self.peer().is_some_and(|peer| peer.minor_version > 0) {
            let name: &[u8] = if subscribe { b"SUBSCRIBE" } else { b"CANCEL" };
            self.outbox.command(command::join(name, &[prefix]));
            return Ok(());
        }
        let body = [&[u8::from(subscribe)], prefix].concat();
        self.outbox.message(Message::new(body), 0)
    }

    /// Forgets a frame that is not yet whole: the connection is about to close.
    pub(crate) fn drop_gathered(&mut self) {
        self.reading = Reading::START;
    }

    /// All that is queued: the connection is over.
    pub(crate) fn take_outbox(&mut self) -> Outbox {
        core::mem::take(&mut self.outbox)
    }

    /// Takes back the messages of which no byte has been written.
    pub fn take_unsent(&mut self) -> Vec<Message> {
        self.outbox.take_unsent()
    }

    /// Ends the connection for a cause found outside it; the peer is told if it can be.
    pub fn fail(&mut self, cause: &Error) {
        let during_handshake = matches!(self.stage, Stage::Handshake { .. });
        self.stage = Stage::Failed;
        self.reading = Reading::START;
        self.outbox.drop_messages();
        // ERROR is no answer to ERROR.
        if during_handshake && !matches!(cause, Error::Peer(_)) {
            self.outbox.handshake(command::error(cause.reason()));
        }
    }

    fn check_ready(&self) -> Result<(), SendError> {
        if self.is_ready() { Ok(()) } else { Err(SendError::NotReady) }
    }
}

#[cfg(test)]
mod tests;
