//! Time inside this crate: microseconds in one word, since instants are compared for every packet.

use core::ops::Add;
use core::time::Duration as CoreDuration;
use smoltcp::time::Instant as SmoltcpInstant;

/// An instant of the stack's time, in microseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration(u64);

impl Instant {
    pub(crate) const START: Self = Self(0);
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn new(since_start: CoreDuration) -> Self {
        Self(Duration::new(since_start).0)
    }

    pub(crate) fn since_start(self) -> CoreDuration {
        CoreDuration::from_micros(self.0)
    }

    /// smoltcp's form.
    pub(crate) fn to_smoltcp(self) -> SmoltcpInstant {
        SmoltcpInstant::from_micros(self.0 as i64)
    }

    pub(crate) fn from_smoltcp(at: SmoltcpInstant) -> Self {
        Self(at.total_micros().max(0) as u64)
    }

    /// How long after `earlier` this is.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0))
    }
}

impl Duration {
    pub(crate) const ZERO: Self = Self(0);
    /// Longer than anything lasts.
    pub(crate) const MAX: Self = Self(u64::MAX);
    /// The shortest time that something waits for its next turn.
    pub(crate) const TICK: Self = Self(1_000);
    pub(crate) const SECOND: Self = Self(1_000_000);

    pub(crate) fn new(duration: CoreDuration) -> Self {
        // Not `as_micros`, which computes in 128 bits.
        Self(duration.as_secs().saturating_mul(1_000_000) + u64::from(duration.subsec_micros()))
    }

    pub(crate) fn to_core(self) -> CoreDuration {
        CoreDuration::from_micros(self.0)
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
    fn instants_are_durations_since_the_start() {
        let now = CoreDuration::new(3, 4_000);
        assert_eq!(Instant::new(now).since_start(), now);
        let later = now + CoreDuration::from_millis(1);
        assert_eq!(Instant::new(now) + Duration::TICK, Instant::new(later));
        assert_eq!(Instant::new(now) + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::from_smoltcp(Instant::new(now).to_smoltcp()), Instant::new(now));
    }
}
