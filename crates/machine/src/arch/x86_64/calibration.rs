//! The rates of the time stamp counter and of the local APIC's timer, where nobody tells them: each is
//! compared with a clock of known rate while the machine goes on with its start.
//!
//! The hypervisor may take the CPU away at any point. So a moment is known by the earliest and the
//! latest that it can have been, and a comparison by the most that it can be wrong. What is not good
//! enough yet becomes so by waiting.

use crate::arch::{apic, instructions as cpu, port};

/// When something was done, by the time stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    earliest: u64,
    latest: u64,
}

impl Moment {
    #[inline(always)]
    fn of<R>(act: impl FnOnce() -> R) -> (Self, R) {
        let earliest = cpu::ticks();
        let result = act();
        (Self { earliest, latest: cpu::ticks() }, result)
    }

    /// Ticks from another moment to this one, and how many that may be wrong.
    fn since(self, other: Self) -> (u64, u64) {
        let longest = self.latest.saturating_sub(other.earliest);
        let shortest = self.earliest.saturating_sub(other.latest);
        (shortest.midpoint(longest), (longest - shortest).div_ceil(2))
    }
}

/// What passed on two clocks at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Comparison {
    ticks: u64,
    /// How many of them may be wrong.
    error_ticks: u64,
    /// On the other clock, in its unit.
    passed: u64,
}

impl Comparison {
    /// Good enough: 1 part in 256, which TCP's timers and idle waits do not notice.
    fn is_good(&self) -> bool {
        const ERROR_SHARE: u64 = 256;
        self.passed > 0 && self.error_ticks <= self.ticks / ERROR_SHARE
    }

    fn is_better_than(&self, other: &Self) -> bool {
        u128::from(self.error_ticks) * u128::from(other.ticks)
            < u128::from(other.error_ticks) * u128::from(self.ticks)
    }
}

/// The 8254's first channel, counting down.
pub(crate) struct Countdown {
    began: Moment,
}

impl Countdown {
    /// Starts it from its highest number, which it counts for 55 ms.
    pub(crate) fn begin() -> Self {
        const ONCE: u8 = 0x30;
        let begin = || {
            write(CONTROL, ONCE);
            write(CHANNEL, 0xff);
            // Its second byte starts it.
            Moment::of(|| write(CHANNEL, 0xff)).0
        };
        begin();
        // The second time it is done without delay: no cache, and no emulator, meets the code anew.
        Self { began: begin() }
    }

    /// Nanoseconds per tick of the time stamp counter, times 2^32, once that is good; `None` where
    /// there is no 8254.
    pub(crate) fn rate(mut self) -> Option<u64> {
        const TRIES: usize = 20;
        /// About 5 ms: what is not good by then will not be soon.
        const PATIENCE: u64 = 6000;
        let mut best: Option<Comparison> = None;
        for _ in 0..TRIES {
            while let Some(comparison) = self.compare()? {
                if comparison.is_good() {
                    return Some(rate(comparison));
                }
                if best.is_none_or(|best| comparison.is_better_than(&best)) {
                    best = Some(comparison);
                }
                if comparison.passed > PATIENCE {
                    break;
                }
            }
            self = Self::begin();
        }
        best.map(rate)
    }

    /// The comparison so far; nothing inside when the count is over.
    fn compare(&self) -> Option<Option<Comparison>> {
        /// What is read where nothing is.
        const NOTHING: u8 = 0xff;
        const OVER: u8 = 0x80;
        const NOT_LOADED: u8 = 0x40;
        /// A count that stands still is noticed after about this many ticks.
        const TICKS_MAX: u64 = 1 << 26;
        const LATCH: u8 = 0xc2;
        let (now, ()) = Moment::of(|| write(CONTROL, LATCH));
        let (status, low, high) = (read(CHANNEL), read(CHANNEL), read(CHANNEL));
        if status == NOTHING {
            return None;
        }
        let left = u16::from_le_bytes([low, high]);
        let passed = if status & NOT_LOADED == 0 { u64::from(u16::MAX - left) } else { 0 };
        let (ticks, error_ticks) = now.since(self.began);
        if status & OVER != 0 || passed == 0 && ticks > TICKS_MAX {
            return Some(None);
        }
        // It shows whole ticks of its own, and the first may have begun late.
        let error_ticks = error_ticks + (2 * ticks).checked_div(passed).unwrap_or(ticks);
        Some(Some(Comparison { ticks, error_ticks, passed }))
    }
}

const CHANNEL: u16 = 0x40;
const CONTROL: u16 = 0x43;

#[inline(always)]
fn write(port: u16, value: u8) {
    // SAFETY: a port of the 8254, whose first channel nothing else uses.
    unsafe { port::write8(port, value) }
}

fn read(port: u16) -> u8 {
    // SAFETY: as above.
    unsafe { port::read8(port) }
}

/// Its input clock has 1,193,182 Hz.
fn rate(comparison: Comparison) -> u64 {
    let nanos = u128::from(comparison.passed) * 1_000_000_000 / 1_193_182;
    ((nanos << 32) / u128::from(comparison.ticks.max(1))) as u64
}

/// Starts the local APIC's timer, which counts the same way.
pub(crate) fn begin_timer() -> Moment {
    let begin = || Moment::of(|| apic::arm_count(u32::MAX)).0;
    begin();
    begin()
}

/// The timer's ticks per 2^32 nanoseconds, once that is good. The timer stands still afterwards.
pub(crate) fn timer_rate(mut began: Moment, nanos_per_tick: u64) -> u64 {
    const TRIES: usize = 1_000_000;
    let mut best = Comparison { ticks: 1, error_ticks: u64::MAX, passed: 1 };
    for _ in 0..TRIES {
        let (now, left) = Moment::of(apic::count);
        let (ticks, error_ticks) = now.since(began);
        let comparison = Comparison { ticks, error_ticks, passed: (u32::MAX - left).into() };
        if left == 0 {
            began = begin_timer();
        } else if comparison.is_better_than(&best) {
            best = comparison;
        }
        if best.is_good() {
            break;
        }
    }
    apic::arm_count(0);
    let nanos = (u128::from(best.ticks) * u128::from(nanos_per_tick)) >> 32;
    ((u128::from(best.passed) << 32) / nanos.max(1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_as_good_as_its_moments() {
        let began = Moment { earliest: 1000, latest: 1010 };
        let later = Moment { earliest: 9000, latest: 9020 };
        let (ticks, error_ticks) = later.since(began);
        assert_eq!((ticks, error_ticks), (8005, 15));
        let good = Comparison { ticks, error_ticks, passed: 3 };
        assert!(good.is_good());
        assert!(!Comparison { passed: 0, ..good }.is_good());
        assert!(!Comparison { error_ticks: 32, ..good }.is_good());
        assert!(good.is_better_than(&Comparison { ticks: ticks - 1, ..good }));
        // A counter that went back is nothing to rely on.
        assert_eq!(began.since(later), (0, 0));
    }

    #[test]
    fn rates_are_nanoseconds_per_tick() {
        let of = |ticks, passed| rate(Comparison { ticks, error_ticks: 0, passed });
        // A counter of 1 GHz while the 8254 counts 6 ms.
        let gigahertz = of(6_000_000, 7159);
        assert!(gigahertz.abs_diff(1 << 32) < 1 << 21, "{gigahertz:#x}");
        assert_eq!(of(0, 1), 838 << 32);
    }
}
