//! Native hardware, or a hypervisor that imitates it: a PC with the time stamp counter and the local APIC's timer, a
//! 16550, I/O APICs, ACPI.
//!
//! The counter's rate comes from who knows it, else from a calibration against the 8254 timer, else against ACPI's.

use super::{Hypervisor, Shutdown, Transmitter};
use crate::arch::calibration::{self, Countdown};
use crate::arch::instructions::{self, cpuid};
use crate::arch::{idt, io_apic, port, rtc, serial, tsc};
use crate::bus::acpi_timer::{self, AcpiTimer};
use crate::bus::{acpi, power_management};
use crate::cpu::Cpu;
use crate::image_layout::{self, Handlers};
use crate::interrupt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use hermit_sync::OneShotMutex;

/// A machine whose hypervisor needs no words of its own, or that has none.
pub(crate) static NATIVE: Pc = Pc { rate: frequency_leaf_rate };

/// A PC, and who knows the rate of its time stamp counter.
pub(crate) struct Pc {
    /// Nanoseconds per tick, times 2^32.
    pub(super) rate: fn() -> Option<u64>,
}

/// Nanoseconds per tick, times 2^32.
static RATE: AtomicU64 = AtomicU64::new(0);
/// The counter at the start.
static START: AtomicU64 = AtomicU64::new(0);
/// The calibration that has begun, where nobody knows the rate.
static COUNTDOWN: OneShotMutex<Option<Countdown>> = OneShotMutex::new(None);

/// How a machine exits with a failure code under QEMU: `isa-debug-exit` at its usual port.
const DEBUG_EXIT_PORT: u16 = 0xf4;
/// QEMU then exits with `2 * 16 + 1`.
const DEBUG_EXIT_FAILURE: u32 = 16;
/// `pvpanic`, by which other hypervisors' managers learn of a crash.
const PVPANIC_PORT: u16 = 0x505;
/// The event, and the bit by which the device says that it knows it. A port without a device reads as all ones.
const PVPANIC_PANICKED: u8 = 1;
const NO_DEVICE: u8 = 0xff;

impl Hypervisor for Pc {
    fn begin_clock(&self) {
        START.store(tsc::ticks(), Ordering::Relaxed);
        match (self.rate)() {
            Some(rate) => RATE.store(rate, Ordering::Relaxed),
            None => *COUNTDOWN.lock() = Some(Countdown::begin()),
        }
    }

    fn start_clock(&self) -> Duration {
        Cpu::current().apic.start_timer(interrupt::TIMER);
        let wall = Duration::from_secs(rtc::seconds_since_1970());
        if let Some(countdown) = COUNTDOWN.lock().take() {
            let rate = countdown.rate().or_else(acpi_timer_rate);
            let rate = rate.expect(
                "no clock of known rate: give the machine an 8254 (pit=on) or ACPI's timer",
            );
            RATE.store(rate.max(1), Ordering::Relaxed);
        }
        wall
    }

    fn nanos(&self) -> u64 {
        let ticks = tsc::ticks() - START.load(Ordering::Relaxed);
        scaled(ticks, RATE.load(Ordering::Relaxed))
    }

    fn wait(&self, at: Option<u64>, now: u64) {
        let timer = &Cpu::current().timer;
        // A timer that fires early is left alone: arming it costs an exit to the hypervisor.
        if let Some(at) = at.filter(|&at| timer.armed() > at) {
            timer.set_armed(arm_timer(at, now));
        }
        if let Some(image) = image_layout::running() {
            // SAFETY: interrupt handlers touch nothing but their flags, and this nothing at all.
            unsafe { (image.idle)() }
        }
        if timer.armed() <= self.nanos() {
            timer.disarm();
        }
    }

    fn can_sample(&self) -> bool {
        image_layout::running().is_some()
    }

    fn begin_samples(&self, period_nanos: u64) {
        Cpu::current().apic.raise_by_timer(idt::SAMPLE_VECTOR);
        let now = self.nanos();
        arm_timer(now + period_nanos, now);
        instructions::set_task_priority(idt::LINES_PRIORITY);
        // SAFETY: the priority lets no other interrupt through than the sample's, whose handler keeps all that it finds.
        unsafe { instructions::enable_interrupts() }
    }

    fn next_sample(&self, period_nanos: u64) {
        let now = self.nanos();
        arm_timer(now + period_nanos, now);
        Cpu::current().apic.end_interrupt();
    }

