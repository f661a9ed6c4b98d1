//! System time and wall-clock time, as Xen gives them (Xen, public/xen.h).

use super::shared_info::{SHARED, VcpuTime, WallClock};
use super::vcpu::Vcpu;
use crate::arch::tsc;
use core::sync::atomic::{AtomicI64, Ordering, fence};
use core::time::Duration;

/// Nanoseconds since Xen started; never goes back, also where Xen's correction of its line would
/// make it.
pub(super) fn nanos(vcpu: &Vcpu) -> u64 {
    never_back(vcpu, Line::read(&SHARED.time).nanos_at(tsc::ticks()))
}

/// The time that is told where Xen says `now`.
fn never_back(vcpu: &Vcpu, now: u64) -> u64 {
    let latest = vcpu.latest.load(Ordering::Relaxed);
    if now > latest {
        vcpu.latest.store(now, Ordering::Relaxed);
        now
    } else {
        latest
    }
}

/// Nanoseconds per tick of the time stamp counter, times 2^32.
pub(super) fn nanos_per_tick() -> u64 {
    Line::read(&SHARED.time).nanos_per_tick()
}

/// The domain was restored, maybe by another Xen: its system time may be before all that was told.
pub(super) fn restored(vcpu: &Vcpu) {
    vcpu.latest.store(0, Ordering::Relaxed);
}

/// Time since 1970 when Xen's system time was 0.
pub(super) fn wall_at_zero() -> Duration {
    read_wall(&SHARED.wall)
}

/// System time when the machine started, in nanoseconds. Below zero where the domain was restored by a Xen that is younger.
pub(super) struct Start(AtomicI64);

impl Start {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Lets the machine's time be `nanos` at the system time `now`.
    pub(super) fn set(&self, now: u64, nanos: u64) {
        self.0.store(now.wrapping_sub(nanos) as i64, Ordering::Relaxed);
    }

    /// The machine's time at a system time.
    pub(super) fn machine_time(&self, now: u64) -> u64 {
        now.wrapping_sub(self.0.load(Ordering::Relaxed) as u64)
    }

    /// The system time at a time of the machine's.
    pub(super) fn system_time(&self, nanos: u64) -> u64 {
        nanos.saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}

/// System time as a function of the time stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    ticks: u64,
    nanos: u64,
    multiplier: u32,
    shift: i8,
}

impl Line {
    /// A consistent copy: Xen makes the version odd while it changes the rest (public/xen.h).
    fn read(time: &VcpuTime) -> Self {
        loop {
            let version = time.version.load(Ordering::Acquire);
            let line = Self {
                ticks: time.ticks.load(Ordering::Relaxed),
                nanos: time.nanos.load(Ordering::Relaxed),
                multiplier: time.multiplier.load(Ordering::Relaxed),
                shift: time.shift.load(Ordering::Relaxed) as i8,
            };
            fence(Ordering::Acquire);
            if version & 1 == 0 && time.version.load(Ordering::Relaxed) == version {
                return line;
            }
        }
    }

    /// Times 2^32.
    fn nanos_per_tick(&self) -> u64 {
        let shift = u32::from(self.shift.unsigned_abs()).min(31);
        let multiplier = u64::from(self.multiplier);
        if self.shift < 0 { multiplier >> shift } else { multiplier << shift }
    }

    fn nanos_at(&self, ticks: u64) -> u64 {
        // A counter that is behind the point (another CPU's, before the first update) counts as it.
        let elapsed = u128::from(ticks.saturating_sub(self.ticks));
        let shift = u32::from(self.shift.unsigned_abs()).min(63);
        let shifted = if self.shift < 0 { elapsed >> shift } else { elapsed << shift };
        let nanos = ((shifted & u128::from(u64::MAX)) * u128::from(self.multiplier)) >> 32;
        self.nanos.wrapping_add(nanos as u64)
    }
}

