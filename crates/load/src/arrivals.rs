//! Arrivals: when each request of an open loop is due.
//!
//! A rate, which may change with time, has an integral: how many requests are due by then. The n-th request is due when that
//! reaches n; or, at random, when it reaches the sum of n exponential variables of mean 1, which is a Poisson process of
//! that rate.

use alloc::vec::Vec;
use core::time::Duration;
use fastrand::Rng;

/// Requests per second over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    /// The same all the time.
    Constant(f64),
    /// From the first to the last, as a straight line.
    Ramp(f64, f64),
    /// One after the other, each for the same part of the run.
    Steps(Vec<f64>),
}

/// How requests are spread at a given rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spacing {
    /// The same distance between any two.
    #[default]
    Even,
    /// At random, without memory: a Poisson process, as many independent users are.
    Poisson,
}

/// When requests are due: all that is said of an open loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How many.
    pub rate: Rate,
    /// How spread.
    pub spacing: Spacing,
}

impl Rate {
    /// The mean over the run, requests per second.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Ramp(from, to) => (from + to) / 2.0,
            Self::Steps(steps) => steps.iter().sum::<f64>() / steps.len().max(1) as f64,
        }
    }

    /// The highest, requests per second.
    pub fn max(&self) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Ramp(from, to) => from.max(*to),
            Self::Steps(steps) => steps.iter().fold(0.0, |max, rate| max.max(*rate)),
        }
    }

    /// As pieces of straight lines over so many seconds.
    fn pieces(&self, seconds: f64) -> Vec<Piece> {
        let piece = |begin, seconds, from, to| Piece { begin, seconds, from, to };
        match self {
            Self::Constant(rate) => [piece(0.0, seconds, *rate, *rate)].into(),
            Self::Ramp(from, to) => [piece(0.0, seconds, *from, *to)].into(),
            Self::Steps(steps) => {
                let each = seconds / steps.len().max(1) as f64;
                let steps = steps.iter().enumerate();
                steps.map(|(index, rate)| piece(index as f64 * each, each, *rate, *rate)).collect()
            }
        }
    }
}

/// Which of several that make one load together: every `of`-th request, from `index` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub index: u32,
    /// How many there are, at least 1.
    pub of: u32,
}

impl Share {
    /// All of it.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// This share of a number of things: the first shares have one more where it does not divide.
    pub fn part(self, count: u32) -> u32 {
        count / self.of + u32::from(self.index < count % self.of)
    }
}

/// The times at which requests are due, from the begin of the run. Those of all shares are together those of the whole.
#[derive(Clone, Debug)]
pub struct Arrivals {
    pieces: Vec<Piece>,
    piece: usize,
    /// How many are due by the begin of the piece.
    before: f64,
    spacing: Spacing,
    /// The integral at the next one.
    reach: f64,
    index: u64,
    share: Share,
    random: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    begin: f64,
    seconds: f64,
    from: f64,
    to: f64,
}

impl Arrivals {
    /// The times of a share of the schedule. The same seed gives the same times.
    pub fn new(schedule: &Schedule, duration: Duration, seed: u64, share: Share) -> Self {
        let mut arrivals = Self {
            pieces: schedule.rate.pieces(duration.as_secs_f64()),
            piece: 0,
            before: 0.0,
            spacing: schedule.spacing,
            reach: 0.0,
            index: 0,
            share,
            random: Rng::with_seed(seed),
        };
        if schedule.spacing == Spacing::Poisson {
            arrivals.reach = arrivals.gap();
        }
        arrivals
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        let schedule = Schedule { rate: Rate::Constant(0.0), spacing: Spacing::Even };
        Self::new(&schedule, Duration::ZERO, 0, Share::ALL)
    }

    /// One more than the last one's number, or an exponential variable more.
    fn gap(&mut self) -> f64 {
        match self.spacing {
            Spacing::Even => 1.0,
            Spacing::Poisson => -libm::log(1.0 - self.random.f64()),
        }
    }

