//! ACPI's power management timer (ACPI 6.5, section 4.8.3.3): a counter of known rate, for machines without an 8254.

use super::acpi::{u16_at, u32_at};
use crate::arch::port;

/// Its rate.
pub(crate) const HERTZ: u64 = 3_579_545;
/// Its highest number: the bits that every such timer has.
pub(crate) const COUNT_MAX: u32 = (1 << 24) - 1;

/// The timer, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcpiTimer {
    port: u16,
}

impl AcpiTimer {
    /// By the fixed description table; `None` where the machine has none.
    pub(crate) fn find(fadt: &[u8]) -> Option<Self> {
        const HARDWARE_REDUCED: u32 = 1 << 20;
        const PORT_BYTES: u8 = 4;
        let port = u16_at(fadt, 76).filter(|&port| port != 0)?;
        let is_there = *fadt.get(91)? == PORT_BYTES && u32_at(fadt, 112)? & HARDWARE_REDUCED == 0;
        is_there.then_some(Self { port })
    }

    /// What it shows now.
    pub(crate) fn count(self) -> u32 {
        // SAFETY: the timer's register, as the table says; reading it changes nothing.
        unsafe { port::read32(self.port) & COUNT_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as long as QEMU's, with the timer at port 0x608.
    fn fadt() -> [u8; 244] {
        let mut fadt = [0; 244];
        fadt[76..80].copy_from_slice(&0x608_u32.to_le_bytes());
        fadt[91] = 4;
        fadt
    }

    #[test]
    fn the_timer_is_where_the_table_says() {
        assert_eq!(AcpiTimer::find(&fadt()), Some(AcpiTimer { port: 0x608 }));
    }

    #[test]
    fn its_lower_24_bits_count() {
        port::set(0x608, 0xff12_3456);
        assert_eq!(AcpiTimer { port: 0x608 }.count(), 0x12_3456);
    }

    #[test]
    fn a_machine_without_the_timer_says_so_in_one_of_three_ways() {
        let without = |change: fn(&mut [u8; 244])| {
            let mut fadt = fadt();
            change(&mut fadt);
            AcpiTimer::find(&fadt).is_none()
        };
        assert!(without(|fadt| fadt[76..80].fill(0)));
        assert!(without(|fadt| fadt[91] = 0));
        assert!(without(|fadt| fadt[114] = 1 << 4));
        assert!(AcpiTimer::find(&fadt()[..100]).is_none());
    }
}
