//! Power management: the power button and the off state (ACPI 6.5, section 4.8).
//!
//! The button is the fixed one on a PC, and the generic event device's on QEMU's microvm. A microvm with
//! `acpi=off` has none.

use super::acpi::{self, u16_at, u32_at, u64_at};
use crate::arch::port;
use crate::interrupt::Line;
use hermit_sync::OneShotMutex;

/// The power button, where there is one.
static BUTTON: OneShotMutex<Option<Button>> = OneShotMutex::new(None);

/// Arms the power button.
pub(crate) fn start() {
    let Some(fadt) = acpi::table(b"FACP") else { return };
    let Some(line) = Line::allocate() else { return };
    *BUTTON.lock() = Button::arm(fadt, line);
}

/// Whether the button was pressed since this was last asked.
pub(crate) fn take_button() -> bool {
    BUTTON.lock().as_ref().is_some_and(Button::take)
}

/// Enters S5, by the register that the FADT names (ACPI sections 4.8.3.2.1 and 4.8.3.7).
pub(crate) fn soft_off() {
    let Some(kind) = acpi::table(b"DSDT").and_then(sleep_type_of_s5) else { return };
    let Some(fadt) = acpi::table(b"FACP") else { return };
    if let Some(address) = sleep_control(fadt) {
        // SAFETY: the sleep control register; the machine stops here.
        unsafe { (address as *mut u8).write_volatile(off_byte(kind)) }
    } else if let Some(control) =
        u32_at(fadt, CONTROL_PORT).and_then(|port| u16::try_from(port).ok())
    {
        // SAFETY: the power management control register; the machine stops here.
        unsafe { port::write16(control, off_bits(kind)) }
    }
}

/// Power management by ports, where it is so (ACPI section 4.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerPorts {
    /// The status register in which bit 8 says that the armed button was pressed, until a 1 is written there.
    pub status: u16,
    /// The control register that switches off.
    pub control: u16,
    /// What is to be written there.
    pub off: u16,
}

/// The ports of the button and of the off state; `None` for hardware-reduced machines.
pub(crate) fn ports() -> Option<PowerPorts> {
    ports_of(acpi::table(b"FACP")?, acpi::table(b"DSDT")?)
}

fn ports_of(fadt: &[u8], dsdt: &[u8]) -> Option<PowerPorts> {
    let port = |at| u32_at(fadt, at).and_then(|port| u16::try_from(port).ok());
    let port = |at| port(at).filter(|&port| port != 0);
    let off = off_bits(sleep_type_of_s5(dsdt)?);
    Some(PowerPorts { status: port(STATUS_PORT)?, control: port(CONTROL_PORT)?, off })
}

/// Offsets in the FADT (section 5.2.9).
const STATUS_PORT: usize = 56;
const CONTROL_PORT: usize = 64;

/// The sleep type, and the bit that makes it so (section 4.8.3.2.1).
fn off_bits(kind: u32) -> u16 {
    (kind << 10) as u16 | 1 << 13
}

/// The same for the sleep control register (section 4.8.3.7).
fn off_byte(kind: u32) -> u8 {
    (kind << 2) as u8 | 1 << 5
}

/// Where the press of the button shows.
enum Button {
    /// The fixed button: status register of the power management events (ACPI section 4.8.3.2.2).
    Fixed { status_port: u16, line: Line },
    /// QEMU's generic event device on machines without that register: its event selector.
    EventDevice { selector: u64, line: Line },
}

const BUTTON_BIT: u16 = 1 << 8;

impl Button {
    fn arm(fadt: &[u8], line: Line) -> Option<Self> {
        const HARDWARE_REDUCED: u32 = 1 << 20;
        const EVENT_DEVICE_PIN: u32 = 9;
        if u32_at(fadt, 112)? & HARDWARE_REDUCED != 0 {
            // QEMU puts the sleep registers in the event device's page, 0x200 above its selector.
            let selector = sleep_control(fadt)? & !0xfff;
            line.route(EVENT_DEVICE_PIN);
            return Some(Self::EventDevice { selector, line });
        }
        let status_port =
            u16::try_from(u32_at(fadt, STATUS_PORT)?).ok().filter(|&port| port != 0)?;
        let enable_port = status_port + u16::from(*fadt.get(88)?) / 2;
        line.route(u16_at(fadt, 46)?.into());
        // SAFETY: the power management event registers, as the FADT says: clears all, then enables
        // the button alone.
        unsafe { port::write16(status_port, 0xffff) }
        // SAFETY: as above.
        unsafe { port::write16(enable_port, BUTTON_BIT) }
        Some(Self::Fixed { status_port, line })
    }

    fn take(&self) -> bool {
        match self {
            Self::Fixed { status_port, line } => {
                if !line.take() {
                    return false;
                }
                // SAFETY: the status register of the power management events.
                let status = unsafe { port::read16(*status_port) };
                // SAFETY: as above; writing a bit clears it.
                unsafe { port::write16(*status_port, status) }
                status & BUTTON_BIT != 0
            }
            Self::EventDevice { selector, line } => {
                const POWER_DOWN: u32 = 1 << 1;
                if !line.take() {
                    return false;
                }
                // SAFETY: the event device's selector, mapped uncached; reading clears it.
                unsafe { (*selector as *const u32).read_volatile() & POWER_DOWN != 0 }
            }
        }
    }
}

/// The sleep control register of hardware-reduced machines, where it is in memory.
fn sleep_control(fadt: &[u8]) -> Option<u64> {
    const IN_MEMORY: u8 = 0;
    let address = u64_at(fadt, 248)?;
    (fadt.get(244) == Some(&IN_MEMORY) && address != 0 && address < 1 << 32).then_some(address)
}

