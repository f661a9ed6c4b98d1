//! Histogram: log-linear, three significant digits.
//!
//! Each power of two of nanoseconds from 2,048 on is cut into 1,024 buckets of the same width, so that a value is known to a
//! thousandth; below that each nanosecond has its own. It is the layout of HdrHistogram with three digits, whose results
//! a test compares with ours; the crate itself needs `std`.

use alloc::vec::Vec;
use core::time::Duration;

/// Buckets of a power of two: 2^10, of which a width is less than a thousandth.
const HALF_BITS: u32 = 10;
const HALF: u64 = 1 << HALF_BITS;
/// Longest time that is told apart: 2^42 ns, more than an hour. What is longer counts as that, but in sum and maximum.
const NANOS_MAX: u64 = (1 << 42) - 1;

/// Counts lengths of time. Its memory grows with the longest, to 270 KB at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_nanos: u128,
    min: Option<Duration>,
    max: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, time: Duration) {
        let bucket = bucket(nanos(time));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum_nanos += time.as_nanos();
        self.min = Some(self.min.map_or(time, |min| min.min(time)));
        self.max = self.max.max(time);
    }

    /// Adds all that another counted; the same as if this had counted it.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_nanos += other.sum_nanos;
        self.min = self.min.into_iter().chain(other.min).min();
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest; zero if none was counted.
    pub fn min(&self) -> Duration {
        self.min.unwrap_or_default()
    }

    /// The longest, exactly; zero if none was counted.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean, exactly; zero if none was counted.
    pub fn mean(&self) -> Duration {
        let mean = self.sum_nanos.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The least time within which `part` of `whole` were, too long by a thousandth at most; zero if none was counted.
    /// The 99.99th percentile is `quantile(9_999, 10_000)`.
    pub fn quantile(&self, part: u64, whole: u64) -> Duration {
        if part == 0 {
            return self.min();
        }
        let rank = u128::from(self.count) * u128::from(part);
        let rank = rank.div_ceil(u128::from(whole.max(1))).clamp(1, u128::from(self.count.max(1)));
        let mut reached = 0;
        let found = self.counts.iter().position(|count| {
            reached += u128::from(*count);
            reached >= rank
        });
        found.map_or(Duration::ZERO, |bucket| Duration::from_nanos(highest(bucket)).min(self.max))
    }

    /// How many took longer than `time`, as far as buckets tell: those of its own bucket did not.
    pub fn count_above(&self, time: Duration) -> u64 {
        self.counts.iter().skip(bucket(nanos(time)) + 1).sum()
    }

    /// Counts nothing any more; keeps its memory.
    pub fn clear(&mut self) {
        self.counts.iter_mut().for_each(|count| *count = 0);
        *self = Self { counts: core::mem::take(&mut self.counts), ..Self::default() };
    }

    /// The same in as little memory as it takes: for many that are kept.
    pub(crate) fn compact(&self) -> Compact {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let buckets = used.map(|(bucket, count)| (bucket as u32, *count as u32)).collect();
        Compact { buckets, sum_nanos: self.sum_nanos, min: self.min, max: self.max }
    }
}

/// A histogram of fewer than 2^32, as a list of those buckets that have something in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compact {
    buckets: Vec<(u32, u32)>,
    sum_nanos: u128,
    min: Option<Duration>,
    max: Duration,
}

impl Compact {
    /// Adds all of it to a histogram.
    pub(crate) fn add_to(&self, histogram: &mut Histogram) {
        for &(bucket, count) in &self.buckets {
            let bucket = bucket as usize;
            if bucket >= histogram.counts.len() {
                histogram.counts.resize(bucket + 1, 0);
            }
            if let Some(sum) = histogram.counts.get_mut(bucket) {
                *sum += u64::from(count);
            }
            histogram.count += u64::from(count);
        }
        histogram.sum_nanos += self.sum_nanos;
        histogram.min = histogram.min.into_iter().chain(self.min).min();
        histogram.max = histogram.max.max(self.max);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(NANOS_MAX)
}

/// The bucket of so many nanoseconds.
fn bucket(nanos: u64) -> usize {
    // How many of the lowest bits do not count.
    let dropped = u64::from((nanos | HALF).ilog2() - HALF_BITS);
    (dropped * HALF + (nanos >> dropped)) as usize
}

/// The most nanoseconds that are in a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let dropped = (bucket / HALF).saturating_sub(1);
    ((bucket - dropped * HALF + 1) << dropped) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTILES: [(u64, u64); 9] = [
        (0, 1),
        (1, 2),
        (3, 4),
        (9, 10),
        (95, 100),
        (99, 100),
        (999, 1000),
        (9_999, 10_000),
        (1, 1),
    ];

