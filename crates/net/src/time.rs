//! Time inside this crate: a number, since it is compared for every packet.

use core::ops::Add;
use core::time::Duration;
use smoltcp::time::Instant;

/// An instant of the stack's time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(u64);

impl Moment {
    pub(crate) const START: Self = Self(0);
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn new(since_start: Duration) -> Self {
        Self(Span::new(since_start).0)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// smoltcp's form.
    pub(crate) fn instant(self) -> Instant {
        Instant::from_micros(self.0 as i64)
    }

    pub(crate) fn from_instant(at: Instant) -> Self {
        Self(at.total_micros().max(0) as u64)
    }

    /// How long after `earlier` this is.
    pub(crate) fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Moment {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Span {
    pub(crate) const NONE: Self = Self(0);
    /// Longer than anything lasts.
    pub(crate) const ENDLESS: Self = Self(u64::MAX);
    /// The shortest time that something waits for its next turn.
    pub(crate) const TICK: Self = Self(1_000);
    pub(crate) const SECOND: Self = Self(1_000_000);

    pub(crate) fn new(duration: Duration) -> Self {
        // Not `as_micros`, which computes in 128 bits.
        Self(duration.as_secs().saturating_mul(1_000_000) + u64::from(duration.subsec_micros()))
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    pub(crate) const fn times(self, count: u64) -> Self {
        Self(self.0 * count)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This part of it.
    pub(crate) fn divided(self, by: u64) -> Self {
        Self(self.0 / by)
    }

    /// RFC 6298 section 2.3: an eighth of the new and seven of the old.
    pub(crate) fn smoothed(self, sample: Self) -> Self {
        Self((self.0 * 7 + sample.0) / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_since_the_start() {
        let now = Duration::new(3, 4_000);
        assert_eq!(Moment::new(now).duration(), now);
        assert_eq!(Moment::new(now) + Span::TICK, Moment::new(now + Duration::from_millis(1)));
        assert_eq!(Moment::new(now) + Span::ENDLESS, Moment::NEVER);
        assert_eq!(Moment::from_instant(Moment::new(now).instant()), Moment::new(now));
    }
}