    fn end_samples(&self) {
        instructions::disable_interrupts();
        instructions::set_task_priority(0);
        let cpu = Cpu::current();
        cpu.apic.raise_by_timer(idt::line_vector(interrupt::TIMER));
        // What it was armed for before is gone.
        cpu.timer.disarm();
    }

    fn console(&self) -> &'static dyn Transmitter {
        &serial::FIRST
    }

    fn start_interrupts(&self, _handlers: &Handlers) {
        Cpu::current().apic.start();
        io_apic::find();
    }

    fn start_power(&self) {
        power_management::start();
    }

    fn take_power_button(&self) -> bool {
        power_management::take_button()
    }

    fn shut_down(&self, reason: Shutdown) {
        if reason != Shutdown::Crash {
            return power_management::soft_off();
        }
        // SAFETY: a port that either is this device or nothing.
        unsafe { port::write32(DEBUG_EXIT_PORT, DEBUG_EXIT_FAILURE) }
        // SAFETY: as above.
        let events = unsafe { port::read8(PVPANIC_PORT) };
        if events != NO_DEVICE && events & PVPANIC_PANICKED != 0 {
            // SAFETY: as above.
            unsafe { port::write8(PVPANIC_PORT, PVPANIC_PANICKED) }
            // The manager acts on it when it comes to that. Switched off meanwhile, the machine has stopped in good order, for all
            // that it sees.
            tsc::wait_seconds();
        }
    }
}

/// Arms this CPU's timer for a time after `now`. When it will go off: that may be earlier.
fn arm_timer(at: u64, now: u64) -> u64 {
    /// Longest wait that the timer's 32-bit count is asked for; it is then armed again.
    const WAIT_NANOS_MAX: u64 = 1_000_000_000;
    let apic = &Cpu::current().apic;
    let rate = RATE.load(Ordering::Relaxed);
    if apic.timer_has_deadline() {
        apic.arm_deadline(START.load(Ordering::Relaxed).saturating_add(ticks_until(at, rate)));
        return at;
    }
    let wait = (at - now).min(WAIT_NANOS_MAX);
    apic.arm_count(count_of(wait, apic.timer_rate(rate)));
    now + wait
}

/// So many times a rate that is times 2^32.
fn scaled(number: u64, rate: u64) -> u64 {
    ((u128::from(number) * u128::from(rate)) >> 32) as u64
}

/// The first tick at which so many nanoseconds have passed.
fn ticks_until(nanos: u64, rate: u64) -> u64 {
    (u128::from(nanos) << 32).div_ceil(u128::from(rate)) as u64
}

/// What a timer counts in so many nanoseconds, and one more: a count of 0 would stop it.
fn count_of(nanos: u64, timer_rate: u64) -> u32 {
    u32::try_from(scaled(nanos, timer_rate).saturating_add(1)).unwrap_or(u32::MAX)
}

/// By ACPI's timer, which takes some milliseconds.
fn acpi_timer_rate() -> Option<u64> {
    let timer = AcpiTimer::find(acpi::table(b"FACP")?)?;
    calibration::rate_by(&|| timer.count(), acpi_timer::COUNT_MAX, acpi_timer::HERTZ)
}

/// From the CPU's own leaf (Intel SDM volume 2, CPUID leaf 0x15): the crystal's frequency and the
/// counter's ratio to it.
pub(super) fn frequency_leaf_rate() -> Option<u64> {
    const LEAF: u32 = 0x15;
    if cpuid(0, 0).eax < LEAF {
        return None;
    }
    let leaf = cpuid(LEAF, 0);
    crystal_rate(leaf.eax, leaf.ebx, leaf.ecx)
}

/// By the counter's ratio to the crystal, and the crystal's frequency: 0 is "not told".
fn crystal_rate(denominator: u32, numerator: u32, hertz: u32) -> Option<u64> {
    let known = denominator != 0 && numerator != 0 && hertz != 0;
    known.then(|| rate_of(u64::from(hertz) * u64::from(numerator) / u64::from(denominator)))
}

