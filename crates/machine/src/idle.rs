//! Idling: waiting for an interrupt or a deadline.

use crate::cpu::Cpu;
use crate::{clock, console, hypervisor, image_layout, interrupt};
use core::time::Duration;

/// Idles the CPU until an interrupt comes or the `deadline` (in the clock's time), and returns at
/// once if one is pending already. It may return early: ask the devices.
pub fn wait(deadline: Option<Duration>) {
    console::pump();
    let cpu = Cpu::current();
    // That the timer went off says nothing but that the CPU was to wake up.
    cpu.lines.take(interrupt::TIMER);
    if cpu.lines.is_pending() || hypervisor::current().has_event() {
        return;
    }
    if !clock::wake_at(deadline) {
        return;
    }
    if let Some(image) = image_layout::running() {
        // SAFETY: interrupt handlers touch nothing but their flags, and this nothing at all.
        unsafe { (image.idle)() }
    }
    clock::woken();
}
