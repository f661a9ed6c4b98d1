//! Quantile: how long the slowest requests of late took.

use core::time::Duration;

/// Buckets for each power of two of microseconds: a quantile is too long by an eighth at most.
const PER_OCTAVE: u64 = 8;
/// Up to 2^33 microseconds, more than two hours; what is longer counts as that.
const OCTAVES: u64 = 33;
const BUCKETS: usize = (OCTAVES * PER_OCTAVE) as usize;
/// How long a generation counts; two are looked at.
const GENERATION: Duration = Duration::from_secs(10);
/// With fewer no quantile is worth its name.
const SAMPLES_MIN: u64 = 50;

/// Lengths of time of the last ten to twenty seconds.
#[derive(Clone, Debug)]
pub(crate) struct Quantile {
    current: [u32; BUCKETS],
    previous: [u32; BUCKETS],
    /// When the current generation began.
    since: Duration,
}

impl Default for Quantile {
    fn default() -> Self {
        Self { current: [0; BUCKETS], previous: [0; BUCKETS], since: Duration::ZERO }
    }
}

impl Quantile {
    /// Takes a length of time into account.
    pub(crate) fn observe(&mut self, now: Duration, time: Duration) {
        self.advance(now);
        let count = &mut self.current[bucket(time)];
        *count = count.saturating_add(1);
    }

    /// The time within which `percent` of a hundred were done; none while there are too few to say.
    pub(crate) fn percentile(&mut self, now: Duration, percent: u8) -> Option<Duration> {
        self.advance(now);
        let both =
            || self.current.iter().zip(&self.previous).map(|(a, b)| u64::from(*a) + u64::from(*b));
        let all: u64 = both().sum();
        if all < SAMPLES_MIN {
            return None;
        }
        let rank = (all * u64::from(percent)).div_ceil(100);
        let mut reached = 0;
        let found = both().position(|count| {
            reached += count;
            reached >= rank
        });
        found.map(bound)
    }

    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        if passed < GENERATION {
            return;
        }
        let current = core::mem::replace(&mut self.current, [0; BUCKETS]);
        self.previous = if passed < 2 * GENERATION { current } else { [0; BUCKETS] };
        self.since = now;
    }
}

/// The bucket of a length of time.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(PER_OCTAVE);
    let octave = u64::from(micros.ilog2());
    let part = (micros >> (octave - u64::from(PER_OCTAVE.ilog2()))) - PER_OCTAVE;
    usize::try_from(octave * PER_OCTAVE + part).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// What all times of a bucket are below.
fn bound(bucket: usize) -> Duration {
    let (octave, part) = (bucket as u64 / PER_OCTAVE, bucket as u64 % PER_OCTAVE);
    Duration::from_micros((PER_OCTAVE + part + 1) << octave.saturating_sub(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_below_the_bound_of_its_bucket_and_not_far() {
        for micros in (8..100).chain([1000, 12_345, 1_000_000, 3_600_000_000]) {
            let bound = bound(bucket(Duration::from_micros(micros))).as_micros() as u64;
            assert!(bound > micros && bound <= micros + micros / 8 + 1, "{micros}: {bound}");
        }
        assert_eq!(bucket(Duration::ZERO), bucket(Duration::from_micros(8)));
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_percentile_is_of_the_last_seconds_and_needs_some_samples() {
        let mut quantile = Quantile::default();
        let second = Duration::from_secs;
        for number in 1..=49 {
            quantile.observe(second(1), Duration::from_millis(number));
        }
        assert_eq!(quantile.percentile(second(1), 50), None);
        quantile.observe(second(1), Duration::from_millis(1000));
        let at = |quantile: &mut Quantile, now, percent| {
            quantile.percentile(now, percent).map(|time| time.as_millis())
        };
        assert!((25..=28).contains(&at(&mut quantile, second(1), 50).unwrap()));
        assert!((49..=56).contains(&at(&mut quantile, second(1), 98).unwrap()));
        assert!((1000..=1125).contains(&at(&mut quantile, second(19), 99).unwrap()));
        assert_eq!(at(&mut quantile, second(40), 99), None);
    }
}
