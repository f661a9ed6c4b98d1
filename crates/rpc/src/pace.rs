//! Pace: how long bytes may wait, and how slowly they may move.

use crate::limits::Limits;
use core::time::Duration;

/// What bytes that wait are measured by: each that moves puts the deadline off by its share of a second, to
/// [`Limits::stall_timeout`] from now at most. So a pause may be that long, and a peer that sends or takes a byte
/// now and then does not hold a connection for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    stall_timeout: Duration,
    /// Zero is no least rate.
    bytes_per_second_min: u32,
}

/// Bytes wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// When the last ones moved.
    since: Duration,
    pub(crate) deadline: Duration,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { stall_timeout, bytes_per_second_min, .. } = *limits;
        Self { stall_timeout, bytes_per_second_min }
    }

    pub(crate) fn start(&self, now: Duration) -> Wait {
        Wait { since: now, deadline: now.saturating_add(self.stall_timeout) }
    }

    /// Of those that waited so many moved now, and others wait.
    pub(crate) fn moved(&self, wait: Option<Wait>, now: Duration, count: usize) -> Wait {
        let latest = self.start(now);
        let share = (count as u64).saturating_mul(1_000_000);
        match (wait, share.checked_div(self.bytes_per_second_min.into())) {
            (Some(wait), Some(micros)) => {
                let deadline = wait.deadline.saturating_add(Duration::from_micros(micros));
                Wait { deadline: latest.deadline.min(deadline), ..latest }
            }
            _ => latest,
        }
    }

    /// Which limit a wait has reached, if any.
    pub(crate) fn reached(&self, wait: Option<Wait>, now: Duration) -> Option<&'static str> {
        let wait = wait.filter(|wait| wait.deadline <= now)?;
        Some(match wait.since.saturating_add(self.stall_timeout) <= now {
            true => "stall_timeout without progress",
            false => "less than bytes_per_second_min",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { stall_timeout: Duration::from_secs(60), bytes_per_second_min: 10 };

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
        assert_eq!(PACE.reached(Some(wait), seconds(1_058)), None);
        let reached = PACE.reached(Some(wait), seconds(1_059));
        assert_eq!(reached, Some("stall_timeout without progress"));
    }

    #[test]
    fn who_drips_is_late_although_it_never_stalls() {
        let mut wait = PACE.start(seconds(0));
        for second in [30, 58] {
            wait = PACE.moved(Some(wait), seconds(second), 10);
            assert_eq!(PACE.reached(Some(wait), seconds(second)), None);
        }
        assert_eq!(wait.deadline, seconds(62));
        let reached = PACE.reached(Some(wait), seconds(62));
        assert_eq!(reached, Some("less than bytes_per_second_min"));
    }

    #[test]
    fn without_a_least_rate_each_byte_is_enough() {
        let pace = Pace { bytes_per_second_min: 0, ..PACE };
        let wait = pace.moved(Some(pace.start(seconds(0))), seconds(50), 1);
        assert_eq!(wait.deadline, seconds(110));
    }
}
