//! Latency: how long one place's answers take, smoothed.

use core::time::Duration;

/// By how much one sample counts, as for TCP's round-trip time (RFC 6298 section 2.3).
const GAIN: u32 = 8;

/// While nothing is asked of a place, what is known of it counts for half after each such time: a place that was slow is
/// tried again some day.
const HALVING_SECONDS: u64 = 10;

/// The smoothed latency of one place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    smoothed: Option<Duration>,
    /// When the last sample came.
    at: Duration,
}

impl Latency {
    pub(crate) fn observe(&mut self, now: Duration, sample: Duration) {
        self.at = now;
        self.smoothed = Some(match self.smoothed {
            None => sample,
            Some(smoothed) => smoothed - smoothed / GAIN + sample / GAIN,
        });
    }

    /// A request failed: how long that took says something only if it was long.
    pub(crate) fn observe_failure(&mut self, now: Duration, sample: Duration) {
        if self.smoothed.is_some_and(|smoothed| sample > smoothed) {
            self.observe(now, sample);
        }
    }

    /// Nobody waited for an answer any longer: that it takes at least so long is known, and how long is not. Twice as long is
    /// assumed, if that is more than was expected; else a place that loses every race with another would never be known as slow.
    pub(crate) fn observe_at_least(&mut self, now: Duration, sample: Duration) {
        if sample > self.expected(now, true, Duration::ZERO) {
            self.observe(now, sample.saturating_mul(2));
        }
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// What the next request is expected to take, if one that is known to be quick takes `least`.
    pub(crate) fn expected(&self, now: Duration, is_idle: bool, least: Duration) -> Duration {
        let Some(smoothed) = self.smoothed else { return least };
        let idle_seconds = if is_idle { now.saturating_sub(self.at).as_secs() } else { 0 };
        let halvings = u32::try_from(idle_seconds / HALVING_SECONDS).unwrap_or(u32::MAX);
        let decayed = smoothed.checked_div(1_u32.checked_shl(halvings).unwrap_or(0));
        decayed.unwrap_or_default().max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn samples_are_smoothed_and_quick_failures_say_nothing() {
        let mut latency = Latency::default();
        assert_eq!(latency.expected(Duration::ZERO, true, 7 * MS), 7 * MS);
        latency.observe_failure(Duration::ZERO, 9 * MS);
        assert_eq!(latency.smoothed(), None);
        latency.observe(Duration::ZERO, 8 * MS);
        latency.observe(Duration::ZERO, 16 * MS);
        assert_eq!(latency.smoothed(), Some(9 * MS));
        latency.observe_failure(Duration::ZERO, MS);
        assert_eq!(latency.smoothed(), Some(9 * MS));
        latency.observe_failure(Duration::ZERO, 17 * MS);
        assert_eq!(latency.smoothed(), Some(10 * MS));
    }

    #[test]
    fn what_was_given_up_was_slow_if_it_took_longer_than_expected() {
        let mut latency = Latency::default();
        latency.observe_at_least(Duration::ZERO, 8 * MS);
        assert_eq!(latency.smoothed(), Some(16 * MS));
        latency.observe_at_least(Duration::from_secs(9), 16 * MS);
        assert_eq!(latency.smoothed(), Some(16 * MS));
        latency.observe_at_least(Duration::from_secs(10), 9 * MS);
        assert!(latency.smoothed() > Some(16 * MS), "8 ms were expected after so long");
        assert_eq!(latency.at, Duration::from_secs(10));
    }

    #[test]
    fn what_is_known_of_a_place_fades_while_it_is_idle() {
        let mut latency = Latency::default();
        latency.observe(Duration::from_secs(1), 80 * MS);
        let expected =
            |seconds, is_idle| latency.expected(Duration::from_secs(seconds), is_idle, MS);
        assert_eq!(expected(10, true), 80 * MS);
        assert_eq!(expected(11, true), 40 * MS);
        assert_eq!(expected(11, false), 80 * MS);
        assert_eq!(expected(31, true), 10 * MS);
        assert_eq!(expected(10_000_000, true), MS);
    }
}