fn read_wall(wall: &WallClock) -> Duration {
    loop {
        let version = wall.version.load(Ordering::Acquire);
        let low = wall.seconds.load(Ordering::Relaxed);
        let high = wall.seconds_high.load(Ordering::Relaxed);
        let nanos = wall.nanos.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if version & 1 == 0 && wall.version.load(Ordering::Relaxed) == version {
            let seconds = Duration::from_secs(u64::from(high) << 32 | u64::from(low));
            return seconds + Duration::from_nanos(nanos.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;

    #[test]
    fn ticks_become_nanoseconds_with_either_shift() {
        let line = Line { ticks: 1000, nanos: 50, multiplier: 1 << 31, shift: 1 };
        assert_eq!(line.nanos_at(1000), 50);
        assert_eq!(line.nanos_at(3000), 2050);
        assert_eq!(line.nanos_per_tick(), 1 << 32);
        let line = Line { shift: -1, ..line };
        assert_eq!(line.nanos_at(5000), 1050);
        assert_eq!(line.nanos_per_tick(), 1 << 30);
    }

    #[test]
    fn the_machines_time_goes_on_by_any_xen() {
        let start = Start::new();
        start.set(7_000, 0);
        assert_eq!((start.machine_time(7_500), start.system_time(500)), (500, 7_500));
        // One that is younger, and one that is older.
        for now in [100, 1_000_000] {
            start.set(now, 500);
            assert_eq!((start.machine_time(now + 60), start.system_time(560)), (560, now + 60));
            assert!(start.system_time(u64::MAX) > 1 << 63);
        }
    }

    #[test]
    fn a_counter_behind_the_point_and_absurd_numbers_do_no_harm() {
        let line = Line { ticks: 1000, nanos: 50, multiplier: u32::MAX, shift: i8::MIN };
        assert_eq!(line.nanos_at(3), 50);
        line.nanos_at(u64::MAX);
        Line { shift: i8::MAX, nanos: u64::MAX, ..line }.nanos_at(u64::MAX);
        assert_eq!(line.nanos_per_tick(), 1);
        let line = Line { ticks: 0, nanos: 0, multiplier: 1 << 31, shift: i8::MAX };
        assert_eq!((line.nanos_at(1), line.nanos_at(2)), (1 << 62, 0));
        assert_eq!(line.nanos_per_tick(), 1 << 62);
        let around = Line { nanos: u64::MAX, shift: 0, ..line };
        assert_eq!(around.nanos_at(4), 1);
    }

    #[test]
    fn time_never_goes_back_but_in_another_xen() {
        let vcpu = Vcpu::new();
        let told = [5, 3, 5, 6, 0].map(|now| never_back(&vcpu, now));
        assert_eq!(told, [5, 5, 5, 6, 6]);
        restored(&vcpu);
        assert_eq!(never_back(&vcpu, 2), 2);
    }

    /// public/xen.h: an odd version says that the rest is being changed.
    #[test]
    fn the_wall_clock_is_read_whole() {
        let word = AtomicU32::new;
        static WALL: WallClock = WallClock {
            version: AtomicU32::new(7),
            seconds: AtomicU32::new(5),
            nanos: AtomicU32::new(0),
            seconds_high: AtomicU32::new(0),
        };
        let writer = std::thread::spawn(|| {
            WALL.seconds_high.store(2, Ordering::Relaxed);
            WALL.nanos.store(999_999_999, Ordering::Relaxed);
            WALL.version.store(8, Ordering::Release);
        });
        assert_eq!(read_wall(&WALL), Duration::new((2 << 32) + 5, 999_999_999));
        writer.join().unwrap();
        let [version, seconds, nanos, seconds_high] = [0, 3, 4, 0].map(word);
        let wall = WallClock { version, seconds, nanos, seconds_high };
        assert_eq!(read_wall(&wall), Duration::new(3, 4));
    }

    #[test]
    fn an_odd_version_is_waited_out() {
        let time = &SHARED.time;
        time.version.store(3, Ordering::Relaxed);
        let writer = std::thread::spawn(|| {
            SHARED.time.nanos.store(77, Ordering::Relaxed);
            SHARED.time.version.store(4, Ordering::Release);
        });
        assert_eq!(Line::read(time).nanos, 77);
        writer.join().unwrap();
    }
}
