//! PCI host bridge, as ACPI's tables describe it where firmware has set nothing up (QEMU's microvm): where configuration
//! space is, and addresses for registers that have none. Its AML needs no interpreter: the bridge's identifier is
//! followed by what is asked for, as constants.

use super::acpi::{self, u16_at, u32_at};
use super::pci::Function;
use core::ops::Range;
use hermit_sync::OneShotMutex;

/// Addresses for registers, as far as they are free.
struct Window {
    free: Range<u64>,
}

/// Gives each range of registers of a function that has no address one, where the machine has a window for them.
/// The function is off the bus until it is enabled.
pub(crate) fn place(function: &Function) {
    static WINDOW: OneShotMutex<Option<Window>> = OneShotMutex::new(None);
    if function.is_enabled() {
        return;
    }
    let mut window = WINDOW.lock();
    let window = window.get_or_insert_with(|| Window {
        free: acpi::table(b"DSDT").and_then(memory_window).unwrap_or_default(),
    });
    window.place(function);
}

impl Window {
    fn place(&mut self, function: &Function) {
        let mut index = 0;
        while let Some(size) = function.unplaced_bytes(index) {
            if size.bytes > 0
                && let Some(address) = self.take(size.bytes)
            {
                function.set_bar(index, address);
            }
            index += size.registers;
        }
    }

    /// A range starts at a multiple of its size (PCI 3.0, section 6.2.5.1).
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let start = self.free.start.next_multiple_of(bytes);
        let end = start.checked_add(bytes).filter(|&end| end <= self.free.end)?;
        self.free.start = end;
        Some(start)
    }
}

/// Where the configuration space of the bridge is, and its last bus (PCI firmware specification 3.3, section 4.1.3).
pub(crate) fn configuration_space(dsdt: &[u8]) -> Option<(u64, u8)> {
    /// A method without arguments that returns a double word (ACPI 6.5, sections 20.2.3 and 20.2.5).
    const RETURNS: [u8; 3] = [0, 0xa4, 0x0c];
    /// A word address space of bus numbers (section 6.4.3.5.3).
    const BUSES: [u8; 4] = [0x88, 13, 0, 2];
    let bridge = bridge(dsdt)?;
    let method = after(bridge, *b"_CBA")?.get(4..)?;
    let buses = after(bridge, BUSES)?;
    let last_bus = u8::try_from(u16_at(buses, 10)?).ok()?;
    method.starts_with(&RETURNS).then_some((u32_at(method, 3)?.into(), last_bus))
}

/// The first memory window below 4 GiB (section 6.4.3.5.2).
fn memory_window(dsdt: &[u8]) -> Option<Range<u64>> {
    /// A double word address space of memory.
    const MEMORY: [u8; 4] = [0x87, 23, 0, 0];
    let window = after(bridge(dsdt)?, MEMORY)?;
    let (start, last) = (u32_at(window, 10)?, u32_at(window, 14)?);
    (start != 0 && start < last).then(|| start.into()..u64::from(last) + 1)
}

/// From the identifier on.
fn bridge(dsdt: &[u8]) -> Option<&[u8]> {
    // As text, as QEMU has it where it leaves the setting up to us.
    after(dsdt, *b"PNP0A08\0")
}

/// From the first such bytes on.
fn after<const N: usize>(bytes: &[u8], tag: [u8; N]) -> Option<&[u8]> {
    // As arrays, which are compared at once: a table may be long.
    let at = bytes.windows(N).position(|window| window.first_chunk() == Some(&tag))?;
    bytes.get(at..)
}

#[cfg(test)]
mod tests {
    use super::super::pci::tests::only;
    use super::*;
    use alloc::vec::Vec;

    /// A host bridge as QEMU's microvm describes it: bus numbers, then memory.
    fn dsdt() -> Vec<u8> {
        let mut table =
            b"DSDT \x08_HID\x0dPNP0A08\0\x14\x0c_CBA\0\xa4\x0c\0\0\0\xe0\x08_CRS\x11".to_vec();
        table.extend([0x88, 13, 0, 2, 12, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 1]);
        table.extend([0x87, 23, 0, 0, 0xc, 3, 0, 0, 0, 0]);
        table.extend(0xc000_0000_u32.to_le_bytes());
        table.extend(0xdfff_ffff_u32.to_le_bytes());
        table.extend([0; 8]);
        table
    }

    #[test]
    fn what_the_host_bridge_says_is_found() {
        let table = dsdt();
        assert_eq!(configuration_space(&table), Some((0xe000_0000, 0xff)));
        assert_eq!(memory_window(&table), Some(0xc000_0000..0xe000_0000));
        for end in 0..table.len() - 8 {
            assert_eq!(memory_window(&table[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn ranges_are_at_multiples_of_their_size_until_the_window_is_full() {
        let mut window = Window { free: 0xc000_0000..0xc000_8000 };
        assert_eq!(window.take(0x1000), Some(0xc000_0000));
        assert_eq!(window.take(0x4000), Some(0xc000_4000));
        assert_eq!(window.take(0x1000), None);
        assert_eq!(Window { free: 0..0 }.take(16), None);
    }

    #[test]
    fn what_firmware_has_enabled_is_left_alone() {
        let function = only(&[(0, 0x1041_1af4), (4, 2), (0x10, 0)]);
        place(&function);
        assert_eq!(function.bar(0), None);
    }

    #[test]
    fn ranges_without_an_address_get_one_each() {
        let words = [(0, 0x1041_1af4), (0x14, 4), (0x1c, 0xc001), (0x20, 0xfe00_0000)];
        let function = only(&words);
        Window { free: 0xc000_0000..0xc000_0020 }.place(&function);
        let bars = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map(|at| function.read(at));
        // Ranges of a fake function have 16 bytes each. For the last there is no room.
        assert_eq!(bars, [0xc000_0000, 0xc000_0010, 0, 0xc001, 0xfe00_0000, 0]);
    }

    #[test]
    fn a_bridge_that_says_what_cannot_be_is_none() {
        let changed = |at: usize, bytes: &[u8]| {
            let mut table = dsdt();
            let at = table.windows(4).position(|four| four == [0x87, 23, 0, 0]).unwrap() + at;
            table[at..at + bytes.len()].copy_from_slice(bytes);
            memory_window(&table)
        };
        let last = 0xdfff_ffff_u32.to_le_bytes();
        assert_eq!(changed(10, &[0; 4]), None, "at address 0");
        assert_eq!(changed(10, &last), None, "of one byte");
        assert_eq!(changed(14, &[0xff; 4]), Some(0xc000_0000..1 << 32));
        assert_eq!(changed(14, &[0; 4]), None, "an end before the start");
        let mut table = dsdt();
        let buses = table.windows(4).position(|four| four == [0x88, 13, 0, 2]).unwrap();
        table[buses + 11] = 1;
        assert_eq!(configuration_space(&table), None, "more buses than there are numbers");
        let mut table = dsdt();
        let method = table.windows(4).position(|four| four == b"_CBA").unwrap();
        table[method + 4] = 1;
        assert_eq!(configuration_space(&table), None, "a method with arguments");
    }
}
