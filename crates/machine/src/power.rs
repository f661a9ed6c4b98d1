//! Power: being asked to stop, and stopping.
//!
//! QEMU's exit code is 0 after [`off`] and 33 after [`fail`], given
//! `-device isa-debug-exit,iobase=0xf4,iosize=0x04`; other hypervisors see a crash where they offer `pvpanic`.
//! Else a machine that failed at its start is switched off, since it would only fail again, and one that has
//! been up is reset.

use crate::arch::{instructions, tsc};
use crate::console;
use crate::hypervisor::{self, Shutdown};
use core::sync::atomic::{AtomicBool, Ordering};

/// Somebody called [`request_stop`] since that was last asked.
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The stop is to be followed by a start.
static REBOOT: AtomicBool = AtomicBool::new(false);

/// The machine does its work: what ends it is not its start.
static IS_UP: AtomicBool = AtomicBool::new(false);

/// What a stop is to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The machine stays off.
    Off,
    /// It is started again.
    Reboot,
}

/// Asks for a stop, as the power button does.
pub fn request_stop(stop: Stop) {
    REBOOT.store(stop == Stop::Reboot, Ordering::Relaxed);
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Somebody pressed the power button (told QEMU `system_powerdown`) or called [`request_stop`] since this
/// was last asked.
pub fn stop_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed) && REQUESTED.swap(false, Ordering::Relaxed)
        || hypervisor::current().take_power_button()
}

/// What the last request for a stop wants it to lead to.
pub fn stop() -> Stop {
    if REBOOT.load(Ordering::Relaxed) { Stop::Reboot } else { Stop::Off }
}

/// Says that the start is over: a failure from now on may be mended by another one.
pub fn start_is_over() {
    IS_UP.store(true, Ordering::Relaxed);
}

/// Switches the machine off, or has it started again where the hypervisor can; QEMU exits with code 0.
pub fn off() -> ! {
    console::flush();
    hypervisor::current().shut_down(match stop() {
        Stop::Off => Shutdown::Off,
        Stop::Reboot => Shutdown::Reboot,
    });
    instructions::reset()
}

/// Ends a machine that cannot go on; QEMU exits with code 33 where it has `isa-debug-exit`.
pub fn fail() -> ! {
    console::flush();
    let hypervisor = hypervisor::current();
    hypervisor.shut_down(Shutdown::Crash);
    if !IS_UP.load(Ordering::Relaxed) {
        hypervisor.shut_down(Shutdown::Off);
        // What cannot be switched off does not start over and over.
        tsc::wait_seconds();
    }
    instructions::reset()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_told_of_once_and_is_what_was_asked_for_last() {
        assert_eq!((stop_requested(), stop()), (false, Stop::Off));
        request_stop(Stop::Reboot);
        assert_eq!((stop_requested(), stop_requested(), stop()), (true, false, Stop::Reboot));
        request_stop(Stop::Reboot);
        request_stop(Stop::Off);
        assert_eq!((stop_requested(), stop_requested(), stop()), (true, false, Stop::Off));
    }
}
