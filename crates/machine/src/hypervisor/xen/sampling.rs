//! Samples of what runs, by the timer of the local APIC that Xen gives a PVH guest. Nothing else here uses it: waits are
//! Xen's, and event channels interrupt nothing, so that no other interrupt is let in by letting in this one.

use super::clock;
use crate::arch::{idt, instructions, tsc};
use crate::cpu::Cpu;
use crate::interrupt;
use core::sync::atomic::{AtomicBool, Ordering};

/// It is on: it costs exits to turn it on, and few guests are ever looked at.
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// Has the timer interrupt what runs, after that many nanoseconds.
pub(super) fn begin(period_nanos: u64) {
    let apic = &Cpu::current().apic;
    if !IS_STARTED.swap(true, Ordering::Relaxed) {
        apic.start();
        apic.start_timer(interrupt::TIMER);
        apic.raise_by_timer(idt::SAMPLE_VECTOR);
    }
    arm(period_nanos);
    // SAFETY: nothing but the timer raises an interrupt, whose handler keeps all that it finds.
    unsafe { instructions::enable_interrupts() }
}

/// Has it do so again, from inside the interrupt.
pub(super) fn next(period_nanos: u64) {
    arm(period_nanos);
    Cpu::current().apic.end_interrupt();
}

pub(super) fn end() {
    instructions::disable_interrupts();
    let apic = &Cpu::current().apic;
    if apic.timer_has_deadline() {
        apic.arm_deadline(0);
    } else {
        apic.arm_count(0);
    }
}

/// The domain was restored, maybe on a machine whose clocks differ.
pub(super) fn restored() {
    IS_STARTED.store(false, Ordering::Relaxed);
    Cpu::current().apic.forget_timer_rate();
}

fn arm(period_nanos: u64) {
    let apic = &Cpu::current().apic;
    let nanos_per_tick = clock::nanos_per_tick().max(1);
    if apic.timer_has_deadline() {
        return apic
            .arm_deadline(tsc::ticks().saturating_add(ticks_of(period_nanos, nanos_per_tick)));
    }
    apic.arm_count(count_of(period_nanos, apic.timer_rate(nanos_per_tick)));
}

/// By a rate that is times 2^32, and not 0.
fn ticks_of(nanos: u64, nanos_per_tick: u64) -> u64 {
    let ticks = (u128::from(nanos) << 32) / u128::from(nanos_per_tick);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// What a timer counts meanwhile, by a rate that is times 2^32: a count of 0 would stop it.
fn count_of(nanos: u64, rate: u64) -> u32 {
    let count = (u128::from(nanos) * u128::from(rate)) >> 32;
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_so_many_ticks_or_counts() {
        // Half a nanosecond per tick; half a count per nanosecond.
        let half = 1 << 31;
        assert_eq!(
            [0, 1, 1000, u64::MAX].map(|nanos| ticks_of(nanos, half)),
            [0, 2, 2000, u64::MAX]
        );
        assert_eq!([0, 1, 1000, 1 << 40].map(|nanos| count_of(nanos, half)), [1, 1, 500, u32::MAX]);
    }
}
