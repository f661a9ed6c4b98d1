//! The local APIC and the I/O APICs (Intel SDM volume 3, chapter 11; 82093AA data sheet).

use crate::arch::instructions as cpu;
use crate::interrupt::Trigger;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

const LOCAL_PAGE: u64 = 0xfee0_0000;
/// Where QEMU and PC chipsets put the first I/O APIC when no table says otherwise.
const IO_DEFAULT: u64 = 0xfec0_0000;
const IO_MAX: usize = 4;

/// What the local APIC raises when an interrupt went away; it is not acknowledged (section 11.9).
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;

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

/// The EOI register's address for interrupt handlers; 0 selects the x2APIC's.
#[unsafe(export_name = "interrupt_eoi_register")]
static EOI_REGISTER: AtomicU64 = AtomicU64::new(LOCAL_PAGE + EOI as u64);
/// This CPU, as I/O APICs and devices name it.
static CPU_ID: AtomicU8 = AtomicU8::new(0);
static DEADLINE_MODE: AtomicBool = AtomicBool::new(false);
static IO: [AtomicU64; IO_MAX] = [const { AtomicU64::new(0) }; IO_MAX];

/// Turns the local APIC on, the old interrupt controllers off, and finds the I/O APICs.
pub(crate) fn install() {
    const ENABLED: u64 = 1 << 11;
    const X2APIC: u64 = 1 << 10;
    // SAFETY: masks both PICs, which nothing uses.
    unsafe { crate::arch::port::write8(0x21, 0xff) }
    // SAFETY: as above.
    unsafe { crate::arch::port::write8(0xa1, 0xff) }
    // SAFETY: every x86-64 has this register.
    let base = unsafe { cpu::read_msr(cpu::MSR_APIC_BASE) };
    let x2apic = cpu::cpuid(1, 0).ecx & 1 << 21 != 0;
    let mode = if x2apic { ENABLED | X2APIC } else { ENABLED };
    // SAFETY: turns on a mode that the CPU has; x2APIC follows the enabled state.
    unsafe { cpu::write_msr(cpu::MSR_APIC_BASE, base | ENABLED) }
    // SAFETY: as above.
    unsafe { cpu::write_msr(cpu::MSR_APIC_BASE, base | mode) }
    if x2apic {
        EOI_REGISTER.store(0, Ordering::Relaxed);
    }
    let id = if x2apic { read(ID) } else { read(ID) >> 24 };
    // Without interrupt remapping messages have room for 8 bits; the first CPU's number is small.
    CPU_ID.store(id as u8, Ordering::Relaxed);
    // Firmware leaves the old controllers connected to this pin, and they may have one in store
    // that they would deliver as an exception's vector.
    write(PIN_0, MASKED);
    write(TASK_PRIORITY, 0);
    write(SPURIOUS, 1 << 8 | u32::from(SPURIOUS_VECTOR));
    find_io_apics();
}

/// Makes the timer raise `vector`; one-shot, by deadline where the CPU can.
pub(crate) fn install_timer(vector: u8) {
    const DIVIDE_BY_1: u32 = 0b1011;
    let deadline = cpu::cpuid(1, 0).ecx & 1 << 24 != 0;
    DEADLINE_MODE.store(deadline, Ordering::Relaxed);
    write(TIMER_DIVIDE, DIVIDE_BY_1);
    write(TIMER, u32::from(vector) | if deadline { TIMER_DEADLINE_MODE } else { 0 });
    // SAFETY: a fence, as section 11.5.4.1 asks for before the deadline's register is written.
    unsafe { core::arch::asm!("mfence", options(nostack)) }
}

/// The timer compares with the time stamp counter, so that it needs no calibration.
pub(crate) fn timer_has_deadline() -> bool {
    DEADLINE_MODE.load(Ordering::Relaxed)
}

/// Arms the timer for a value of the time stamp counter.
pub(crate) fn arm_deadline(ticks: u64) {
    // SAFETY: only called in deadline mode, where the register exists.
    unsafe { cpu::write_msr(cpu::MSR_TSC_DEADLINE, ticks) }
}

