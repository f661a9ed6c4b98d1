//! Clocks of a connection: heartbeats (RFC 37, "Connection Heartbeating"), the handshake's deadline, and how
//! long half a message may stay.

use crate::{Error, Limits};
use core::time::Duration;

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
    message: Option<Pace>,
    stall_timeout: Duration,
    bytes_per_second_min: u32,
    peer_ttl: Option<Duration>,
    peer_dead: Option<Duration>,
}

/// Of half a message: when its bytes moved last, and until when more must.
#[derive(Clone, Copy, Debug)]
struct Pace {
    moved_at: Duration,
    due: Duration,
}

impl Watch {
    pub(crate) fn new(now: Duration, limits: &Limits, policy: Option<Heartbeat>) -> Self {
        Self {
            policy,
            handshake_end: Some(now.saturating_add(limits.handshake_timeout)),
            next_ping: None,
            ping_waits: false,
            pong_due: None,
            message: None,
            stall_timeout: limits.stall_timeout,
            bytes_per_second_min: limits.bytes_per_second_min,
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

    /// So many bytes of a message came, and others lack. Each puts the deadline off by its share of a
    /// second, to the timeout from now at most.
    pub(crate) fn message_moved(&mut self, now: Duration, count: usize) {
        let latest = now.saturating_add(self.stall_timeout);
        let share = (count as u64).saturating_mul(1_000_000);
        let due = match (self.message, share.checked_div(self.bytes_per_second_min.into())) {
            (Some(pace), Some(micros)) => {
                latest.min(pace.due.saturating_add(Duration::from_micros(micros)))
            }
            _ => latest,
        };
        self.message = Some(Pace { moved_at: now, due });
    }

    /// No message is under way.
    pub(crate) fn message_ended(&mut self) {
        self.message = None;
    }

    /// What lacks of a message is not read, by our choice: its clock starts again.
    pub(crate) fn message_deferred(&mut self, now: Duration) {
        if self.message.take().is_some() {
            self.message_moved(now, 0);
        }
    }

    /// The peer's PING carried this TTL, tenths of a second.
    pub(crate) fn set_peer_ttl(&mut self, now: Duration, tenths: u16) {
        self.peer_ttl = (tenths > 0).then(|| Duration::from_millis(u64::from(tenths) * 100));
        self.heard(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let message_due = self.message.map(|pace| pace.due);
        [self.handshake_end, self.next_ping, self.pong_due, self.peer_dead, message_due]
            .into_iter()
            .flatten()
            .min()
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
        if let Some(pace) = self.message.filter(|pace| pace.due <= now) {
            let stalled = pace.moved_at.saturating_add(self.stall_timeout) <= now;
            return Err(if stalled { Error::MessageStalled } else { Error::MessageTooSlow });
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
