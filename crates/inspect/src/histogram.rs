//! Histogram: how often which lengths of time were seen.

use core::cell::Cell;
use core::time::Duration;

/// Counts lengths of time in buckets, from a tenth of a millisecond to ten seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Cell<u64>; BOUNDS.len() + 1],
    sum: Cell<Duration>,
}

/// The bounds of the buckets, each of which counts what is at most as long; what is longer than all has one of its own.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

impl Histogram {
    /// Counts one.
    pub fn observe(&self, time: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < time);
        add(&self.counts[bucket]);
        self.sum.set(self.sum.get().saturating_add(time));
    }

    /// Counts one that took no time, as the clock has it.
    #[inline]
    pub fn observe_none(&self) {
        add(&self.counts[0]);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(Cell::get).sum()
    }

    /// What all together took.
    pub fn sum(&self) -> Duration {
        self.sum.get()
    }

    /// The least bound of a bucket that `part` of `whole` reached at most; none before the first, or beyond the last bound.
    pub fn quantile(&self, part: u64, whole: u64) -> Option<Duration> {
        let rank = self.count().saturating_mul(part).div_ceil(whole);
        let reached = |(_, count): &(Option<Duration>, u64)| rank > 0 && *count >= rank;
        self.buckets().find(reached).and_then(|(bound, _)| bound)
    }

    /// The bounds, and how many were at most so long; the last is without bound, and counts all.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(&self.counts).scan(0, |total, (bound, count)| {
            *total += count.get();
            Some((bound, *total))
        })
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_bucket_counts_what_is_at_most_as_long_as_its_bound() {
        let histogram = Histogram::default();
        histogram.observe_none();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[0], (Some(Duration::from_micros(100)), 3));
        assert_eq!(buckets[1], (Some(Duration::from_micros(250)), 4));
        assert_eq!(buckets[14].1, 4);
        assert_eq!(buckets[15], (Some(Duration::from_secs(10)), 5));
        assert_eq!(buckets[16], (None, 6));
        assert_eq!((histogram.count(), histogram.sum()), (6, Duration::from_micros(20_000_202)));
    }

    #[test]
    fn a_quantile_is_the_bound_that_so_many_kept() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(99, 100), None);
        for _ in 0..99 {
            histogram.observe_none();
        }
        histogram.observe(Duration::from_millis(7));
        assert_eq!(histogram.quantile(99, 100), Some(Duration::from_micros(100)));
        histogram.observe(Duration::from_secs(60));
        assert_eq!(histogram.quantile(99, 100), Some(Duration::from_millis(10)));
        assert_eq!(histogram.quantile(100, 100), None);
    }
}
