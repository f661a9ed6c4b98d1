//! Time since the start, wall-clock time, and waking up in time.
//!
//! The time stamp counter is the clock. Its rate comes from the hypervisor where that says so (a
//! frequency leaf, or the paravirtual clocks of KVM and Xen), else from a comparison with the 8254
//! timer.

use crate::arch::calibration as comparison;
use crate::arch::{apic, instructions as cpu, rtc};
use crate::hypervisor::{kvm, xen};
use crate::interrupt;
#[cfg(feature = "runtime")]
pub(crate) use comparison::Countdown;
use comparison::Moment;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use spinning_top::Spinlock;

/// Nanoseconds per tick, times 2^32.
static RATE: AtomicU64 = AtomicU64::new(0);
/// The counter at the start.
static START: AtomicU64 = AtomicU64::new(0);
/// Seconds since 1970 at the start.
static WALL_START: AtomicU64 = AtomicU64::new(0);
/// Timer ticks per 2^32 nanoseconds, where the local APIC's timer has its own rate; 0 while that is
/// not known.
static TIMER_RATE: AtomicU64 = AtomicU64::new(0);
/// Since when it has been compared with the counter.
static TIMER_BEGAN: Spinlock<Option<Moment>> = Spinlock::new(None);
/// What the timer is armed for, in nanoseconds since the start; `u64::MAX` when it is not.
static ARMED: AtomicU64 = AtomicU64::new(u64::MAX);

/// Time since the start; never goes back.
pub fn now() -> Duration {
    Duration::from_nanos(nanos())
}

/// Time since 1970-01-01 00:00 UTC, as the hypervisor told it at the start.
pub fn wall() -> Duration {
    Duration::from_secs(WALL_START.load(Ordering::Relaxed)) + now()
}

/// Arms the timer for `deadline`; false when that has come. A timer that fires early is left
/// alone: arming costs an exit to the hypervisor.
pub(crate) fn wake_at(deadline: Option<Duration>) -> bool {
    let Some(deadline) = deadline else { return true };
    let at = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
    let now = nanos();
    if at <= now {
        return false;
    }
    if ARMED.load(Ordering::Relaxed) > at {
        arm(at, now);
    }
    true
}

/// Something woke the CPU: a timer whose time has come is no longer armed.
pub(crate) fn woken() {
    // Xen's goes off once, by its own clock: that may be a little before ours says so.
    if xen::present() && xen::clock::take_timer() {
        ARMED.store(u64::MAX, Ordering::Relaxed);
    }
    if ARMED.load(Ordering::Relaxed) <= nanos() {
        ARMED.store(u64::MAX, Ordering::Relaxed);
    }
}

fn nanos() -> u64 {
    if xen::present() {
        return xen::clock::nanos() - START.load(Ordering::Relaxed);
    }
    let ticks = cpu::ticks() - START.load(Ordering::Relaxed);
    ((u128::from(ticks) * u128::from(RATE.load(Ordering::Relaxed))) >> 32) as u64
}

fn arm(at: u64, now: u64) {
    /// Longest wait that the timer's 32-bit count is asked for; it is then armed again.
    const WAIT_NANOS_MAX: u64 = 1_000_000_000;
    if xen::present() {
        xen::clock::arm(START.load(Ordering::Relaxed).saturating_add(at));
        ARMED.store(at, Ordering::Relaxed);
    } else if apic::timer_has_deadline() {
        let rate = u128::from(RATE.load(Ordering::Relaxed));
        let ticks = (u128::from(at) << 32).div_ceil(rate) as u64;
        apic::arm_deadline(START.load(Ordering::Relaxed).saturating_add(ticks));
        ARMED.store(at, Ordering::Relaxed);
    } else {
        let wait = (at - now).min(WAIT_NANOS_MAX);
        let count = ((u128::from(wait) * u128::from(timer_rate())) >> 32) as u64;
        apic::arm_count(u32::try_from(count + 1).unwrap_or(u32::MAX));
        ARMED.store(now + wait, Ordering::Relaxed);
    }
}

/// The timer's own rate. It is asked for when the machine idles for the first time, long after the
/// comparison began.
fn timer_rate() -> u64 {
    let known = TIMER_RATE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let began = TIMER_BEGAN.lock().take().unwrap_or_else(comparison::begin_timer);
    let rate = comparison::timer_rate(began, RATE.load(Ordering::Relaxed)).max(1);
    TIMER_RATE.store(rate, Ordering::Relaxed);
    rate
}

/// Learns the counter's rate, if somebody tells it, or else begins to compare it with the 8254, which
/// takes less waiting the more is done until [`install`].
#[cfg(feature = "runtime")]
pub(crate) fn begin() -> Option<Countdown> {
    if xen::present() {
        return None;
    }
    START.store(cpu::ticks(), Ordering::Relaxed);
    match frequency_of_hypervisor().map(rate_of).or_else(kvm::rate) {
        Some(rate) => {
            RATE.store(rate, Ordering::Relaxed);
            None
        }
        None => Some(Countdown::begin()),
    }
}

/// Starts the clock.
#[cfg(feature = "runtime")]
pub(crate) fn install(countdown: Option<Countdown>) {
    if xen::present() {
        return install_xen();
    }
    apic::install_timer(interrupt::TIMER.vector());
    if !apic::timer_has_deadline() {
        *TIMER_BEGAN.lock() = Some(comparison::begin_timer());
    }
    WALL_START.store(rtc::seconds_since_1970(), Ordering::Relaxed);
    if let Some(countdown) = countdown {
        let rate = countdown.rate();
        let rate = rate.expect("a clock of known rate: the hypervisor has none, nor an 8254 timer");
        RATE.store(rate.max(1), Ordering::Relaxed);
    }
}

/// Xen has a clock, a timer and the time of day.
#[cfg(feature = "runtime")]
fn install_xen() {
    xen::clock::install();
    let start = xen::clock::nanos();
    START.store(start, Ordering::Relaxed);
    let wall = xen::clock::wall_at_zero() + Duration::from_nanos(start);
    WALL_START.store(wall.as_secs(), Ordering::Relaxed);
}

#[cfg(feature = "runtime")]
fn rate_of(hertz: u64) -> u64 {
    ((1_000_000_000_u128 << 32) / u128::from(hertz.max(1))) as u64
}

/// Ticks per second, where a leaf tells: Intel's leaf 0x15, or the leaf that VMware began and KVM
/// shares.
#[cfg(feature = "runtime")]
fn frequency_of_hypervisor() -> Option<u64> {
    if cpu::cpuid(0, 0).eax >= 0x15 {
        let leaf = cpu::cpuid(0x15, 0);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    let base = cpu::hypervisor_leaf(b"KVMKVMKVM\0\0\0")?;
    if cpu::cpuid(base, 0).eax >= base + 0x10 {
        let kilohertz = cpu::cpuid(base + 0x10, 0).eax;
        return (kilohertz != 0).then_some(u64::from(kilohertz) * 1000);
    }
    None
}
