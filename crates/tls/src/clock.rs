//! Clock: the time of day, as certificates and tickets need it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The time of day, which its owner sets. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<AtomicU64>);

/// What is earlier was set by no clock: 2020-01-01.
const PLAUSIBLE_SECONDS: u64 = 1_577_836_800;

impl Clock {
    /// A clock that shows this time since 1970-01-01 00:00 UTC.
    pub fn new(since_1970: Duration) -> Self {
        let clock = Self(Arc::default());
        clock.set(since_1970);
        clock
    }

    /// A clock that nobody has set: no certificate of a peer is in force by it.
    pub fn unset() -> Self {
        Self(Arc::default())
    }

    /// It is this long since 1970-01-01 00:00 UTC.
    pub fn set(&self, since_1970: Duration) {
        self.0.store(since_1970.as_secs(), Ordering::Relaxed);
    }

    /// Seconds since 1970-01-01 00:00 UTC; none if the clock cannot be right, as in a machine without one.
    pub fn seconds(&self) -> Option<u64> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds >= PLAUSIBLE_SECONDS).then_some(seconds)
    }

    /// Seconds as the clock has them, for periods: right or not, they go on.
    pub(crate) fn raw_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.seconds().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