/// The first element of the package named `_S5_`, found without an interpreter: a name, a package
/// with a one-byte length, an element count, a byte constant (ACPI section 20.2).
fn sleep_type_of_s5(dsdt: &[u8]) -> Option<u32> {
    const PACKAGE: u8 = 0x12;
    const BYTE: u8 = 0x0a;
    let at = dsdt.windows(4).position(|name| name == b"_S5_")?;
    match *dsdt.get(at + 4..)? {
        [PACKAGE, _, _, BYTE, value, ..] => Some(value.into()),
        [PACKAGE, _, _, value @ 0..=1, ..] => Some(value.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::tests::free_lines;
    use crate::memory::dma::host;

    #[test]
    fn the_sleep_type_is_found_in_both_encodings() {
        assert_eq!(sleep_type_of_s5(b"\x08_S5_\x12\x06\x04\x0a\x05\x00\x00"), Some(5));
        assert_eq!(sleep_type_of_s5(b"xx\x08_S5_\x12\x06\x04\x00\x00\x00\x00"), Some(0));
        assert_eq!(sleep_type_of_s5(b"\x08_S5_\x12"), None);
        assert_eq!(sleep_type_of_s5(b"\x08_S4_\x12\x06\x04\x00"), None);
    }

    #[test]
    fn ports_are_those_of_the_table() {
        let mut fadt = [0; 128];
        fadt[56..58].copy_from_slice(&0x600_u16.to_le_bytes());
        let dsdt = b"\x08_S5_\x12\x06\x04\x0a\x05\x00\x00";
        assert_eq!(ports_of(&fadt, dsdt), None, "hardware-reduced");
        fadt[64..66].copy_from_slice(&0x604_u16.to_le_bytes());
        let ports = PowerPorts { status: 0x600, control: 0x604, off: 5 << 10 | 1 << 13 };
        assert_eq!(ports_of(&fadt, dsdt), Some(ports));
        assert_eq!(ports_of(&fadt, b"no such name"), None);
    }

    /// A table of a hardware-reduced machine whose sleep control register is there (ACPI 6.5, section 5.2.9).
    fn reduced(address: u64) -> [u8; 256] {
        let mut fadt = [0; 256];
        fadt[112..116].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        fadt[248..].copy_from_slice(&address.to_le_bytes());
        fadt
    }

    #[test]
    fn the_sleep_control_register_is_in_memory_that_is_mapped() {
        let all = [1, 0xffff_ffff, 0, 1 << 32, u64::MAX];
        let found = all.map(|address| sleep_control(&reduced(address)));
        assert_eq!(found, [Some(1), Some(0xffff_ffff), None, None, None]);
        assert_eq!(sleep_control(&reduced(1)[..255]), None);
        let mut in_ports = reduced(1);
        in_ports[244] = 1;
        assert_eq!(sleep_control(&in_ports), None);
    }

    /// QEMU's generic event device, docs/specs/acpi_hw_reduced_hotplug: bit 1 is the button.
    #[test]
    fn the_event_devices_button_is_pressed_where_its_bit_is_set_and_its_line_raised() {
        let _alone = free_lines();
        let memory = host::low(0x1000);
        let base = memory.as_ptr() as u64;
        let button = Button::arm(&reduced(base + 0x200), Line::allocate().unwrap()).unwrap();
        let Button::EventDevice { selector, line } = &button else { panic!("a fixed button") };
        assert_eq!(*selector, base);
        for (events, is_pressed) in [(0, false), (1, false), (2, true), (0xff, true)] {
            memory[0] = events;
            assert!(!button.take(), "nothing was raised");
            line.raise();
            assert_eq!((button.take(), button.take()), (is_pressed, false), "{events}");
        }
        assert!(Button::arm(&reduced(0), Line::allocate().unwrap()).is_none());
        assert!(Button::arm(&[0; 256], Line::allocate().unwrap()).is_none(), "no status port");
        assert!(Button::arm(&[0; 115], Line::allocate().unwrap()).is_none(), "cut off");
    }

    /// ACPI 6.5, section 4.8.3.1: the enable register is the second half of the block.
    #[test]
    fn the_fixed_button_alone_is_enabled_and_shows_in_its_status_bit_once_its_line_is_raised() {
        let _alone = free_lines();
        let mut fadt = [0; 128];
        fadt[56..58].copy_from_slice(&0x600_u16.to_le_bytes());
        fadt[88] = 4;
        fadt[46] = 9;
        let button = Button::arm(&fadt, Line::allocate().unwrap()).unwrap();
        assert_eq!(port::take_written(), [(0x600, 0xffff), (0x602, 0x100)]);
        let Button::Fixed { line, .. } = &button else { panic!("an event device") };
        for (status, is_pressed) in [(0, false), (0xfeff, false), (0x100, true), (0x101, true)] {
            port::set(0x600, status);
            assert!(!button.take() && port::take_written().is_empty(), "nothing was raised");
            line.raise();
            assert_eq!((button.take(), button.take()), (is_pressed, false), "{status:#x}");
            assert_eq!(port::take_written(), [(0x600, status)], "what was there is cleared");
        }
    }

    #[test]
    fn what_switches_off_has_the_sleep_type_and_the_bit_that_enables_it() {
        assert_eq!([0, 5, 7, 8].map(off_bits), [0x2000, 0x3400, 0x3c00, 0x2000]);
        assert_eq!([0, 5, 7, 8].map(off_byte), [0x20, 0x34, 0x3c, 0x20]);
    }
}
