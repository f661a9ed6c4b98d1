//! Idling: waiting for an interrupt or a deadline.

use crate::cpu::Cpu;
use crate::{console, hypervisor, interrupt, profile};
use core::time::Duration;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

/// Idles the CPU until an interrupt or an event comes or the `deadline` (in the clock's time), and returns at
/// once if one is pending already. It may return early: ask the devices.
pub fn wait(deadline: Option<Duration>) {
    #[cfg(any(test, feature = "fake"))]
    if !hypervisor::is_chosen() {
        return fake::wait(deadline);
    }
    console::pump();
    // Interrupts are off from here to the wait itself, or one would come unseen just before it.
    let _paused = profile::pause();
    let cpu = Cpu::current();
    // That the timer went off says nothing but that the CPU was to wake up.
    cpu.lines.take(interrupt::TIMER);
    if cpu.lines.is_pending() {
        return;
    }
    let hypervisor = hypervisor::current();
    let at = deadline.map(|at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
    let now = hypervisor.nanos();
    if at.is_none_or(|at| at > now) {
        hypervisor.wait(at, now);
    }
}
