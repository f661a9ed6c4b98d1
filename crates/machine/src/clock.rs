//! Clock: time since the start, and wall-clock time.

use crate::hypervisor;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// Seconds since 1970 at the start.
static WALL_START: AtomicU64 = AtomicU64::new(0);

/// Time since the start; never goes back.
pub fn now() -> Duration {
    Duration::from_nanos(hypervisor::current().nanos())
}

/// Time since 1970-01-01 00:00 UTC, as the hypervisor told it at the start.
pub fn wall() -> Duration {
    Duration::from_secs(WALL_START.load(Ordering::Relaxed)) + now()
}

/// Starts the clock.
pub(crate) fn start() {
    restart(hypervisor::current().start_clock());
}

/// Lets the wall-clock time at the start be another.
pub(crate) fn restart(wall: Duration) {
    WALL_START.store(wall.as_secs(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_time_is_that_of_the_start_and_what_has_passed() {
        restart(Duration::new(1_700_000_000, 999_999_999));
        let before = now();
        let wall = wall() - Duration::from_secs(1_700_000_000);
        assert!(before <= wall && wall <= now());
        start();
        assert!(super::wall() < Duration::from_secs(1_700_000_000), "a process has no clock");
    }
}
