//! Clocks of a connection: heartbeats (RFC 37, "Connection Heartbeating"), the handshake's deadline, how long half a
//! message may stay, and how long what is there for the peer.

use crate::{Error, Limits};
use core::time::Duration;
use pace::{Late, Pace, Wait};

/// How to look after a silent connection.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Time between our PINGs.
    pub interval: Duration,
    /// How long the peer may stay silent after a PING has left.
    pub timeout: Duration,
    /// What we ask of the peer: to close when it hears nothing from us for this long.
    /// Zero asks nothing. Sent in tenths of a second, so at most 6,553 s.
    pub ttl: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { interval: seconds(10), timeout: seconds(10), ttl: seconds(30) }
    }
}

/// The clocks of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    policy: Option<Heartbeat>,
    handshake_end: Option<Duration>,
    next_ping: Option<Duration>,
    // A PING waits for its turn, behind a message that may be long.
    ping_waits: bool,
    // A PING has left: silence is fatal from here on.
    pong_due: Option<Duration>,
    // Half a message is there.
    message: Option<Wait>,
    message_pace: Pace,
    // Output is there that the peer has not taken.
    output: Option<Wait>,
    // None: it may wait for ever.
    output_pace: Option<Pace>,
    peer_ttl: Option<Duration>,
    peer_dead: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(now: Duration, limits: &Limits, policy: Option<Heartbeat>) -> Self {
        let bytes_per_second_min = limits.bytes_per_second_min;
        let pace = |timeout| Pace { timeout, bytes_per_second_min };
        Self {
            policy,
            handshake_end: Some(now.saturating_add(limits.handshake_timeout)),
            next_ping: None,
            ping_waits: false,
            pong_due: None,
            message: None,
            message_pace: pace(limits.stall_timeout),
            output: None,
            output_pace: limits.write_timeout.map(pace),
            peer_ttl: None,
            peer_dead: None,
        }
    }

    /// The handshake is over. A peer of ZMTP 3.0 knows no PING.
    pub(crate) fn ready(&mut self, now: Duration, minor_version: u8) {
        self.handshake_end = None;
        if minor_version == 0 {
            self.policy = None;
        }
        self.next_ping = self.policy.map(|policy| now.saturating_add(policy.interval));
    }

    /// The peer showed life.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.pong_due = None;
        self.peer_dead = self.peer_ttl.map(|ttl| now.saturating_add(ttl));
    }

    /// A PING has left.
    pub(crate) fn ping_left(&mut self, now: Duration) {
        self.ping_waits = false;
        if let Some(policy) = self.policy {
            self.pong_due.get_or_insert(now.saturating_add(policy.timeout));
        }
    }

    /// So many bytes of a message came, and others lack.
    pub(crate) fn message_moved(&mut self, now: Duration, count: usize) {
        self.message = Some(self.message_pace.moved(self.message, now, count));
    }

    /// No message is under way.
    pub(crate) fn message_ended(&mut self) {
        self.message = None;
    }

    /// What lacks of a message is not read, by our choice: its clock starts again.
    pub(crate) fn message_deferred(&mut self, now: Duration) {
        if self.message.is_some() {
            self.message = Some(self.message_pace.start(now));
        }
    }

    /// Output is there, if it was not before.
    pub(crate) fn output_waits(&mut self, now: Duration) {
        if self.output.is_none() {
            self.output = self.output_pace.map(|pace| pace.start(now));
        }
    }

    /// The peer took so many bytes, and others are there.
    pub(crate) fn output_moved(&mut self, now: Duration, count: usize) {
        self.output = self.output_pace.map(|pace| pace.moved(self.output, now, count));
    }

    /// Nothing is there for the peer.
    pub(crate) fn output_ended(&mut self) {
        self.output = None;
    }

    /// The peer's PING carried this TTL, tenths of a second.
    pub(crate) fn set_peer_ttl(&mut self, now: Duration, tenths: u16) {
        self.peer_ttl = (tenths > 0).then(|| Duration::from_millis(u64::from(tenths) * 100));
        self.heard(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let message_due = self.message.map(|wait| wait.deadline);
        let output_due = self.output.map(|wait| wait.deadline);
        let heartbeats = [self.next_ping, self.pong_due, self.peer_dead];
        let others = [self.handshake_end, message_due, output_due];
        heartbeats.into_iter().chain(others).flatten().min()
    }

    /// What is due: `Some(ttl)` is a PING to send with this TTL in tenths of a second.
    pub(crate) fn poll(&mut self, now: Duration) -> Result<Option<u16>, Error> {
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if due(self.handshake_end) {
            return Err(Error::HandshakeTimeout);
        }
        // RFC 37: a peer that hears nothing within the TTL or the timeout closes.
        if due(self.pong_due) || due(self.peer_dead) {
            return Err(Error::HeartbeatTimeout);
        }
        match self.message_pace.late(self.message, now) {
            Some(Late::Stalled) => return Err(Error::MessageStalled),
            Some(Late::TooSlow) => return Err(Error::MessageTooSlow),
            None => {}
        }
        match self.output_pace.and_then(|pace| pace.late(self.output, now)) {
            Some(Late::Stalled) => return Err(Error::OutputStalled),
            Some(Late::TooSlow) => return Err(Error::OutputTooSlow),
            None => {}
        }
        let Some(policy) = self.policy.filter(|_| due(self.next_ping)) else {
            return Ok(None);
        };
        self.next_ping = Some(now.saturating_add(policy.interval));
        // One that waits is enough.
        if core::mem::replace(&mut self.ping_waits, true) {
            return Ok(None);
        }
        let tenths = policy.ttl.as_millis() / 100;
        Ok(Some(u16::try_from(tenths).unwrap_or(u16::MAX)))
    }
}
