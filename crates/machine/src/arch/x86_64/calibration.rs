//! Clock calibration: the rates of the time stamp counter and of the local APIC's timer, where nobody
//! tells them. Each is compared with a clock of known rate while the machine goes on with its start.
//!
//! The hypervisor may take the CPU away at any point. So an event is known by the earliest and the
//! latest that it can have been, and a measurement by the most that it can be wrong. What is not good
//! enough yet becomes so by waiting.

use super::port;
use super::tsc::TscInterval;

/// What passed on two clocks at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measurement {
    ticks: u64,
    /// How many of them may be wrong.
    error_ticks: u64,
    /// On the other clock, in its unit.
    passed: u64,
}

impl Measurement {
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

/// The 8254's first channel, counting down (Intel 8254 data sheet).
pub(crate) struct Countdown {
    began: TscInterval,
}

impl Countdown {
    /// Starts it from its highest number, which it counts for 55 ms.
    pub(crate) fn begin() -> Self {
        const ONCE: u8 = 0x30;
        let begin = || {
            write(CONTROL, ONCE);
            write(CHANNEL, 0xff);
            // Its second byte starts it.
            TscInterval::of(|| write(CHANNEL, 0xff)).0
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
        let mut best: Option<Measurement> = None;
        for _ in 0..TRIES {
            while let Some(measurement) = self.measure()? {
                if measurement.is_good() {
                    return Some(rate(measurement, HERTZ));
                }
                if best.is_none_or(|best| measurement.is_better_than(&best)) {
                    best = Some(measurement);
                }
                if measurement.passed > PATIENCE {
                    break;
                }
            }
            self = Self::begin();
        }
        best.map(|best| rate(best, HERTZ))
    }

    /// The measurement so far; nothing inside when the count is over.
    fn measure(&self) -> Option<Option<Measurement>> {
        /// What is read where nothing is.
        const NOTHING: u8 = 0xff;
        const OVER: u8 = 0x80;
        const NOT_LOADED: u8 = 0x40;
        /// A count that stands still is noticed after about this many ticks.
        const TICKS_MAX: u64 = 1 << 26;
        const LATCH: u8 = 0xc2;
        let (now, ()) = TscInterval::of(|| write(CONTROL, LATCH));
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
        Some(Some(Measurement { ticks, error_ticks, passed }))
    }
}

/// Its input clock's.
const HERTZ: u64 = 1_193_182;
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

/// Nanoseconds per tick of the time stamp counter, times 2^32, by a clock that counts up to `count_max` and then
/// from 0; `None` where it stands still.
pub(crate) fn rate_by(count: &dyn Fn() -> u32, count_max: u32, hertz: u64) -> Option<u64> {
    /// A count that stands still is noticed after about this many ticks.
    const TICKS_MAX: u64 = 1 << 26;
    // The first time no cache, and no emulator, knows the code.
    count();
    let (began, first) = TscInterval::of(count);
    loop {
        let (now, count) = TscInterval::of(count);
        let (ticks, error_ticks) = now.since(began);
        let passed = (count.wrapping_sub(first) & count_max).into();
        // It shows whole ticks of its own.
        let error_ticks = error_ticks + (2 * ticks).checked_div(passed).unwrap_or(ticks);
        let measurement = Measurement { ticks, error_ticks, passed };
        // A quarter of a second: what is not good by then will not be soon.
        if measurement.is_good() || passed > hertz / 4 {
            return Some(rate(measurement, hertz));
        }
        if passed == 0 && ticks > TICKS_MAX {
            return None;
        }
    }
}

/// Nanoseconds per tick, times 2^32.
fn rate(measurement: Measurement, hertz: u64) -> u64 {
    let nanos = u128::from(measurement.passed) * 1_000_000_000 / u128::from(hertz);
    ((nanos << 32) / u128::from(measurement.ticks.max(1))) as u64
}

/// A timer that counts down from `u32::MAX`, as a clock of unknown rate.
pub(super) trait Counter {
    /// Starts it anew; when that was.
    fn begin(&self) -> TscInterval;
    /// What is left of the count.
    fn left(&self) -> u32;
}

/// A timer's ticks per 2^32 nanoseconds, once that is good.
pub(super) fn timer_rate(timer: &impl Counter, mut began: TscInterval, nanos_per_tick: u64) -> u64 {
    const TRIES: usize = 1_000_000;
    let mut best = Measurement { ticks: 1, error_ticks: u64::MAX, passed: 1 };
    for _ in 0..TRIES {
        let (now, left) = TscInterval::of(|| timer.left());
        let (ticks, error_ticks) = now.since(began);
        let measurement = Measurement { ticks, error_ticks, passed: (u32::MAX - left).into() };
        if left == 0 {
            began = timer.begin();
        } else if measurement.is_better_than(&best) {
            best = measurement;
        }
        if best.is_good() {
            break;
        }
    }
    let nanos = (u128::from(best.ticks) * u128::from(nanos_per_tick)) >> 32;
    ((u128::from(best.passed) << 32) / nanos.max(1)) as u64
}

#[cfg(test)]
mod tests {
    use super::super::tsc;
    use super::*;

    #[test]
    fn a_measurement_is_as_good_as_its_moments() {
        let (ticks, error_ticks) = (8005, 15);
        let good = Measurement { ticks, error_ticks, passed: 3 };
        assert!(good.is_good());
        assert!(!Measurement { passed: 0, ..good }.is_good());
        assert!(!Measurement { error_ticks: 32, ..good }.is_good());
        assert!(good.is_better_than(&Measurement { ticks: ticks - 1, ..good }));
    }

    #[test]
    fn rates_are_nanoseconds_per_tick() {
        let of = |ticks, passed| rate(Measurement { ticks, error_ticks: 0, passed }, HERTZ);
        // A counter of 1 GHz while the 8254 counts 6 ms.
        let gigahertz = of(6_000_000, 7159);
        assert!(gigahertz.abs_diff(1 << 32) < 1 << 21, "{gigahertz:#x}");
        assert_eq!(of(0, 1), 838 << 32);
    }

    #[test]
    fn a_clock_that_stands_still_has_no_rate_and_one_that_goes_round_does() {
        assert_eq!(rate_by(&|| 7, u32::MAX, 1_000_000_000), None);
        // The counter itself, cut to 24 bits as the power management timer is: one tick is one tick.
        let rate = rate_by(&|| tsc::ticks() as u32 & 0xff_ffff, 0xff_ffff, 1_000_000_000).unwrap();
        assert!(rate.abs_diff(1 << 32) < 1 << 25, "{rate:#x}");
    }
}
