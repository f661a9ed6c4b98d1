//! Time since the start, wall-clock time, and waking up in time.
//!
//! The time stamp counter is the clock. Its rate comes from the hypervisor where that says so (a
//! frequency leaf, or the paravirtual clocks of KVM and Xen), else from a short comparison with the
//! 8254 timer.

mod kvm;
mod rtc;

use crate::{apic, cpu, interrupt, port, xen};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// Nanoseconds per tick, times 2^32.
static RATE: AtomicU64 = AtomicU64::new(0);
/// The counter at the start.
static START: AtomicU64 = AtomicU64::new(0);
/// Seconds since 1970 at the start.
static WALL_START: AtomicU64 = AtomicU64::new(0);
/// Timer ticks per 2^32 nanoseconds, where the local APIC's timer has its own rate.
static TIMER_RATE: AtomicU64 = AtomicU64::new(0);
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
        let rate = u128::from(TIMER_RATE.load(Ordering::Relaxed));
        let count = ((u128::from(wait) * rate) >> 32) as u64;
        apic::arm_count(u32::try_from(count + 1).unwrap_or(u32::MAX));
        ARMED.store(now + wait, Ordering::Relaxed);
    }
}

/// Starts the clock.
#[cfg(feature = "runtime")]
pub(crate) fn install() {
    if xen::present() {
        return install_xen();
    }
    apic::install_timer(interrupt::TIMER.vector());
    START.store(cpu::ticks(), Ordering::Relaxed);
    let known = frequency_of_hypervisor().map(rate_of).or_else(kvm::rate);
    if let Some(rate) = known {
        RATE.store(rate, Ordering::Relaxed);
    }
    if known.is_none() || !apic::timer_has_deadline() {
        compare_with_8254(known);
    }
    WALL_START.store(rtc::seconds_since_1970(), Ordering::Relaxed);
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

/// Lets the 8254's first channel count down while the counter and the local timer run.
///
/// The hypervisor may take the CPU away at any point of that, so that each comparison comes with
/// the most it can be wrong by; it is repeated until that is little.
#[cfg(feature = "runtime")]
fn compare_with_8254(known: Option<u64>) {
    const TRIES: usize = 20;
    /// Good enough: 1 part in 256, which TCP's timers and idle waits do not notice.
    const ERROR_SHARE: u64 = 256;
    let mut best = Comparison::run();
    for _ in 1..TRIES {
        if best.as_ref().is_some_and(|best| best.error_ticks <= best.ticks / ERROR_SHARE) {
            break;
        }
        best = best.into_iter().chain(Comparison::run()).min_by_key(|one| one.error_ticks);
    }
    let best = best.expect("a clock of known rate: the hypervisor has none, nor an 8254 timer");
    let elapsed = u128::from(best.ticks.max(1));
    let rate = known.unwrap_or(((COMPARISON_NANOS << 32) / elapsed) as u64);
    RATE.store(rate, Ordering::Relaxed);
    let nanos = ((elapsed * u128::from(rate)) >> 32).max(1);
    TIMER_RATE.store(((u128::from(best.timer_ticks) << 32) / nanos) as u64, Ordering::Relaxed);
}

/// What the 8254 is asked to count: about 1 ms, short beside the time to boot.
#[cfg(feature = "runtime")]
const COMPARISON_COUNT: u16 = 1200;
/// The time that takes: its input clock has 1,193,182 Hz.
#[cfg(feature = "runtime")]
const COMPARISON_NANOS: u128 = COMPARISON_COUNT as u128 * 1_000_000_000 / 1_193_182;

/// Ticks of both clocks while the 8254 counted once.
#[cfg(feature = "runtime")]
struct Comparison {
    ticks: u64,
    timer_ticks: u32,
    /// How much `ticks` may be wrong: what passed while the start and the end were not watched.
    error_ticks: u64,
}

#[cfg(feature = "runtime")]
impl Comparison {
    /// `None` where there is no 8254.
    fn run() -> Option<Self> {
        /// A machine without the 8254 is noticed after about this many ticks.
        const TICKS_MAX: u64 = 1 << 26;
        const CHANNEL: u16 = 0x40;
        const CONTROL: u16 = 0x43;
        const ONE_SHOT: u8 = 0x30;
        const LATCH_STATUS: u8 = 0xe2;
        const DONE: u8 = 0x80;
        /// What is read where nothing is.
        const NOTHING: u8 = 0xff;
        // SAFETY: (all ports here) channel 0 of the 8254, which nothing else uses.
        let write = |port, value| unsafe { port::write8(port, value) };
        write(CONTROL, ONE_SHOT);
        write(CHANNEL, COMPARISON_COUNT as u8);
        apic::arm_count(u32::MAX);
        let before = (cpu::ticks(), apic::count());
        write(CHANNEL, (COMPARISON_COUNT >> 8) as u8);
        let started = cpu::ticks();
        let mut not_done = started;
        let done = loop {
            let asked = cpu::ticks();
            write(CONTROL, LATCH_STATUS);
            // SAFETY: as above.
            let status = unsafe { port::read8(CHANNEL) };
            if status == NOTHING || asked - started > TICKS_MAX {
                return None;
            }
            if status & DONE != 0 {
                break cpu::ticks();
            }
            not_done = asked;
        };
        let after = apic::count();
        apic::arm_count(0);
        Some(Self {
            ticks: done - before.0,
            timer_ticks: before.1.saturating_sub(after),
            error_ticks: (started - before.0) + (done - not_done),
        })
    }
}