/// Nanoseconds per tick, times 2^32.
pub(super) fn rate_of(hertz: u64) -> u64 {
    ((1_000_000_000_u128 << 32) / u128::from(hertz.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::dma::host;

    /// QEMU's docs/specs/pvpanic: a device says that it knows of panics by bit 0.
    #[test]
    fn a_crash_alone_is_told_to_what_ends_qemu_and_to_a_panic_device_that_is_there() {
        NATIVE.shut_down(Shutdown::Off);
        NATIVE.shut_down(Shutdown::Reboot);
        assert_eq!(port::take_written(), [], "no table says how");
        for events in [0xff, 0, 2] {
            port::set(0x505, events);
            NATIVE.shut_down(Shutdown::Crash);
            assert_eq!(port::take_written(), [(0xf4, 16)], "{events:#x}");
        }
    }

    /// All tests of the clock and the timer that all of a process has are here. Registers of the local APIC: Intel SDM volume 3,
    /// table 11-1.
    #[test]
    fn the_timer_is_armed_for_a_second_at_most_and_is_not_once_it_has_gone_off() {
        const INITIAL_COUNT: usize = 0x380;
        const LVT_TIMER: usize = 0x320;
        let apic = host::fixed(0xfee0_0000, 4096);
        let count =
            |apic: &[u8]| u32::from_le_bytes(apic[INITIAL_COUNT..][..4].try_into().unwrap());
        // No deadlines, and all that the real-time clock's registers show is eleven: 2011-11-11 11:11:11.
        instructions::fake::set_leaves(&[]);
        port::set(0x71, 0x11);
        assert_eq!(NATIVE.start_clock(), Duration::from_secs(1_321_009_871));
        assert_eq!(apic[LVT_TIMER..][..4], [idt::line_vector(interrupt::TIMER), 0, 0, 0]);
        // Half a count per nanosecond.
        Cpu::current().apic.set_timer_rate(1 << 31);
        for (at, now, armed, counts) in [
            (7, 3, 7, 3),
            (1_000_000_003, 3, 1_000_000_003, 500_000_001),
            (1_000_000_004, 3, 1_000_000_003, 500_000_001),
        ] {
            assert_eq!((arm_timer(at, now), count(apic)), (armed, counts), "{at}");
        }
        // A clock that has gone on behind each wait, and one that stands.
        let timer = &Cpu::current().timer;
        RATE.store(1 << 32, Ordering::Relaxed);
        let now = NATIVE.nanos();
        NATIVE.wait(Some(now + 1), now);
        assert_eq!((timer.armed(), count(apic)), (u64::MAX, 1));
        RATE.store(0, Ordering::Relaxed);
        NATIVE.wait(Some(9), 1);
        assert_eq!((timer.armed(), count(apic)), (9, 5));
        NATIVE.wait(Some(10), 1);
        assert_eq!((timer.armed(), count(apic)), (9, 5), "one that fires early is left alone");
        NATIVE.wait(None, 1);
        assert_eq!(timer.armed(), 9);
        NATIVE.wait(Some(5), 1);
        assert_eq!((timer.armed(), count(apic)), (5, 3));
        timer.disarm();
    }

    #[test]
    fn a_rate_is_nanoseconds_per_tick() {
        let rates = [1_000_000_000, 500_000_000, 4_000_000_000, 1].map(rate_of);
        assert_eq!(rates, [1 << 32, 2 << 32, 1 << 30, 1_000_000_000 << 32]);
        assert_eq!(rate_of(0), rate_of(1), "a counter that says that it stands");
    }

    #[test]
    fn the_leafs_rate_is_the_crystals_times_the_ratio() {
        // 24 MHz, 250 to 2.
        assert_eq!(crystal_rate(2, 250, 24_000_000), Some((1 << 32) / 3));
        assert_eq!(crystal_rate(1, u32::MAX, u32::MAX), Some(0), "absurd, and no overflow");
        let untold = [(0, 250, 24), (2, 0, 24), (2, 250, 0)];
        assert!(untold.into_iter().all(|(of, to, hertz)| crystal_rate(of, to, hertz).is_none()));
    }

    #[test]
    fn ticks_and_counts_are_those_of_the_time_that_passes() {
        // Two nanoseconds per tick.
        let rate = 2 << 32;
        assert_eq!(
            [0, 1, 7, u64::MAX >> 1].map(|ticks| scaled(ticks, rate)),
            [0, 2, 14, u64::MAX - 1]
        );
        assert_eq!([0, 1, 2, 3, 4].map(|nanos| ticks_until(nanos, rate)), [0, 1, 1, 2, 2]);
        // Half a count per nanosecond.
        let counts = [0, 1, 2, 1_000_000_000].map(|nanos| count_of(nanos, 1 << 31));
        assert_eq!(counts, [1, 1, 2, 500_000_001]);
        assert_eq!(
            (count_of(1 << 32, 1 << 32), count_of(u64::MAX, u64::MAX)),
            (u32::MAX, u32::MAX)
        );
        assert_eq!(count_of((1 << 32) - 2, 1 << 32), u32::MAX);
    }
}
