//! Challenge acknowledgements, and how many of them there may be (RFC 5961).

use super::{AckState, Connection};
use crate::config::Shared;
use crate::time::Instant;

/// RFC 5961 section 7: a limit for each connection, so that no connection tells of another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChallengeLimit {
    second: u32,
    count: u8,
}

impl Connection {
    /// Asks a peer whose segment does not fit where it is: a real one corrects itself, an attacker cannot see
    /// the answer.
    pub(super) fn challenge(&mut self, shared: &mut Shared, now: Instant) {
        let second = (now.micros() / 1_000_000) as u32;
        if self.challenge.second != second {
            self.challenge = ChallengeLimit { second, count: 0 };
        }
        if self.challenge.count < shared.config.challenge_acks_per_second {
            self.challenge.count += 1;
            self.pending.acknowledgement = AckState::Now;
            shared.counters.challenge_acks += 1;
        } else {
            shared.counters.challenge_acks_suppressed += 1;
        }
    }
}
