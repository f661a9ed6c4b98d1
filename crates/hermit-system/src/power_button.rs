//! Power button and off state, by the registers of ACPI (6.5, section 4.8.3): the kernel has the latter, but first tries
//! to end QEMU with a code of its own, and does not look at the former.

use crate::handover::Power;
use crate::system;
use core::arch::asm;
use core::time::Duration;

/// What is not off by then has another way.
const OFF_LIMIT: Duration = Duration::from_secs(2);

/// The machine's, where it has one at these registers.
#[derive(Clone, Copy, Debug)]
pub struct PowerButton(Power);

impl PowerButton {
    pub(crate) fn new(power: Power) -> Self {
        Self(power)
    }

    /// Whether it was pressed since this was last asked.
    pub fn take(&self) -> bool {
        const PRESSED: u16 = 1 << 8;
        let Power { status_port, .. } = self.0;
        if status_port == 0 || read(status_port) & PRESSED == 0 {
            return false;
        }
        // Writing a bit clears it.
        write(status_port, PRESSED);
        true
    }

    /// Switches the machine off.
    pub fn off(&self) -> ! {
        let Power { off_port, off_value, .. } = self.0;
        if off_port != 0 {
            write(off_port, off_value);
            // A hypervisor takes a moment, in which the kernel's own way would end it with another code.
            system::sleep(OFF_LIMIT);
        }
        system::end(0)
    }
}

fn read(port: u16) -> u16 {
    let value;
    // SAFETY: a register of the power management events, as the loader found it in ACPI's tables.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack)) }
    value
}

fn write(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) }
}
