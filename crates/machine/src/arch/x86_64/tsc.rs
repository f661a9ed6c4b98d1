//! Time stamp counter (Intel SDM volume 3, section 17.17).

use core::arch::x86_64::_rdtsc;

/// What it shows now.
pub(crate) fn ticks() -> u64 {
    // SAFETY: reads a counter; CR4.TSD is clear.
    unsafe { _rdtsc() }
}

/// Waits for some seconds, by no clock that may be missing, while nothing else is to happen.
pub(crate) fn wait_seconds() {
    const TICKS: u64 = 1 << 34;
    let begin = ticks();
    while ticks().wrapping_sub(begin) < TICKS {
        core::hint::spin_loop();
    }
}

/// Interval of the counter within which something was done: the earliest and the latest that it can have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TscInterval {
    earliest: u64,
    latest: u64,
}

impl TscInterval {
    #[inline(always)]
    pub(super) fn of<R>(act: impl FnOnce() -> R) -> (Self, R) {
        let earliest = ticks();
        let result = act();
        (Self { earliest, latest: ticks() }, result)
    }

    /// Ticks from another interval to this one, and how many that may be wrong.
    pub(super) fn since(self, other: Self) -> (u64, u64) {
        let longest = self.latest.saturating_sub(other.earliest);
        let shortest = self.earliest.saturating_sub(other.latest);
        (shortest.midpoint(longest), (longest - shortest).div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_is_as_sure_as_its_intervals() {
        let began = TscInterval { earliest: 1000, latest: 1010 };
        let later = TscInterval { earliest: 9000, latest: 9020 };
        assert_eq!(later.since(began), (8005, 15));
        // A counter that went back is nothing to rely on.
        assert_eq!(began.since(later), (0, 0));
    }
}
