//! Local APIC and its timer (Intel SDM volume 3, chapter 11).

use super::calibration::{self, Counter};
use super::idt;
use super::instructions::{self, cpuid};
use super::port;
use super::tsc::TscInterval;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use hermit_sync::OneShotMutex;

const LOCAL_PAGE: u64 = 0xfee0_0000;

const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const SPURIOUS: u32 = 0xf0;
const PIN_0: u32 = 0x350;
const TIMER: u32 = 0x320;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;
const EOI: u32 = 0xb0;
const TIMER_DEADLINE_MODE: u32 = 1 << 18;
const MASKED: u32 = 1 << 16;

/// A CPU's own. All but [`LocalApic::id`] is to be called on that CPU.
#[repr(C)]
pub(crate) struct LocalApic {
    /// The EOI register's address for interrupt handlers; 0 selects the x2APIC's.
    pub(crate) eoi_register: AtomicU64,
    /// The CPU, as I/O APICs and devices name it.
    id: AtomicU8,
    has_deadline: AtomicBool,
    /// Timer ticks per 2^32 nanoseconds, where the timer has its own rate; 0 while that is not known.
    timer_rate: AtomicU64,
    /// Since when the timer has been compared with the time stamp counter.
    timer_began: OneShotMutex<Option<TscInterval>>,
}

impl LocalApic {
    pub(crate) const fn new() -> Self {
        Self {
            eoi_register: AtomicU64::new(LOCAL_PAGE + EOI as u64),
            id: AtomicU8::new(0),
            has_deadline: AtomicBool::new(false),
            timer_rate: AtomicU64::new(0),
            timer_began: OneShotMutex::new(None),
        }
    }

    /// Turns it on, and the old interrupt controllers off.
    pub(crate) fn start(&self) {
        const ENABLED: u64 = 1 << 11;
        const X2APIC: u64 = 1 << 10;
        // SAFETY: masks both PICs, which nothing uses.
        unsafe { port::write8(0x21, 0xff) }
        // SAFETY: as above.
        unsafe { port::write8(0xa1, 0xff) }
        // SAFETY: every x86-64 has this register.
        let base = unsafe { instructions::read_msr(instructions::MSR_APIC_BASE) };
        let x2apic = cpuid(1, 0).ecx & 1 << 21 != 0;
        let mode = if x2apic { ENABLED | X2APIC } else { ENABLED };
        // SAFETY: turns on a mode that the CPU has; x2APIC follows the enabled state.
        unsafe { instructions::write_msr(instructions::MSR_APIC_BASE, base | ENABLED) }
        // SAFETY: as above.
        unsafe { instructions::write_msr(instructions::MSR_APIC_BASE, base | mode) }
        if x2apic {
            self.eoi_register.store(0, Ordering::Relaxed);
        }
        let id = if x2apic { self.read(ID) } else { self.read(ID) >> 24 };
        // Without interrupt remapping messages have room for 8 bits; the first CPU's number is small.
        self.id.store(id as u8, Ordering::Relaxed);
        // Firmware leaves the old controllers connected to this pin, and they may have one in store
        // that they would deliver as an exception's vector.
        self.write(PIN_0, MASKED);
        self.write(TASK_PRIORITY, 0);
        self.write(SPURIOUS, 1 << 8 | u32::from(idt::SPURIOUS_VECTOR));
    }

    /// As it is after a reset, but enabled: no interrupt is pending, and the timer is off (section 11.4.7.1).
    pub(crate) fn reset(&self) {
        const ENABLED: u64 = 1 << 11;
        const X2APIC: u64 = 1 << 10;
        // SAFETY: every x86-64 has this register.
        let base = unsafe { instructions::read_msr(instructions::MSR_APIC_BASE) };
        // SAFETY: disabling is how both modes are left (section 11.12.5).
        unsafe { instructions::write_msr(instructions::MSR_APIC_BASE, base & !(ENABLED | X2APIC)) }
        // SAFETY: every CPU has this mode.
        unsafe { instructions::write_msr(instructions::MSR_APIC_BASE, base & !X2APIC | ENABLED) }
    }

    /// The CPU, as I/O APICs and devices name it.
    pub(crate) fn id(&self) -> u8 {
        self.id.load(Ordering::Relaxed)
    }