/// Arms the timer for a number of its own ticks.
pub(crate) fn arm_count(count: u32) {
    write(TIMER_INITIAL, count);
}

/// What is left of the count.
pub(crate) fn count() -> u32 {
    read(TIMER_CURRENT)
}

/// Connects a pin, counted over all I/O APICs, to a vector on this CPU. False: no such pin.
pub(crate) fn route(pin: u32, vector: u8, trigger: Trigger) -> bool {
    const LEVEL: u32 = 1 << 15;
    for slot in &IO {
        let entry = slot.load(Ordering::Relaxed);
        let (address, first) = (entry & !0xfff, (entry & 0xfff) as u32);
        if address == 0 {
            continue;
        }
        let pins = (io_read(address, 1) >> 16 & 0xff) + 1;
        if (first..first + pins).contains(&pin) {
            let register = 0x10 + 2 * (pin - first);
            let level = if trigger == Trigger::Level { LEVEL } else { 0 };
            io_write(address, register, MASKED);
            io_write(address, register + 1, u32::from(id()) << 24);
            io_write(address, register, u32::from(vector) | level);
            return true;
        }
    }
    false
}

/// This CPU, as I/O APICs and devices name it.
pub(crate) fn id() -> u8 {
    CPU_ID.load(Ordering::Relaxed)
}

/// From the MADT (ACPI section 5.2.12), else QEMU's two. Each is kept as its page's address with
/// its first pin in the low bits.
fn find_io_apics() {
    const MADT_ENTRIES: usize = 44;
    const IO_APIC: u8 = 1;
    let mut found = 0;
    let mut keep = |address: u32, first: u32| {
        if let Some(slot) = IO.get(found) {
            slot.store(u64::from(address) & !0xfff | u64::from(first) & 0xfff, Ordering::Relaxed);
            found += 1;
        }
    };
    let Some(madt) = crate::bus::acpi::table(b"APIC") else {
        if !crate::hypervisor::xen::present() {
            keep(IO_DEFAULT as u32, 0);
        }
        return;
    };
    let mut rest = madt.get(MADT_ENTRIES..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let Some((entry, after)) = rest.split_at_checked(usize::from(length).max(2)) else {
            return;
        };
        if kind == IO_APIC
            && let Some(address) = crate::bus::acpi::u32_at(entry, 4)
            && let Some(first) = crate::bus::acpi::u32_at(entry, 8)
        {
            keep(address, first);
        }
        rest = after;
    }
}

fn read(register: u32) -> u32 {
    if EOI_REGISTER.load(Ordering::Relaxed) == 0 {
        // SAFETY: in x2APIC mode the register is this MSR.
        return unsafe { cpu::read_msr(0x800 + (register >> 4)) } as u32;
    }
    // SAFETY: the local APIC's page is mapped, and reading its registers harms nothing.
    unsafe { ((LOCAL_PAGE + u64::from(register)) as *const u32).read_volatile() }
}

fn write(register: u32, value: u32) {
    if EOI_REGISTER.load(Ordering::Relaxed) == 0 {
        // SAFETY: in x2APIC mode the register is this MSR; callers write what it takes.
        return unsafe { cpu::write_msr(0x800 + (register >> 4), value.into()) };
    }
    // SAFETY: the local APIC's page is mapped; callers write what the register takes.
    unsafe { ((LOCAL_PAGE + u64::from(register)) as *mut u32).write_volatile(value) }
}

fn io_read(address: u64, register: u32) -> u32 {
    // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
    unsafe { (address as *mut u32).write_volatile(register) }
    // SAFETY: as above; reads the selected register.
    unsafe { ((address + 0x10) as *const u32).read_volatile() }
}

fn io_write(address: u64, register: u32, value: u32) {
    // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
    unsafe { (address as *mut u32).write_volatile(register) }
    // SAFETY: as above; writes the selected register.
    unsafe { ((address + 0x10) as *mut u32).write_volatile(value) }
}
