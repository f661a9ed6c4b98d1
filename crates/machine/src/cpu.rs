//! Per-CPU state: all that each CPU has for itself hangs off one [`Cpu`].
//!
//! There is one instance yet. A second CPU gets its own, with stacks and descriptor tables of its own,
//! and finds it by its segment base; what asks [`Cpu::current`] stays as it is.

use crate::arch::apic::LocalApic;
use crate::arch::task_state::TaskState;
use crate::hypervisor::xen::vcpu::Vcpu;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

/// A CPU.
#[repr(C)]
pub(crate) struct Cpu {
    pub(crate) lines: Lines,
    pub(crate) apic: LocalApic,
    pub(crate) timer: Timer,
    pub(crate) task_state: TaskState,
    /// What it is to Xen, where that is below.
    pub(crate) vcpu: Vcpu,
}

/// The one that started, also for the assembly of `machine-runtime`, which knows these fields.
#[unsafe(export_name = "boot_cpu")]
static BOOT: Cpu = Cpu {
    lines: Lines::new(),
    apic: LocalApic::new(),
    timer: Timer { armed: AtomicU64::new(Timer::NEVER) },
    task_state: TaskState::new(),
    vcpu: Vcpu::new(),
};
const _: () = assert!(offset_of!(Cpu, lines.pending) == 0);
const _: () = assert!(offset_of!(Cpu, apic.eoi_register) == 8);

impl Cpu {
    /// The one that asks.
    pub(crate) fn current() -> &'static Self {
        &BOOT
    }
}

/// Its interrupt lines, a bit each.
#[repr(C)]
pub(crate) struct Lines {
    /// Those that were raised; set by interrupt handlers.
    pending: AtomicU64,
}

impl Lines {
    const fn new() -> Self {
        Self { pending: AtomicU64::new(0) }
    }

    /// Whether any was raised and not taken.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) != 0
    }

    /// Whether this one was raised since it was last taken.
    pub(crate) fn take(&self, line: u8) -> bool {
        let bit = 1 << line;
        self.pending.load(Ordering::Acquire) & bit != 0
            && self.pending.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Raises a line, as its interrupt would.
    #[cfg(test)]
    pub(crate) fn raise(&self, line: u8) {
        self.pending.fetch_or(1 << line, Ordering::Release);
    }
}

/// Its deadline timer.
pub(crate) struct Timer {
    /// When it goes off, in nanoseconds since the start.
    armed: AtomicU64,
}

impl Timer {
    const NEVER: u64 = u64::MAX;

    /// When it goes off, in nanoseconds since the start; `u64::MAX` when it is not armed.
    pub(crate) fn armed(&self) -> u64 {
        self.armed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_armed(&self, at: u64) {
        self.armed.store(at, Ordering::Relaxed);
    }

    pub(crate) fn disarm(&self) {
        self.set_armed(Self::NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_raised_is_taken_once_and_no_other_with_it() {
        let lines = Lines::new();
        assert!(!lines.is_pending() && !lines.take(0));
        for line in [0, 5, 63] {
            lines.raise(line);
        }
        assert!(lines.is_pending() && !lines.take(4));
        for line in [5, 0, 63] {
            assert!(lines.is_pending());
            assert!(lines.take(line) && !lines.take(line), "{line}");
        }
        assert!(!lines.is_pending());
    }

    #[test]
    fn a_timer_goes_off_when_it_was_last_told_to() {
        let timer = Timer { armed: AtomicU64::new(Timer::NEVER) };
        timer.set_armed(7);
        assert_eq!(timer.armed(), 7);
        timer.disarm();
        assert_eq!(timer.armed(), u64::MAX);
    }
}
