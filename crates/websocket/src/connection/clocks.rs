//! Clocks: pings to a silent peer, the pace at which it takes output, the time it has to close.

use super::{Connection, ConnectionState};
use crate::Error;
use crate::frame::Opcode;
use core::time::Duration;
use pace::{Late, Pace, Wait};

#[derive(Debug)]
pub(super) struct Clocks {
    peer: Peer,
    /// Output waits.
    output: Option<Wait>,
    /// When the closing handshake is given up.
    closing: Option<Duration>,
}

/// When the peer was last heard of.
#[derive(Debug)]
enum Peer {
    Heard(Duration),
    /// It was sent a ping then, and has said nothing since.
    Asked(Duration),
}

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        if !self.wants_input() || self.is_paused {
            // Its answer may be there, and is not read.
            self.clocks.peer = Peer::Heard(now);
        }
        if self.over.is_some() {
            return None;
        }
        let output = self.clocks.output.map(|wait| wait.deadline);
        [self.ping_deadline(), output, self.clocks.closing].into_iter().flatten().min()
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.clocks.closing.is_some_and(|deadline| deadline <= now) {
            self.fail(now, Error::Cut);
            self.over.get_or_insert(ConnectionState::Closed);
        }
        if let Some(late) = self.limits.write_pace.late(self.clocks.output, now) {
            self.abort(
                now,
                match late {
                    Late::Stalled => Error::OutputStalled,
                    Late::TooSlow => Error::OutputTooSlow,
                },
            );
        }
        if self.ping_deadline().is_some_and(|deadline| deadline <= now) {
            match self.clocks.peer {
                Peer::Heard(_) => {
                    self.clocks.peer = Peer::Asked(now);
                    self.output.queue_control(Opcode::Ping, b"");
                    self.note_output(now);
                }
                Peer::Asked(_) => self.abort(now, Error::Silent),
            }
        }
    }

    /// The peer took so many bytes that the transport had taken before.
    pub fn peer_took(&mut self, now: Duration, count: usize) {
        let waits = self.wants_transmit();
        self.clocks.output_moved(now, count, waits, &self.limits.write_pace);
    }

    /// Before the closing handshake, which has a time of its own.
    fn ping_deadline(&self) -> Option<Duration> {
        let interval = self.limits.ping_interval?;
        if self.is_closing() {
            return None;
        }
        Some(match self.clocks.peer {
            Peer::Heard(at) => at.saturating_add(interval),
            Peer::Asked(at) => at.saturating_add(self.limits.ping_timeout),
        })
    }

    fn abort(&mut self, now: Duration, error: Error) {
        self.fail(now, error);
        self.over.get_or_insert(ConnectionState::Abort);
    }
}

impl Clocks {
    pub(super) fn new(now: Duration) -> Self {
        Self { peer: Peer::Heard(now), output: None, closing: None }
    }

    /// Whatever came of the peer says that it is there.
    pub(super) fn heard(&mut self, now: Duration) {
        self.peer = Peer::Heard(now);
    }

    pub(super) fn wait_for_output(&mut self, now: Duration, pace: &Pace) {
        self.output.get_or_insert_with(|| pace.start(now));
    }

    pub(super) fn output_moved(&mut self, now: Duration, count: usize, waits: bool, pace: &Pace) {
        self.output = waits.then(|| pace.moved(self.output, now, count));
    }

    /// The closing handshake has begun, if it had not.
    pub(super) fn begin_closing(&mut self, now: Duration, timeout: Duration) {
        self.closing.get_or_insert(now.saturating_add(timeout));
    }
}
