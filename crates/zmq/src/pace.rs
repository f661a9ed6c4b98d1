//! Pace: how long bytes may wait for the peer, and how slowly they may move.

use core::time::Duration;

/// What bytes that wait are measured by: each that moves puts the deadline off by its share of a second, to `timeout`
/// from now at most. So a pause may be that long, and a peer that sends or takes a byte now and then does not hold a
/// connection for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) timeout: Duration,
    /// Zero is no least rate.
    pub(crate) bytes_per_second_min: u32,
}

/// Bytes wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// When the last ones moved.
    since: Duration,
    pub(crate) deadline: Duration,
}

/// How a wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Nothing moved.
    Stalled,
    /// Some did, and too slowly.
    TooSlow,
}

impl Pace {
    pub(crate) fn start(&self, now: Duration) -> Wait {
        Wait { since: now, deadline: now.saturating_add(self.timeout) }
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

    /// How the wait is over its deadline, if it is.
    pub(crate) fn late(&self, wait: Option<Wait>, now: Duration) -> Option<Late> {
        let wait = wait.filter(|wait| wait.deadline <= now)?;
        let stalled = wait.since.saturating_add(self.timeout) <= now;
        Some(if stalled { Late::Stalled } else { Late::TooSlow })
    }
}
