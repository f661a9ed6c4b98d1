//! ZMTP decoder: how a connection reads greeting, frames and commands.

use super::{Body, Connection, Data, Event, Reading, Stage};
use crate::frame::{COMMAND, Header, MORE};
use crate::greeting::{GREETING_BYTES, Greeting, VERSION_BYTES};
use crate::greeting_v2::GreetingV2;
use crate::mechanism::curve::MESSAGE_OVERHEAD;
use crate::mechanism::{Step, peer_error};
use crate::{Error, PeerInfo, Security, command, metadata};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

impl Connection {
    /// A one-part message in a short frame that stands whole at the start of the input: the
    /// usual case, decided by a few comparisons. Anything else takes the long way.
    pub(super) fn short_frame(&self, input: &[u8]) -> Option<(usize, Event)> {
        let Reading::Header { have: 0, .. } = self.reading else {
            return None;
        };
        let (&[flags, len], rest) = input.split_first_chunk()?;
        let plain = flags == 0 && self.opener.is_none() && self.is_ready() && self.parts == 0;
        if !plain
            || u64::from(len) > self.config.limits.frame_bytes_max
            || self.config.limits.parts_max == 0
        {
            return None;
        }
        let len = usize::from(len);
        if rest.len() < len {
            return None;
        }
        let body = Body { data: Data::Taken(len), part_left: 0, more: false };
        Some((2 + len, Event::Body(body)))
    }

    /// Takes at least one byte of `rest`, which is not empty.
    pub(super) fn step(
        &mut self,
        now: Duration,
        rest: &[u8],
    ) -> Result<(usize, Option<Event>), Error> {
        match &mut self.stage {
            Stage::Failed => Err(Error::Closed),
            Stage::Greeting { bytes, have, .. } => {
                let stage_end = if *have < VERSION_BYTES { VERSION_BYTES } else { GREETING_BYTES };
                let used = append(&mut bytes[..stage_end], have, rest);
                Greeting::check_prefix(&bytes[..*have])?;
                match *have {
                    VERSION_BYTES => self.version_known()?,
                    GREETING_BYTES => self.greeted()?,
                    _ => {}
                }
                Ok((used, None))
            }
            Stage::GreetingV2(greeting) => {
                let (used, peer) = greeting.take(rest)?;
                let Some(peer) = peer else {
                    return Ok((used, None));
                };
                if !self.config.socket_type.accepts(peer.socket_type) {
                    return Err(Error::SocketTypeMismatch);
                }
                Ok((used, Some(self.introduced(now, peer))))
            }
            Stage::Handshake { .. } | Stage::Ready => self.read_frame(now, rest),
        }
    }

    /// Sends the rest of our greeting, as the peer's version has it.
    fn version_known(&mut self) -> Result<(), Error> {
        let Stage::Greeting { bytes, .. } = &self.stage else {
            return Err(Error::Closed);
        };
        let security = &self.config.security;
        if !bytes.first_chunk().is_some_and(Greeting::is_v2) {
            let ours = Greeting::new(security.name(), security.is_server()).encode();
            self.outbox.raw(&ours[VERSION_BYTES..]);
            return Ok(());
        }
        // RFC 15 has no security.
        if !matches!(security, Security::Null) {
            return Err(Error::Version(2));
        }
        let ours = GreetingV2::encode(self.config.socket_type, &self.config.identity);
        self.outbox.raw(&ours);
        self.stage = Stage::GreetingV2(GreetingV2::default());
        Ok(())
    }