    /// Makes the timer raise an interrupt line; one-shot, by deadline where the CPU can.
    pub(crate) fn start_timer(&self, line: u8) {
        const DIVIDE_BY_1: u32 = 0b1011;
        let deadline = cpuid(1, 0).ecx & 1 << 24 != 0;
        self.has_deadline.store(deadline, Ordering::Relaxed);
        let mode = if deadline { TIMER_DEADLINE_MODE } else { 0 };
        self.write(TIMER_DIVIDE, DIVIDE_BY_1);
        self.write(TIMER, u32::from(idt::line_vector(line)) | mode);
        // SAFETY: a fence, as section 11.5.4.1 asks for before the deadline's register is written.
        unsafe { core::arch::asm!("mfence", options(nostack)) }
        if !deadline {
            *self.timer_began.lock() = Some(self.begin());
        }
    }

    /// Makes the timer raise another vector.
    pub(crate) fn raise_by_timer(&self, vector: u8) {
        let mode = if self.timer_has_deadline() { TIMER_DEADLINE_MODE } else { 0 };
        self.write(TIMER, u32::from(vector) | mode);
        // SAFETY: a fence, as in `start_timer`.
        unsafe { core::arch::asm!("mfence", options(nostack)) }
    }

    /// The interrupt that is being handled is done with.
    pub(crate) fn end_interrupt(&self) {
        self.write(EOI, 0);
    }

    /// The timer compares with the time stamp counter, so that it needs no calibration.
    pub(crate) fn timer_has_deadline(&self) -> bool {
        self.has_deadline.load(Ordering::Relaxed)
    }

    /// Arms the timer for a value of the time stamp counter.
    pub(crate) fn arm_deadline(&self, ticks: u64) {
        // SAFETY: only called in deadline mode, where the register exists.
        unsafe { instructions::write_msr(instructions::MSR_TSC_DEADLINE, ticks) }
    }

    /// Arms the timer for a number of its own ticks.
    pub(crate) fn arm_count(&self, count: u32) {
        self.write(TIMER_INITIAL, count);
    }

    /// The timer's own rate, in ticks per 2^32 nanoseconds, by the time stamp counter's in nanoseconds per
    /// tick times 2^32. It is asked for when the machine idles for the first time, long after the
    /// calibration began.
    pub(crate) fn timer_rate(&self, nanos_per_tick: u64) -> u64 {
        let known = self.timer_rate.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let began = self.timer_began.lock().take().unwrap_or_else(|| self.begin());
        let rate = calibration::timer_rate(self, began, nanos_per_tick).max(1);
        self.arm_count(0);
        self.timer_rate.store(rate, Ordering::Relaxed);
        rate
    }

    /// The timer may have another rate from now on.
    pub(crate) fn forget_timer_rate(&self) {
        self.timer_rate.store(0, Ordering::Relaxed);
        *self.timer_began.lock() = None;
    }

    /// Lets the timer's rate be known.
    #[cfg(test)]
    pub(crate) fn set_timer_rate(&self, rate: u64) {
        self.timer_rate.store(rate, Ordering::Relaxed);
    }

    fn read(&self, register: u32) -> u32 {
        if self.eoi_register.load(Ordering::Relaxed) == 0 {
            // SAFETY: in x2APIC mode the register is this MSR.
            return unsafe { instructions::read_msr(0x800 + (register >> 4)) } as u32;
        }
        // SAFETY: the local APIC's page is mapped, and reading its registers harms nothing.
        unsafe { ((LOCAL_PAGE + u64::from(register)) as *const u32).read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        if self.eoi_register.load(Ordering::Relaxed) == 0 {
            // SAFETY: in x2APIC mode the register is this MSR; callers write what it takes.
            return unsafe { instructions::write_msr(0x800 + (register >> 4), value.into()) };
        }
        // SAFETY: the local APIC's page is mapped; callers write what the register takes.
        unsafe { ((LOCAL_PAGE + u64::from(register)) as *mut u32).write_volatile(value) }
    }
}

impl Counter for LocalApic {
    fn begin(&self) -> TscInterval {
        let begin = || TscInterval::of(|| self.arm_count(u32::MAX)).0;
        begin();
        // The second time it is done without delay: no cache, and no emulator, meets the code anew.
        begin()
    }

    fn left(&self) -> u32 {
        self.read(TIMER_CURRENT)
    }
}
