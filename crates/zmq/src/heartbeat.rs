//! Heartbeats (RFC 37, "Connection Heartbeating") and the handshake's deadline.

use crate::Error;
use core::time::Duration;

/// How to look after a silent connection.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Time between our PINGs.
    pub interval: Duration,
    /// How long after a PING the peer may stay silent.
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
    // A PING is out: silence is fatal from here on.
    pong_due: Option<Duration>,
    peer_ttl: Option<Duration>,
    peer_dead: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(now: Duration, handshake: Duration, policy: Option<Heartbeat>) -> Self {
        Self {
            policy,
            handshake_end: Some(now.saturating_add(handshake)),
            next_ping: None,
            pong_due: None,
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

    /// The peer's PING carried this TTL, tenths of a second.
    pub(crate) fn set_peer_ttl(&mut self, now: Duration, tenths: u16) {
        self.peer_ttl = (tenths > 0).then(|| Duration::from_millis(u64::from(tenths) * 100));
        self.heard(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        [self.handshake_end, self.next_ping, self.pong_due, self.peer_dead]
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
        let Some(policy) = self.policy.filter(|_| due(self.next_ping)) else {
            return Ok(None);
        };
        self.next_ping = Some(now.saturating_add(policy.interval));
        self.pong_due.get_or_insert(now.saturating_add(policy.timeout));
        let tenths = policy.ttl.as_millis() / 100;
        Ok(Some(u16::try_from(tenths).unwrap_or(u16::MAX)))
    }
}
