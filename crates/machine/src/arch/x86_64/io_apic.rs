//! I/O APICs, which bring interrupt pins to CPUs (82093AA data sheet).

use crate::bus::acpi;
use heapless::Vec;
use hermit_sync::OnceCell;

/// Where QEMU and PC chipsets put the first one when no table says otherwise.
const DEFAULT: IoApic = IoApic { address: 0xfec0_0000, first_pin: 0 };
/// As many are used.
const IO_APICS_MAX: usize = 4;
const MASKED: u32 = 1 << 16;

static FOUND: OnceCell<Vec<IoApic, IO_APICS_MAX>> = OnceCell::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IoApic {
    address: u32,
    /// Pins are counted over all of them.
    first_pin: u32,
}

/// Connects a pin's rising edge to a vector on a CPU; pins are counted over all of them. False: no such
/// pin.
pub(crate) fn route(pin: u32, vector: u8, cpu: u8) -> bool {
    let found = FOUND.get().map_or(&[][..], |found| found);
    let Some(io_apic) = found.iter().find(|io_apic| io_apic.has(pin)) else { return false };
    let register = 0x10 + 2 * (pin - io_apic.first_pin);
    io_apic.write(register, MASKED);
    io_apic.write(register + 1, u32::from(cpu) << 24);
    io_apic.write(register, vector.into());
    true
}

/// Masks all pins, so that no interrupt comes.
pub(crate) fn mask_all() {
    for io_apic in FOUND.get().map_or(&[][..], |found| found) {
        for pin in 0..io_apic.pins() {
            io_apic.write(0x10 + 2 * pin, MASKED);
        }
    }
}

/// Finds them by the MADT. Where there is none, a PC has one at the usual place.
pub(crate) fn find() {
    FOUND.get_or_init(|| match acpi::table(b"APIC") {
        Some(madt) => listed(madt),
        None => Vec::from_array([DEFAULT]),
    });
}

/// Those that a MADT lists (ACPI 6.5, section 5.2.12).
fn listed(madt: &[u8]) -> Vec<IoApic, IO_APICS_MAX> {
    const MADT_ENTRIES: usize = 44;
    const IO_APIC: u8 = 1;
    let mut found = Vec::new();
    let mut rest = madt.get(MADT_ENTRIES..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let Some((entry, after)) = rest.split_at_checked(usize::from(length).max(2)) else { break };
        if kind == IO_APIC
            && let Some(address) = acpi::u32_at(entry, 4)
            && let Some(first_pin) = acpi::u32_at(entry, 8)
        {
            // What there is no room for is not used.
            let _ = found.push(IoApic { address: address & !0xfff, first_pin });
        }
        rest = after;
    }
    found
}

impl IoApic {
    fn has(&self, pin: u32) -> bool {
        pin.checked_sub(self.first_pin).is_some_and(|pin| pin < self.pins())
    }

    fn pins(&self) -> u32 {
        (self.read(1) >> 16 & 0xff) + 1
    }

    fn read(&self, register: u32) -> u32 {
        let address = self.address as usize;
        // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
        unsafe { (address as *mut u32).write_volatile(register) }
        // SAFETY: as above; reads the selected register.
        unsafe { ((address + 0x10) as *const u32).read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        let address = self.address as usize;
        // SAFETY: an I/O APIC's page, mapped uncached; selects a register.
        unsafe { (address as *mut u32).write_volatile(register) }
        // SAFETY: as above; writes the selected register.
        unsafe { ((address + 0x10) as *mut u32).write_volatile(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::dma::host;

    fn entry(kind: u8, address: u32, first_pin: u32) -> std::vec::Vec<u8> {
        let mut entry = std::vec![kind, 12, 0, 0];
        entry.extend(address.to_le_bytes());
        entry.extend(first_pin.to_le_bytes());
        entry
    }

    #[test]
    fn a_table_lists_them_among_others() {
        let mut madt = std::vec![0; 44];
        madt.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        madt.extend(entry(1, 0xfec0_0000, 0));
        madt.extend(entry(2, 0, 0));
        madt.extend(entry(1, 0xfec1_0000, 24));
        let second = IoApic { address: 0xfec1_0000, first_pin: 24 };
        assert_eq!(listed(&madt), [DEFAULT, second]);
        assert_eq!(listed(&madt[..madt.len() - 1]), [DEFAULT], "what is cut off is none");
    }

    /// 82093AA data sheet, section 3.2: a register is selected by the first word, and is in the fifth; the version's (1) bits 16 to
    /// 23 are the last pin.
    #[test]
    fn one_has_as_many_pins_as_it_says_from_its_first_on() {
        let memory = host::low(32);
        let io_apic = IoApic { address: memory.as_ptr() as u32, first_pin: 24 };
        memory[0x10..0x14].copy_from_slice(&0xff17_ff20_u32.to_le_bytes());
        assert_eq!((io_apic.pins(), memory[0]), (24, 1));
        assert_eq!(
            [0, 23, 24, 47, 48].map(|pin| io_apic.has(pin)),
            [false, false, true, true, false]
        );
        io_apic.write(0x12, 0x0403_0201);
        assert_eq!((memory[0], &memory[0x10..0x14]), (0x12, &[1, 2, 3, 4][..]));
    }

    #[test]
    fn a_table_lists_no_more_than_there_is_room_for() {
        let mut madt = std::vec![0; 44];
        for index in 0..6 {
            madt.extend(entry(1, 0xfec0_0000 + index * 0x1000, index * 24));
        }
        assert_eq!(listed(&madt).len(), IO_APICS_MAX);
    }
}