    /// The handshake is done.
    fn introduced(&mut self, now: Duration, peer: PeerInfo) -> Event {
        self.watch.ready(now, peer.minor_version);
        self.peer = Some(Box::new(peer));
        self.stage = Stage::Ready;
        Event::Ready
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

    fn read_frame(&mut self, now: Duration, rest: &[u8]) -> Result<(usize, Option<Event>), Error> {
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
                let skipped = self.begin_frame(header)?;
                if skipped.is_some() {
                    return Ok((used, skipped));
                }
                let (more_used, event) = self.read_contents(now, &rest[used..])?;
                Ok((used + more_used, event))
            }
            _ => self.read_contents(now, rest),
        }
    }

    /// Compares a frame's length with the limit for its kind, before anything is kept of it.
    fn begin_frame(&mut self, header: Header) -> Result<Option<Event>, Error> {
        let Header { flags, len } = header;
        let limits = &self.config.limits;
        let is_command = flags & COMMAND != 0;
        let is_ready = matches!(self.stage, Stage::Ready);
        // RFC 15: "bits 7-2: reserved"; there are no commands.
        if is_command && self.peer().is_some_and(|peer| peer.major_version < 3) {
            return Err(Error::ReservedFlags);
        }
        // RFC 37: before the handshake is done, commands only.
        if !is_ready && !is_command {
            return Err(Error::UnexpectedCommand);
        }
        if self.opener.is_some() {
            let overhead = MESSAGE_OVERHEAD as u64;
            let max = limits
                .frame_bytes_max
                .min(limits.message_bytes_max as u64)
                .saturating_add(overhead);
            if len > max {
                return Err(Error::FrameTooLong(len));
            }
        } else if is_command {
            if len > limits.command_bytes_max {
                if !is_ready {
                    return Err(Error::CommandTooLong(len));
                }
                // A topic too long, as it must be. libzmq would subscribe to it again on each new
                // connection, so that ending this one would be for ever.
                self.reading = Reading::Skipped { left: len };
                return Ok(Some(Event::Skipped(len)));
            }
        } else {
            if len > limits.frame_bytes_max {
                return Err(Error::FrameTooLong(len));
            }
            self.count_part(flags & MORE != 0)?;
            self.reading = Reading::Body { more: flags & MORE != 0, left: len };
            return Ok(None);
        }
        let left = usize::try_from(len).map_err(|_| Error::FrameTooLong(len))?;
        self.reading = Reading::Whole { flags, bytes: Vec::new(), left };
        Ok(None)
    }

    fn count_part(&mut self, more: bool) -> Result<(), Error> {
        self.parts += 1;
        if self.parts > self.config.limits.parts_max {
            return Err(Error::TooManyParts);
        }
        if !more {
            self.parts = 0;
        }
        Ok(())
    }

    /// The contents of the frame under way, as far as they are there.
    fn read_contents(
        &mut self,
        now: Duration,
        rest: &[u8],
    ) -> Result<(usize, Option<Event>), Error> {
        match &mut self.reading {
            Reading::Header { .. } => Ok((0, None)),
            Reading::Skipped { left } => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= used as u64;
                if *left == 0 {
                    self.reading = Reading::START;
                }
                Ok((used, None))
            }
            Reading::Body { more, left } => {
                if rest.is_empty() && *left > 0 {
                    return Ok((0, None));
                }
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= used as u64;
                let data = Data::Taken(used);
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
    ) -> Result<Option<Event>, Error> {
        if matches!(self.stage, Stage::Handshake { .. }) {
            return self.handshake_command(now, frame);
        }
        let Some(opener) = &mut self.opener else {
            return self.command(now, frame);
        };
        let (inner_flags, body) = opener.open(frame)?;
        if inner_flags & COMMAND != 0 {
            let len = body.len() as u64;
            if len > self.config.limits.command_bytes_max {
                return Ok(Some(Event::Skipped(len)));
            }
            return self.command(now, &body);
        }
        // RFC 26 has the MORE bit inside; a MORE bit outside would be a frame of its own kind.
        if flags & MORE != 0 {
            return Err(Error::ReservedFlags);
        }
        let more = inner_flags & MORE != 0;
        self.count_part(more)?;
        let data = Data::Owned(body);
        Ok(Some(Event::Body(Body { data, part_left: 0, more })))
    }

    fn handshake_command(&mut self, now: Duration, frame: &[u8]) -> Result<Option<Event>, Error> {
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
        Ok(Some(self.introduced(now, peer)))
    }

    /// A command after the handshake.
    fn command(&mut self, now: Duration, frame: &[u8]) -> Result<Option<Event>, Error> {
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
