//! Time as an argument: instants and durations in whole microseconds.

use core::ops::{Add, Sub};

/// A point in time: microseconds since a start that the caller chose. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

/// A length of time in microseconds; half the size of [`core::time::Duration`], and cheap to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

impl Instant {
    /// The start of time.
    pub const START: Self = Self(0);
    /// Later than anything: the deadline of a timer that is off.
    pub const NEVER: Self = Self(u64::MAX);

    /// So many microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the start.
    pub(crate) const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds since the start, as long as those are counted: 136 years.
    pub(crate) const fn seconds(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// Longer than anything lasts: a time-out that is off.
    pub const ENDLESS: Self = Self(u64::MAX);

    /// So many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// Whole microseconds.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// So many times as long, without overflow.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// A part of it.
    #[must_use]
    pub const fn divided(self, by: u64) -> Self {
        Self(self.0 / by)
    }

    /// The sum, without overflow.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.0))
    }
}

impl From<core::time::Duration> for Duration {
    fn from(duration: core::time::Duration) -> Self {
        // Not `as_micros`, which computes in 128 bits.
        let micros = u64::from(duration.subsec_micros());
        Self(duration.as_secs().saturating_mul(1_000_000).saturating_add(micros))
    }
}

impl From<Duration> for core::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_micros(duration.0)
    }
}

/// An instant is the time since the start, as the loops of this project count it.
impl From<core::time::Duration> for Instant {
    fn from(since_start: core::time::Duration) -> Self {
        Self(Duration::from(since_start).0)
    }
}

impl From<Instant> for core::time::Duration {
    fn from(at: Instant) -> Self {
        Self::from_micros(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_later_than_anything_and_stays_so() {
        assert_eq!(Instant::START + Duration::ENDLESS, Instant::NEVER);
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant::START.since(Instant::NEVER), Duration::ZERO);
        assert_eq!(Duration::ENDLESS.times(2), Duration::ENDLESS);
    }

    #[test]
    fn durations_of_core_keep_their_microseconds() {
        let core = core::time::Duration::new(3, 4_567_000);
        assert_eq!(Duration::from(core).micros(), 3_004_567);
        assert_eq!(core::time::Duration::from(Duration::from(core)), core);
    }

    #[test]
    fn times_are_counted_in_microseconds() {
        let at = Instant::from_micros(3_999_999);
        assert_eq!((at.micros(), at.millis(), at.seconds()), (3_999_999, 3_999, 3));
        let (long, short) = (Duration::from_secs(2), Duration::from_millis(3));
        assert_eq!((long.micros(), short.micros(), Duration::ZERO.micros()), (2_000_000, 3_000, 0));
        assert_eq!(
            (at + short, at - short),
            (Instant::from_micros(4_002_999), Instant::from_micros(3_996_999))
        );
        assert_eq!(at - Duration::from_secs(9), Instant::START);
        assert_eq!(at.since(Instant::from_micros(999_999)), Duration::from_secs(3));
        assert_eq!((long.plus(short).micros(), long.minus(short).micros()), (2_003_000, 1_997_000));
        assert_eq!(
            (short.minus(long), long.plus(Duration::ENDLESS)),
            (Duration::ZERO, Duration::ENDLESS)
        );
        assert_eq!((short.times(7).micros(), long.divided(8).micros()), (21_000, 250_000));
        let core = core::time::Duration::from_micros(1_234_567);
        assert_eq!(
            (
                Instant::from(core).micros(),
                core::time::Duration::from(Instant::from_micros(1_234_567))
            ),
            (1_234_567, core)
        );
        assert_eq!(Duration::from(core::time::Duration::MAX), Duration::ENDLESS);
    }
}