    /// Latencies as they are: most short, some long.
    fn samples(seed: u64, count: usize) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sample = || {
            let bits = random.u32(0..43);
            random.u64(0..1 << bits)
        };
        (0..count).map(|_| sample()).collect()
    }

    fn counted(samples: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        samples.iter().for_each(|sample| histogram.record(Duration::from_nanos(*sample)));
        histogram
    }

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        let last = bucket(NANOS_MAX);
        for index in 0..last {
            let end = highest(index);
            assert_eq!((bucket(end), bucket(end + 1)), (index, index + 1));
        }
        assert_eq!(highest(last), (1 << 42) - 1);
        assert_eq!(last, 33_791);
    }

    #[test]
    fn quantiles_are_those_of_hdrhistogram() {
        for seed in 0..20 {
            let samples = samples(seed, 1 + 500 * seed as usize);
            let ours = counted(&samples);
            let mut theirs =
                hdrhistogram::Histogram::<u64>::new_with_bounds(1, NANOS_MAX, 3).unwrap();
            samples.iter().for_each(|sample| theirs.record(*sample).unwrap());
            let max = *samples.iter().max().unwrap();
            // Of none of all, it says where the bucket of the least begins.
            for (part, whole) in QUANTILES.into_iter().skip(1) {
                let expected = theirs.value_at_quantile(part as f64 / whole as f64).min(max);
                let found = ours.quantile(part, whole);
                assert_eq!(found.as_nanos(), u128::from(expected), "{seed}: {part}/{whole}");
            }
            assert_eq!(ours.max().as_nanos(), u128::from(max));
            assert_eq!(ours.count(), theirs.len());
        }
    }

    #[test]
    fn a_quantile_is_the_sample_of_its_rank_to_a_thousandth() {
        let mut samples = samples(7, 30_000);
        let histogram = counted(&samples);
        samples.sort_unstable();
        for (part, whole) in QUANTILES {
            let rank = (samples.len() as u64 * part).div_ceil(whole).max(1) as usize;
            let (exact, found) = (samples[rank - 1], histogram.quantile(part, whole).as_nanos());
            assert!(
                found >= exact.into() && found as f64 <= exact as f64 * 1.001,
                "{part}/{whole}"
            );
        }
    }

    #[test]
    fn what_is_merged_is_as_if_one_had_counted_all() {
        let (one, other) = (samples(1, 1000), samples(2, 3000));
        let all = counted(&[one.clone(), other.clone()].concat());
        let mut merged = counted(&one);
        merged.merge(&counted(&other));
        assert_eq!(merged, all);
        let mut unpacked = Histogram::default();
        all.compact().add_to(&mut unpacked);
        assert_eq!(unpacked, all);
        // Those with nothing in them change nothing.
        merged.merge(&Histogram::default());
        assert_eq!(merged, all);
        assert_eq!(merged.min(), Duration::from_nanos(*one.iter().chain(&other).min().unwrap()));
    }

    #[test]
    fn what_is_longer_than_an_hour_is_counted_and_the_maximum_is_exact() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        histogram.record(Duration::from_secs(7200));
        assert_eq!((histogram.count(), histogram.max()), (2, Duration::MAX));
        assert_eq!(histogram.quantile(1, 2).as_nanos(), (1 << 42) - 1);
    }

    #[test]
    fn an_empty_one_has_only_zeros() {
        let mut histogram = counted(&[5, 10, 5000]);
        assert_eq!(histogram.count_above(Duration::from_nanos(5)), 2);
        assert_eq!(histogram.mean(), Duration::from_nanos(1671));
        histogram.clear();
        assert_eq!((histogram.count(), histogram.quantile(1, 1)), (0, Duration::ZERO));
        assert_eq!((histogram.min(), histogram.mean()), (Duration::ZERO, Duration::ZERO));
        assert_eq!(histogram.count_above(Duration::ZERO), 0);
    }
}
