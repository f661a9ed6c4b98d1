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

/// The deadline of output that is there in parts: while none is, it stands, and what was left of it is there again with the
/// next part. So how slowly a peer took a stream so far is not forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputClock {
    deadline: Option<Duration>,
    /// What was left when it was stopped.
    slack: Duration,
}

impl OutputClock {
    /// There is something to send.
    pub fn begin(&mut self, pace: &Pace, now: Duration) {
        self.deadline = Some(now.saturating_add(pace.timeout));
    }

    /// So many bytes moved, and more are there.
    pub fn moved(&mut self, pace: &Pace, now: Duration, count: usize) {
        self.deadline = Some(pace.deadline(self.deadline, now, count));
    }

    /// All that is there so far has moved.
    pub fn pause(&mut self, now: Duration) {
        if let Some(deadline) = self.deadline.take() {
            self.slack = deadline.saturating_sub(now);
        }
    }

    /// There is more to send, if there was none.
    pub fn resume(&mut self, now: Duration) {
        self.deadline.get_or_insert(now.saturating_add(self.slack));
    }

    /// Nothing is to be sent.
    pub fn stop(&mut self) {
        self.deadline = None;
    }

    /// When what is there has waited too long, if anything is.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether it has.
    pub fn is_late(&self, now: Duration) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
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
    fn a_pause_of_the_source_is_not_the_peers() {
        let mut clock = OutputClock::default();
        clock.begin(&PACE, seconds(0));
        clock.moved(&PACE, seconds(20), 10);
        assert_eq!(clock.deadline(), Some(seconds(61)));
        clock.pause(seconds(31));
        assert!(!clock.is_late(seconds(1000)) && clock.deadline().is_none());
        clock.resume(seconds(500));
        clock.resume(seconds(510));
        assert_eq!(clock.deadline(), Some(seconds(530)));
        assert!(!clock.is_late(seconds(529)) && clock.is_late(seconds(530)));
        clock.stop();
        assert_eq!(clock.deadline(), None);
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
