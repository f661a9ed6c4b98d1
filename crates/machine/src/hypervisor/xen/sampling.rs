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
        let ticks = (u128::from(period_nanos) << 32) / u128::from(nanos_per_tick);
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        return apic.arm_deadline(tsc::ticks().saturating_add(ticks));
    }
    let rate = apic.timer_rate(nanos_per_tick);
    let count = (u128::from(period_nanos) * u128::from(rate)) >> 32;
    apic.arm_count(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
}
