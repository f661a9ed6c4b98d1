//! Connection: frames in and out, messages, pings, and the closing handshake (RFC 6455 sections 5 to 7), on either side.

mod clocks;
mod input;
mod output;
#[cfg(test)]
mod tests;

use crate::deflate::{Compression, SharedCompressor};
use crate::{AgreedDeflate, CloseCode, Closure, Error, Limits, Message};
use alloc::boxed::Box;
use clocks::Clocks;
use core::fmt;
use core::time::Duration;
use input::Input;
use output::Output;

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that answered the handshake: it sends without masks and gets with.
    Server,
    /// The side that asked.
    Client {
        /// From a cryptographic source: nobody is to foresee the masks (section 10.3).
        mask_seed: [u8; 32],
    },
}

/// What a connection begins with, after its handshake.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which side this is.
    pub role: Role,
    /// How messages are compressed, and the compressor of all connections.
    pub deflate: Option<(AgreedDeflate, SharedCompressor)>,
    /// Bounds on the peer.
    pub limits: Limits,
}

/// What came of input, or of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, whole.
    Message(Message),
    /// The peer's last: no message follows. What its close frame said, if there was one.
    Closed(Result<Closure, Error>),
}

/// What is to be done with the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Read and write.
    Open,
    /// End our side, all output being taken; what still comes is read and dropped.
    EndOutput,
    /// End our side, and close as soon as the peer has everything.
    Drain,
    /// Close.
    Closed,
    /// Reset it: the peer is not there, or takes nothing.
    Abort,
}

/// A message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// [`Limits::unsent_bytes_max`] are waiting already.
    Full,
    /// The connection is closing, or closed.
    Closing,
}

/// A WebSocket connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    role: Role,
    input: Input,
    output: Output,
    compression: Option<Box<Compression>>,
    clocks: Clocks,
    /// What ended it, before the peer's part of the closing handshake came.
    failure: Option<Error>,
    /// The peer's side of the transport has ended.
    has_peer_ended: bool,
    /// The transport is of no more use.
    over: Option<ConnectionState>,
    /// The transport is not read for now, for other reasons than ours.
    is_paused: bool,
}

/// What a connection takes that says nothing, with the task and the handler that run it.
const IDLE_BYTES: usize = 2 << 10;

impl Connection {
    /// A connection after its handshake.
    pub fn new(session: Session, now: Duration) -> Self {
        let Session { role, deflate, limits } = session;
        let agreed = deflate.as_ref().map(|(agreed, _)| *agreed);
        Self {
            limits,
            role,
            input: Input::new(agreed),
            output: Output::new(&role),
            compression: deflate.map(|(agreed, shared)| Box::new(Compression::new(agreed, shared))),
            clocks: Clocks::new(now),
            failure: None,
            has_peer_ended: false,
            over: None,
            is_paused: false,
        }
    }

    /// The next event, in order. After [`Event::Closed`] there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.input.take_event()
    }

    /// Whether there is an event.
    pub fn has_event(&self) -> bool {
        self.input.has_event()
    }

    /// Queues a message, for as long as less than [`Limits::unsent_bytes_max`] wait.
    ///
    /// # Errors
    /// See [`Refused`]; the message is gone then, so that [`can_send`](Self::can_send) is to be asked first.
    pub fn send(&mut self, now: Duration, message: Message) -> Result<(), Refused> {
        self.can_send()?;
        let compressed = self.compression.as_mut().and_then(|it| it.compress(message.as_bytes()));
        self.output.queue(message, compressed);
        self.note_output(now);
        Ok(())
    }

    /// Whether a message would be taken now.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn can_send(&self) -> Result<(), Refused> {
        if self.over.is_some() || self.output.is_ending() {
            return Err(Refused::Closing);
        }
        let has_room = self.output.queued_bytes() < self.limits.unsent_bytes_max;
        if has_room { Ok(()) } else { Err(Refused::Full) }
    }

    /// Ends the connection once all queued messages have gone (section 7.1.2): the peer then answers, until when its
    /// messages are received. Nothing happens if it is ending already.
    pub fn close(&mut self, now: Duration, code: CloseCode, reason: &str) {
        if self.over.is_none() && !self.output.is_ending() {
            self.output.close_after_queue(Closure::new(code, reason));
            self.note_output(now);
        }
    }

    /// What is to be done with the transport now.
    pub fn state(&self) -> ConnectionState {
        if let Some(over) = self.over {
            return over;
        }
        if !self.output.is_closed() {
            return ConnectionState::Open;
        }
        match (self.input.has_closed(), self.failure) {
            // Section 7.1.1: the server closes first, so that TIME-WAIT is its.
            (true, _) if self.role == Role::Server => ConnectionState::Drain,
            (true, _) if self.has_peer_ended => ConnectionState::Closed,
            // Section 7.1.7: after a failure nothing more is processed.
            (false, Some(_)) => ConnectionState::EndOutput,
            _ => ConnectionState::Open,
        }
    }

    /// Whether it has failed or either side has begun to close it.
    pub fn is_closing(&self) -> bool {
        self.over.is_some() || self.output.is_ending()
    }

    /// The transport is not read, although [`wants_input`](Self::wants_input) says so, or is again: the peer is not
    /// pinged meanwhile.
    pub fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Bytes held for the peer.
    pub fn held_bytes(&self) -> usize {
        let compression = self.compression.as_ref().map_or(0, |it| it.held_bytes());
        IDLE_BYTES + self.input.held_bytes() + self.output.held_bytes() + compression
    }

    /// The peer ended its side of the transport, or it broke; whether that led on.
    pub fn handle_end(&mut self, now: Duration) -> bool {
        if core::mem::replace(&mut self.has_peer_ended, true) {
            return false;
        }
        if !self.input.has_closed() {
            // Nothing that is not sent has a reader: a WebSocket is not half open.
            self.fail(now, Error::Cut);
            self.over.get_or_insert(ConnectionState::Closed);
        }
        true
    }

    /// The transport takes no more output. What the peer sent before is still to be read.
    pub fn output_lost(&mut self, now: Duration) {
        self.output.lose();
        self.clocks.begin_closing(now, self.limits.close_timeout);
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<Error> {
        self.failure
    }

    /// Ends the connection for this reason (section 7.1.7).
    fn fail(&mut self, now: Duration, error: Error) {
        if self.failure.is_some() || self.input.has_closed() {
            return;
        }
        self.failure = Some(error);
        self.input.end(Err(error));
        if let Some(code) = error.close_code() {
            self.output.close_now(&Closure::new(code, error.reason()));
            self.clocks.begin_closing(now, self.limits.close_timeout);
            self.note_output(now);
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much waits to be sent",
            Self::Closing => "the connection is closing",
        })
    }
}

impl core::error::Error for Refused {}
