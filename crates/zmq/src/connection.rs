//! One side of one ZMTP conversation.

use crate::frame::{COMMAND, HEADER_BYTES_MAX, Header, MORE};
use crate::greeting::{GREETING_BYTES, Greeting};
use crate::heartbeat::Watch;
use crate::mechanism::curve::{MESSAGE_OVERHEAD, Opener};
use crate::mechanism::{Handshake, Step, peer_error};
use crate::outbox::Outbox;
use crate::{Config, Error, Message, PeerInfo, SendError, command, metadata};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// A ZMTP 3.1 connection (RFC 37), whichever side opened it.
///
/// Feed what the peer sent to [`Connection::handle_input`] and send what
/// [`Connection::poll_transmit`] writes, until an error ends it. After an error
/// `poll_transmit` may still have an ERROR command for the peer; then close.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    stage: Stage,
    peer: Option<Box<PeerInfo>>,
    reading: Reading,
    parts: usize,
    opener: Option<Opener>,
    outbox: Outbox,
    watch: Watch,
}

/// What one call of [`Connection::handle_input`] did.
#[derive(Debug)]
pub struct Input<'a> {
    /// Bytes of the input that are done with. Offer the others again, when the event is handled.
    pub consumed: usize,
    /// What they brought.
    pub event: Option<Event<'a>>,
}

/// What came from the peer.
#[derive(Debug)]
pub enum Event<'a> {
    /// The handshake is done: [`Connection::peer`] says with whom; messages may flow.
    Ready,
    /// Bytes of a message part.
    Body(Body<'a>),
    /// A subscription to topics with this prefix (ZMTP 3.1's command form).
    Subscribe(Bytes),
    /// A subscription's end.
    Cancel(Bytes),
}

/// A piece of a message part; an empty part is one empty piece.
#[derive(Debug)]
pub struct Body<'a> {
    data: Data<'a>,
    /// Bytes of this part that are still to come; 0 at its last piece.
    pub part_left: u64,
    /// Whether another part of the message follows this one.
    pub more: bool,
}

