//! I/O APICs, which bring interrupt pins to CPUs (82093AA data sheet).

use crate::bus::acpi;
use core::sync::atomic::{AtomicU64, Ordering};

/// Where QEMU and PC chipsets put the first one when no table says otherwise.
const DEFAULT: u32 = 0xfec0_0000;
const MAX: usize = 4;
const MASKED: u32 = 1 << 16;

/// Each is kept as its page's address with its first pin in the low bits.
static FOUND: [AtomicU64; MAX] = [const { AtomicU64::new(0) }; MAX];

/// Connects a pin's rising edge to a vector on a CPU; pins are counted over all of them. False: no such
/// pin.
pub(crate) fn route(pin: u32, vector: u8, cpu: u8) -> bool {
    for slot in &FOUND {
        let entry = slot.load(Ordering::Relaxed);
        let (address, first) = (entry & !0xfff, (entry & 0xfff) as u32);
        if address == 0 {
            continue;
        }
        let pins = (read(address, 1) >> 16 & 0xff) + 1;
        if (first..first + pins).contains(&pin) {
            let register = 0x10 + 2 * (pin - first);
            write(address, register, MASKED);
            write(address, register + 1, u32::from(cpu) << 24);
            write(address, register, vector.into());
            return true;
        }
    }
    false
}

/// Finds them by the MADT (ACPI section 5.2.12). Where there is none, a PC has one at the usual place.
pub(crate) fn find() {
    const MADT_ENTRIES: usize = 44;
    const IO_APIC: u8 = 1;
    let mut found = 0;
    let mut keep = |address: u32, first: u32| {
        if let Some(slot) = FOUND.get(found) {
            slot.store(u64::from(address) & !0xfff | u64::from(first) & 0xfff, Ordering::Relaxed);
            found += 1;
        }
    };
    let Some(madt) = acpi::table(b"APIC") else {
        return keep(DEFAULT, 0);
    };
    let mut rest = madt.get(MADT_ENTRIES..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let Some((entry, after)) = rest.split_at_checked(usize::from(length).max(2)) else {
            return;
        };
        if kind == IO_APIC
            && let Some(address) = acpi::u32_at(entry, 4)
            && let Some(first) = acpi::u32_at(entry, 8)
        {
            keep(address, first);
        }
        rest = after;
    }
}

fn read(address: u64, register: u32) -> u32 {
    // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
    unsafe { (address as *mut u32).write_volatile(register) }
    // SAFETY: as above; reads the selected register.
    unsafe { ((address + 0x10) as *const u32).read_volatile() }
}

fn write(address: u64, register: u32, value: u32) {
    // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
    unsafe { (address as *mut u32).write_volatile(register) }
    // SAFETY: as above; writes the selected register.
    unsafe { ((address + 0x10) as *mut u32).write_volatile(value) }
}
