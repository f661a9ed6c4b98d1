//! Pace: how long bytes may wait for a peer, and how slowly they may move. All protocol cores hold their peers to it.
#![no_std]
#![forbid(unsafe_code)]

use core::time::Duration;

/// What bytes that wait are measured by: each that moves puts the deadline off by its share of a second, to `timeout`
/// from now at most. So a pause may be that long, and a peer that sends or takes a byte now and then does not hold a
/// connection for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// How long nothing may move.
    pub timeout: Duration,
    /// Zero is no least rate.
    pub bytes_per_second_min: u32,
}

/// Bytes wait.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When the last ones moved.
    since: Duration,
    /// When it is too long.
    pub deadline: Duration,
}

/// How a wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Nothing moved.
    Stalled,
    /// Some did, and too slowly.
    TooSlow,
}

impl Pace {
    /// Bytes begin to wait.
    pub fn start(&self, now: Duration) -> Wait {
        Wait { since: now, deadline: now.saturating_add(self.timeout) }
    }

    /// Of those that waited so many moved now, and others wait.
    pub fn moved(&self, wait: Option<Wait>, now: Duration, count: usize) -> Wait {
        let deadline = self.deadline(wait.map(|wait| wait.deadline), now, count);
        Wait { since: now, deadline }
    }

    /// The deadline of others, when of bytes that waited until `before` so many moved now.
    pub fn deadline(&self, before: Option<Duration>, now: Duration, count: usize) -> Duration {
        let latest = now.saturating_add(self.timeout);
        let share = (count as u64).saturating_mul(1_000_000);
        match (before, share.checked_div(self.bytes_per_second_min.into())) {
            (Some(before), Some(micros)) => {
                latest.min(before.saturating_add(Duration::from_micros(micros)))
            }
            _ => latest,
        }
    }

    /// How the wait is over its deadline, if it is.
    pub fn late(&self, wait: Option<Wait>, now: Duration) -> Option<Late> {
        let wait = wait.filter(|wait| wait.deadline <= now)?;
        let stalled = wait.since.saturating_add(self.timeout) <= now;
        Some(if stalled { Late::Stalled } else { Late::TooSlow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { timeout: Duration::from_secs(60), bytes_per_second_min: 10 };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_keeps_the_rate_is_never_late_and_may_pause() {
        let mut wait = PACE.start(seconds(0));
        for second in 1..1_000 {
            wait = PACE.moved(Some(wait), seconds(second), 10);
            assert_eq!(wait.deadline, seconds(second + 60));
        }
        assert_eq!(PACE.late(Some(wait), seconds(1_058)), None);
        let late = PACE.late(Some(wait), seconds(1_059));
        assert_eq!(late, Some(Late::Stalled));
    }

    #[test]
    fn who_drips_is_late_although_it_never_stalls() {
        let mut wait = PACE.start(seconds(0));
        for second in [30, 58] {
            wait = PACE.moved(Some(wait), seconds(second), 10);
            assert_eq!(PACE.late(Some(wait), seconds(second)), None);
        }
        assert_eq!(wait.deadline, seconds(62));
        let late = PACE.late(Some(wait), seconds(62));
        assert_eq!(late, Some(Late::TooSlow));
    }

    #[test]
    fn without_a_least_rate_each_byte_is_enough() {
        let pace = Pace { bytes_per_second_min: 0, ..PACE };
        let wait = pace.moved(Some(pace.start(seconds(0))), seconds(50), 1);
        assert_eq!(wait.deadline, seconds(110));
    }
}