#[derive(Debug)]
enum Data<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl Body<'_> {
    /// The piece.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Borrowed(bytes) => bytes,
            Data::Owned(bytes) => bytes,
        }
    }

    /// The piece by value: copied only if it stands in the caller's input.
    pub fn into_bytes(self) -> Bytes {
        match self.data {
            Data::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Data::Owned(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
enum Stage {
    Greeting { bytes: [u8; GREETING_BYTES], have: usize, handshake: Handshake },
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
}

impl Reading {
    const START: Self = Self::Header { bytes: [0; HEADER_BYTES_MAX], have: 0 };
}

impl Connection {
    /// Starts a connection; our greeting is at once there to transmit.
    ///
    /// `entropy` is 48 fresh bytes from a cryptographic source: CURVE's transient secret key
    /// and nonce. The other mechanisms do not use it.
    pub fn new(now: Duration, config: Arc<Config>, entropy: &[u8; 48]) -> Self {
        let security = &config.security;
        let handshake = Handshake::new(security, entropy);
        let mut outbox = Outbox::default();
        outbox.raw(&Greeting::new(security.name(), security.is_server()).encode());
        Self {
            stage: Stage::Greeting { bytes: [0; GREETING_BYTES], have: 0, handshake },
            peer: None,
            reading: Reading::START,
            parts: 0,
            opener: None,
            outbox,
            watch: Watch::new(now, config.limits.handshake, config.heartbeat),
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

    /// Takes bytes from the peer, up to the end of the next event. The event comes with the
    /// call because its body stands in `input`, uncopied. Call again with what is left.
    pub fn handle_input<'a>(&mut self, now: Duration, input: &'a [u8]) -> Result<Input<'a>, Error> {
        if !input.is_empty() {
            self.watch.heard(now);
        }
        if let Some(short) = self.short_frame(input) {
            return Ok(short);
        }
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            if rest.is_empty() {
                return Ok(Input { consumed, event: None });
            }
            let (used, event) = self.step(now, rest).inspect_err(|error| self.fail(error))?;
            consumed += used;
            if event.is_some() {
                return Ok(Input { consumed, event });
            }
        }
    }

    /// The peer is alive, for it has sent what we have no room to read.
    pub fn defer_input(&mut self, now: Duration) {
        self.watch.heard(now);
    }

    /// When [`Connection::handle_deadline`] is to be called, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Failed => None,
            _ => self.watch.next_deadline(),
        }
    }

    /// Does what is due: queues a PING, or gives up a silent peer.
    pub fn handle_deadline(&mut self, now: Duration) -> Result<(), Error> {
        if matches!(self.stage, Stage::Failed) {
            return Err(Error::Closed);
        }
        let ping = self.watch.poll(now).inspect_err(|error| self.fail(error))?;
        if let Some(ttl) = ping {
            self.outbox.command(command::join(b"PING", &[&ttl.to_be_bytes()]));
        }
        Ok(())
    }

    /// Writes what is to be sent into `buf`; returns how many bytes.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> usize {
        self.outbox.write(buf)
    }

    /// Whether [`Connection::poll_transmit`] has something to write.
    pub fn has_output(&self) -> bool {
        self.outbox.has_output()
    }

    /// Messages queued and not yet wholly written.
    pub fn queued_messages(&self) -> usize {
        self.outbox.message_count()
    }

    /// Bytes of bodies queued.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.body_bytes()
    }

    /// Queues a message. There is no bound here: look at [`Connection::queued_messages`] first.
    pub fn send(&mut self, message: Message) -> Result<(), SendError> {
        self.check_ready()?;
        self.outbox.message(message)
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
        self.outbox.message(Message::new(body))
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

    /// A one-part message in a short frame that stands whole at the start of the input: the
    /// usual case, decided by a few comparisons. Anything else takes the long way.
    fn short_frame<'a>(&self, input: &'a [u8]) -> Option<Input<'a>> {
        let Reading::Header { have: 0, .. } = self.reading else {
            return None;
        };
        let (&[flags, len], rest) = input.split_first_chunk()?;
        let plain = flags == 0 && self.opener.is_none() && self.is_ready() && self.parts == 0;
        if !plain
            || u64::from(len) > self.config.limits.frame_bytes
            || self.config.limits.parts == 0
        {
            return None;
        }
        let bytes = rest.get(..usize::from(len))?;
        let body = Body { data: Data::Borrowed(bytes), part_left: 0, more: false };
        Some(Input { consumed: 2 + bytes.len(), event: Some(Event::Body(body)) })
    }

    /// Takes at least one byte of `rest`, which is not empty.
    fn step<'a>(
        &mut self,
        now: Duration,
        rest: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        match &mut self.stage {
            Stage::Failed => Err(Error::Closed),
            Stage::Greeting { bytes, have, .. } => {
                let used = append(bytes, have, rest);
                Greeting::check_prefix(&bytes[..*have])?;
                if *have == GREETING_BYTES {
                    self.greeted()?;
                }
                Ok((used, None))
            }
            Stage::Handshake { .. } | Stage::Ready => self.read_frame(now, rest),
        }
    }

    /// The peer's greeting is whole.
    fn greeted(&mut self) -> Result<(), Error> {
        let stage = core::mem::replace(&mut self.stage, Stage::Failed);
        let Stage::Greeting { bytes, mut handshake, .. } = stage else {
            return Err(Error::Closed);
        };
        let theirs = Greeting::parse(&bytes)?;
        let security = &self.config.security;
        let ours = Greeting::new(security.name(), security.is_server());
        if theirs.mechanism != ours.mechanism {
            return Err(Error::MechanismMismatch);
        }
        // Two clients notice by their HELLOs. The bit alone cannot tell: libzmq never sets it.
        if theirs.as_server && ours.as_server {
            return Err(Error::RoleMismatch);
        }
        if let Some(first) = handshake.start(&self.metadata())? {
            self.outbox.handshake(first);
        }
        self.stage = Stage::Handshake { handshake, minor_version: theirs.minor };
        Ok(())
    }

    fn metadata(&self) -> Vec<u8> {
        metadata::encode(self.config.socket_type, &self.config.identity)
    }

    fn read_frame<'a>(
        &mut self,
        now: Duration,
        rest: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        match &mut self.reading {
            Reading::Header { bytes, have } => {
                // The usual case first: a header that stands whole in the input.
                let (header, used) = if *have == 0
                    && let Some(found) = Header::parse(rest)?
                {
                    found
                } else {
                    let before = *have;
                    append(bytes, have, rest);
                    let Some((header, len)) = Header::parse(&bytes[..*have])? else {
                        return Ok((rest.len(), None));
                    };
                    (header, len - before)
                };
                self.begin_frame(header)?;
                let (more_used, event) = self.read_contents(now, &rest[used..])?;
                Ok((used + more_used, event))
            }
            Reading::Whole { .. } | Reading::Body { .. } => self.read_contents(now, rest),
        }
    }

    /// Compares a frame's length with the limit for its kind, before anything is kept of it.
    fn begin_frame(&mut self, header: Header) -> Result<(), Error> {
        let Header { flags, len } = header;
        let limits = &self.config.limits;
        let is_command = flags & COMMAND != 0;
        let is_ready = matches!(self.stage, Stage::Ready);
        // RFC 37: before the handshake is done, commands only.
        if !is_ready && !is_command {
            return Err(Error::UnexpectedCommand);
        }
        if self.opener.is_some() {
            let overhead = MESSAGE_OVERHEAD as u64;
            let max = limits.frame_bytes.min(limits.message_bytes as u64).saturating_add(overhead);
            if len > max {
                return Err(Error::FrameTooLong(len));
            }
        } else if is_command {
            if len > limits.command_bytes {
                return Err(Error::CommandTooLong(len));
            }
        } else {
            if len > limits.frame_bytes {
                return Err(Error::FrameTooLong(len));
            }
            self.count_part(flags & MORE != 0)?;
            self.reading = Reading::Body { more: flags & MORE != 0, left: len };
            return Ok(());
        }
        let left = usize::try_from(len).map_err(|_| Error::FrameTooLong(len))?;
        self.reading = Reading::Whole { flags, bytes: Vec::new(), left };
        Ok(())
    }

    fn count_part(&mut self, more: bool) -> Result<(), Error> {
        self.parts += 1;
        if self.parts > self.config.limits.parts {
            return Err(Error::TooManyParts);
        }
        if !more {
            self.parts = 0;
        }
        Ok(())
    }

    /// The contents of the frame under way, as far as they are there.
    fn read_contents<'a>(
        &mut self,
        now: Duration,
        rest: &'a [u8],
    ) -> Result<(usize, Option<Event<'a>>), Error> {
        match &mut self.reading {
            Reading::Header { .. } => Ok((0, None)),
            Reading::Body { more, left } => {
                if rest.is_empty() && *left > 0 {
                    return Ok((0, None));
                }
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= used as u64;
                let data = Data::Borrowed(&rest[..used]);
                let body = Body { data, part_left: *left, more: *more };
                if *left == 0 {
                    self.reading = Reading::START;
                }
                Ok((used, Some(Event::Body(body))))
            }
            Reading::Whole { flags, bytes, left } => {
                let used = (*left).min(rest.len());
                let (flags, here) = (*flags, &rest[..used]);
                *left -= used;
                if *left > 0 {
                    // Memory follows what has come, not what the length field promised.
                    bytes.extend_from_slice(here);
                    return Ok((used, None));
                }
                let mut bytes = core::mem::take(bytes);
                self.reading = Reading::START;
                let whole = if bytes.is_empty() {
                    here
                } else {
                    bytes.extend_from_slice(here);
                    &bytes
                };
                Ok((used, self.whole_frame(now, flags, whole)?))
            }
        }
    }

    fn whole_frame(
        &mut self,
        now: Duration,
        flags: u8,
        frame: &[u8],
    ) -> Result<Option<Event<'static>>, Error> {
        if matches!(self.stage, Stage::Handshake { .. }) {
            return self.handshake_command(now, frame);
        }
        let Some(opener) = &mut self.opener else {
            return self.command(now, frame);
        };
        let (inner_flags, body) = opener.open(frame)?;
        if inner_flags & COMMAND != 0 {
            return self.command(now, &body);
        }
        // RFC 26 has the MORE bit inside; a MORE bit outside would be a frame of its own kind.
        if flags & MORE != 0 {
            return Err(Error::ReservedFlags);
        }
        let more = inner_flags & MORE != 0;
        self.count_part(more)?;
        let data = Data::Owned(body.into());
        Ok(Some(Event::Body(Body { data, part_left: 0, more })))
    }

    fn handshake_command(
        &mut self,
        now: Duration,
        frame: &[u8],
    ) -> Result<Option<Event<'static>>, Error> {
        let ours = self.metadata();
        let Stage::Handshake { handshake, minor_version } = &mut self.stage else {
            return Err(Error::UnexpectedCommand);
        };
        let minor_version = *minor_version;
        let (name, body) = command::split(frame)?;
        let (reply, peer_metadata, cipher) = match handshake.handle(name, body, &ours)? {
            Step::Reply(command) => {
                self.outbox.handshake(command);
                return Ok(None);
            }
            Step::Done { reply, peer_metadata, cipher } => (reply, peer_metadata, cipher),
        };
        let peer = PeerInfo::parse(&peer_metadata, minor_version)?;
        if !self.config.socket_type.accepts(peer.socket_type) {
            return Err(Error::SocketTypeMismatch);
        }
        if let Some(reply) = reply {
            self.outbox.handshake(reply);
        }
        if let Some(cipher) = cipher {
            self.opener = Some(cipher.opener);
            self.outbox.seal_with(cipher.sealer);
        }
        self.peer = Some(Box::new(peer));
        self.stage = Stage::Ready;
        self.watch.ready(now, minor_version);
        Ok(Some(Event::Ready))
    }

    /// A command after the handshake.
    fn command(&mut self, now: Duration, frame: &[u8]) -> Result<Option<Event<'static>>, Error> {
        let (name, body) = command::split(frame)?;
        match name {
            b"PING" => {
                let (ttl, context) = body.split_first_chunk().ok_or(Error::MalformedCommand)?;
                if context.len() > command::PING_CONTEXT_BYTES_MAX {
                    return Err(Error::MalformedCommand);
                }
                self.watch.set_peer_ttl(now, u16::from_be_bytes(*ttl));
                self.outbox.pong(context);
                Ok(None)
            }
            b"SUBSCRIBE" => Ok(Some(Event::Subscribe(Bytes::copy_from_slice(body)))),
            b"CANCEL" => Ok(Some(Event::Cancel(Bytes::copy_from_slice(body)))),
            b"ERROR" => Err(peer_error(body)),
            _ if command::is_handshake(name) => Err(Error::UnexpectedCommand),
            // PONG needs no answer, and what a later version adds is not ours to refuse.
            _ => Ok(None),
        }
    }
}

/// Fills `bytes` from `have` on; returns how many bytes of `from` went in.
fn append(bytes: &mut [u8], have: &mut usize, from: &[u8]) -> usize {
    let room = bytes.len() - *have;
    let used = room.min(from.len());
    bytes[*have..*have + used].copy_from_slice(&from[..used]);
    *have += used;
    used
}

#[cfg(test)]
mod tests;