    /// When the integral reaches `self.reach`.
    fn time(&mut self) -> Option<Duration> {
        loop {
            let piece = self.pieces.get(self.piece)?;
            let within = self.reach - self.before;
            if within < piece.count() {
                return Duration::try_from_secs_f64(piece.begin + piece.time(within)).ok();
            }
            self.before += piece.count();
            self.piece += 1;
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            let time = self.time()?;
            let is_ours = self.index % u64::from(self.share.of) == u64::from(self.share.index);
            self.index += 1;
            self.reach = match self.spacing {
                // Not a sum of many: it is exact.
                Spacing::Even => self.index as f64,
                Spacing::Poisson => self.reach + self.gap(),
            };
            if is_ours {
                return Some(time);
            }
        }
    }
}

impl Piece {
    /// How many are due in all of it.
    fn count(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// When `count` are due: the root of `from * t + (to - from) / (2 * seconds) * t * t = count`, in the form that loses no
    /// digits and is right for a line without slope, too.
    fn time(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.seconds;
        let root = libm::sqrt((self.from * self.from + 2.0 * slope * count).max(0.0));
        2.0 * count / (self.from + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_secs(10);

    fn times(rate: Rate, spacing: Spacing) -> Vec<f64> {
        let schedule = Schedule { rate, spacing };
        Arrivals::new(&schedule, RUN, 1, Share::ALL).map(|time| time.as_secs_f64()).collect()
    }

    fn count_between(times: &[f64], from: f64, to: f64) -> usize {
        times.iter().filter(|time| (from..to).contains(*time)).count()
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced_from_the_start_and_ends_before_the_end() {
        let expected: Vec<_> = (0..80).map(|index| f64::from(index) / 8.0).collect();
        assert_eq!(times(Rate::Constant(8.0), Spacing::Even), expected);
        // Less than one a second.
        assert_eq!(times(Rate::Constant(0.25), Spacing::Even), [0.0, 4.0, 8.0]);
    }

    #[test]
    fn a_ramp_has_its_rate_at_each_time() {
        for (from, to) in [(0.0, 1000.0), (1000.0, 0.0), (100.0, 300.0)] {
            let times = times(Rate::Ramp(from, to), Spacing::Even);
            assert!(times.is_sorted() && times.iter().all(|time| *time < 10.0));
            assert!((times.len() as f64 - (from + to) * 5.0).abs() <= 1.0, "{}", times.len());
            for second in 0..10 {
                let middle = from + (to - from) * (f64::from(second) + 0.5) / 10.0;
                let count = count_between(&times, second.into(), f64::from(second) + 1.0);
                assert!((count as f64 - middle).abs() <= 1.0, "{from}, {second}: {count}");
            }
        }
    }

    #[test]
    fn steps_take_equal_parts_of_the_run_and_may_be_silent() {
        let times = times(Rate::Steps([100.0, 0.0, 300.0, 50.0].into()), Spacing::Even);
        let counts = [0.0, 2.5, 5.0, 7.5].map(|from| count_between(&times, from, from + 2.5));
        assert_eq!(counts, [250, 0, 750, 125]);
    }

    #[test]
    fn poisson_has_the_rate_and_the_spread_of_its_kind() {
        let times = times(Rate::Constant(5000.0), Spacing::Poisson);
        // Its number has the deviation of its square root, 224.
        assert!((49_000..51_000).contains(&times.len()), "{}", times.len());
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential variable's deviation is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{}", variance.sqrt() / mean);
    }

    #[test]
    fn a_seed_gives_the_same_times_again_and_another_gives_others() {
        let schedule = Schedule { rate: Rate::Constant(100.0), spacing: Spacing::Poisson };
        let all = |seed| Arrivals::new(&schedule, RUN, seed, Share::ALL).collect::<Vec<_>>();
        assert_eq!(all(5), all(5));
        assert_ne!(all(5), all(6));
    }

    #[test]
    fn shares_are_together_the_whole() {
        for spacing in [Spacing::Even, Spacing::Poisson] {
            let schedule = Schedule { rate: Rate::Ramp(10.0, 50.0), spacing };
            let share = |index, of| Arrivals::new(&schedule, RUN, 3, Share { index, of });
            let mut merged: Vec<_> = (0..3).flat_map(|index| share(index, 3)).collect();
            merged.sort_unstable();
            assert_eq!(merged, share(0, 1).collect::<Vec<_>>());
        }
        let parts = |count| [0, 1, 2].map(|index| Share { index, of: 3 }.part(count));
        assert_eq!((parts(7), parts(2)), ([3, 2, 2], [1, 1, 0]));
    }
}
