//! Interrupts as flags.
//!
//! Every device interrupt has a [`Line`]. Its handler sets the line's bit, acknowledges the
//! interrupt and returns; drivers look at their lines when the platform's loop asks them. Interrupts
//! are enabled only inside [`wait`], so all other code is never interrupted, and a loop that is busy
//! pays nothing for them.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// How many lines there are.
const LINES: u32 = 56;
/// The vector of line 0; those below belong to exceptions.
pub(crate) const FIRST_VECTOR: u8 = 32;

/// Bit N is line N's; set by interrupt handlers.
#[unsafe(export_name = "interrupt_pending")]
static PENDING: AtomicU64 = AtomicU64::new(0);
/// Bit N says that line N has an owner; line 0 is the timer's.
static ALLOCATED: AtomicU64 = AtomicU64::new(1);

/// One source of interrupts. Lines are never given back: devices are found once.
#[derive(Debug, PartialEq, Eq)]
pub struct Line(u8);

/// The line of the timer that ends a [`wait`].
pub(crate) const TIMER: Line = Line(0);

/// What a device writes, and where, to raise an interrupt (message-signalled interrupts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address of the write.
    pub address: u64,
    /// The value written.
    pub data: u32,
}

/// How an interrupt pin signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By a change from low to high.
    Edge,
    /// By staying high until the device is served; one served late is seen twice.
    Level,
}

impl Line {
    /// A line that nobody has; `None` when all are taken.
    pub fn allocate() -> Option<Self> {
        let free = (!ALLOCATED.load(Ordering::Relaxed)).trailing_zeros();
        if free >= LINES {
            return None;
        }
        ALLOCATED.fetch_or(1 << free, Ordering::Relaxed);
        Some(Self(free as u8))
    }

    /// Its interrupt vector.
    pub(crate) fn vector(&self) -> u8 {
        FIRST_VECTOR + self.0
    }

    /// What a device with message-signalled interrupts is told, for delivery to this CPU.
    pub fn message(&self) -> Message {
        let cpu = u64::from(crate::arch::apic::id());
        Message { address: 0xfee0_0000 | cpu << 12, data: self.vector().into() }
    }

    /// Connects an I/O APIC pin to the line. False when there is no such pin.
    pub fn route(&self, pin: u32, trigger: Trigger) -> bool {
        crate::arch::apic::route(pin, self.vector(), trigger)
    }

    /// Whether the line was raised since it was last asked.
    pub fn take(&self) -> bool {
        let bit = 1 << self.0;
        PENDING.load(Ordering::Acquire) & bit != 0
            && PENDING.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }
}

/// Idles the CPU until an interrupt comes or the `deadline` (in the clock's time), and returns at
/// once if one is pending already. It may return early: ask the lines.
pub fn wait(deadline: Option<Duration>) {
    crate::console::pump();
    // That the timer went off says nothing but that the CPU was to wake up.
    TIMER.take();
    if PENDING.load(Ordering::Acquire) != 0 || crate::hypervisor::xen::event::is_pending() {
        return;
    }
    if !crate::clock::wake_at(deadline) {
        return;
    }
    #[cfg(feature = "runtime")]
    table::idle();
    crate::clock::woken();
}

#[cfg(feature = "runtime")]
pub(crate) use table::{install, set_gate};

/// The interrupt descriptor table (Intel SDM volume 3, section 6.14).
#[cfg(feature = "runtime")]
mod table {
    use super::{FIRST_VECTOR, LINES};
    use core::arch::{asm, global_asm};
    use core::cell::UnsafeCell;

    global_asm!(include_str!("arch/x86_64/interrupt.s"), options(att_syntax));

    unsafe extern "C" {
        static interrupt_entries: [u64; LINES as usize];
        fn interrupt_idle();
        fn interrupt_unclaimed();
        fn interrupt_ignored();
    }

    /// Waits for one interrupt, with interrupts on. One that is pending already ends it at once.
    pub(super) fn idle() {
        // SAFETY: interrupt handlers touch nothing but their flags, and `interrupt_idle` nothing at
        // all.
        unsafe { interrupt_idle() }
    }

    const GATES: usize = 256;
    const CODE_SELECTOR: u64 = 8;
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e;

    struct Table(UnsafeCell<[[u64; 2]; GATES]>);

    // SAFETY: one CPU writes it, with interrupts off.
    unsafe impl Sync for Table {}

    static TABLE: Table = Table(UnsafeCell::new([[0; 2]; GATES]));

    /// Points a vector at a handler that runs on the stack of that number in the task state
    /// segment (0: the current one).
    ///
    /// # Safety
    /// `handler` is the address of code that keeps every register and ends in `iretq`.
    pub(crate) unsafe fn set_gate(vector: u8, handler: u64, stack: u64) {
        let low = handler & 0xffff
            | CODE_SELECTOR << 16
            | stack << 32
            | PRESENT_INTERRUPT_GATE << 40
            | (handler >> 16 & 0xffff) << 48;
        let gate = TABLE.0.get().cast::<[u64; 2]>().wrapping_add(vector.into());
        // SAFETY: a vector is below the table's length, and nobody else writes.
        unsafe { gate.write_volatile([low, handler >> 32]) }
    }

    /// Loads the table and turns the interrupt controllers on; interrupts stay off.
    pub(crate) fn install() {
        for vector in FIRST_VECTOR..crate::arch::apic::SPURIOUS_VECTOR {
            // SAFETY: that handler only acknowledges.
            unsafe { set_gate(vector, interrupt_unclaimed as *const () as u64, 0) }
        }
        // SAFETY: that handler only returns: the APIC wants no acknowledgement of this one.
        unsafe {
            set_gate(crate::arch::apic::SPURIOUS_VECTOR, interrupt_ignored as *const () as u64, 0);
        }
        // SAFETY: a constant of the assembly.
        let entries = unsafe { &interrupt_entries };
        for (vector, &entry) in (FIRST_VECTOR..).zip(entries) {
            // SAFETY: the entries are such handlers.
            unsafe { set_gate(vector, entry, 0) }
        }
        crate::hypervisor::xen::event::install_gate();
        crate::bus::acpi::install(crate::boot::start_info().root_pointer());
        crate::arch::apic::install();
    }

    pub(crate) fn load() {
        #[repr(C, packed)]
        struct Pointer {
            limit: u16,
            base: u64,
        }
        let pointer =
            Pointer { limit: (size_of::<Table>() - 1) as u16, base: TABLE.0.get() as u64 };
        // SAFETY: the table is a static, filled before any interrupt or exception is expected.
        unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack)) }
    }
}
#[cfg(feature = "runtime")]
pub(crate) use table::load;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_distinct_and_run_out() {
        let lines: std::vec::Vec<Line> = core::iter::from_fn(Line::allocate).collect();
        assert_eq!(lines.len(), LINES as usize - 1);
        assert_eq!(lines[2].message(), Message { address: 0xfee0_0000, data: 35 });
        PENDING.store(1 << 3, Ordering::Release);
        assert!(!lines[1].take());
        assert!(lines[2].take());
        assert!(!lines[2].take());
    }
}
