//! IRQ lines and their vectors; a handler sets a flag and no more.
//!
//! Every device interrupt has a [`Line`]. Its handler sets the line's bit, acknowledges the
//! interrupt and returns; drivers look at their lines when the platform's loop asks them. Interrupts
//! are enabled only inside `idle::wait`, so all other code is never interrupted,
//! and a loop that is busy pays nothing for them.

use crate::arch::{idt, io_apic};
use crate::cpu::Cpu;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bit N says that line N has an owner; line 0 is the timer's. A line is a vector, alike on all CPUs.
static ALLOCATED: AtomicU64 = AtomicU64::new(1);

/// One source of interrupts of one CPU. Lines are never given back: devices are found once.
pub(crate) struct Line {
    cpu: &'static Cpu,
    number: u8,
}

/// The line of the timer that ends a wait.
pub(crate) const TIMER: u8 = 0;

/// What a device writes, and where, to raise an interrupt (message-signalled interrupts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Physical address of the write.
    pub(crate) address: u64,
    /// The value written.
    pub(crate) data: u32,
}

impl Line {
    /// A line of this CPU that nobody has; `None` when all are taken.
    pub(crate) fn allocate() -> Option<Self> {
        let free = (!ALLOCATED.load(Ordering::Relaxed)).trailing_zeros();
        if free as usize >= idt::LINES {
            return None;
        }
        ALLOCATED.fetch_or(1 << free, Ordering::Relaxed);
        Some(Self { cpu: Cpu::current(), number: free as u8 })
    }

    /// What a device with message-signalled interrupts is told, for delivery to the line's CPU.
    pub(crate) fn message(&self) -> Message {
        let cpu = u64::from(self.cpu.apic.id());
        Message { address: 0xfee0_0000 | cpu << 12, data: idt::line_vector(self.number).into() }
    }

    /// Connects the rising edge of an I/O APIC pin to the line. False when there is no such pin.
    pub(crate) fn route(&self, pin: u32) -> bool {
        io_apic::route(pin, idt::line_vector(self.number), self.cpu.apic.id())
    }

    /// Whether the line was raised since it was last asked.
    pub(crate) fn take(&self) -> bool {
        self.cpu.lines.take(self.number)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.number).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use spinning_top::Spinlock;
    use spinning_top::guard::SpinlockGuard;

    /// All lines are free, and no other test takes one until this is dropped.
    pub(crate) fn free_lines() -> SpinlockGuard<'static, ()> {
        static LINES: Spinlock<()> = Spinlock::new(());
        let alone = LINES.lock();
        ALLOCATED.store(1, Ordering::Relaxed);
        alone
    }

    impl Line {
        /// Raises it, as its interrupt would.
        pub(crate) fn raise(&self) {
            self.cpu.lines.raise(self.number);
        }
    }

    #[test]
    fn lines_are_distinct_and_run_out() {
        let _alone = free_lines();
        let lines: std::vec::Vec<Line> = core::iter::from_fn(Line::allocate).collect();
        assert_eq!(lines.len(), idt::LINES - 1);
        assert_eq!(lines[2].message(), Message { address: 0xfee0_0000, data: 35 });
        lines[2].cpu.lines.raise(3);
        assert!(!lines[1].take());
        assert!(lines[2].take());
        assert!(!lines[2].take());
    }
}
