//! Xen under the machine: hypercalls, event channels, clock, console, grants and the ring of xenstore.
//!
//! The image starts under Xen as a PVH guest. Nothing that Xen's other domains write is trusted: every
//! index is read once and checked, and a broken peer ends its own conversation only.

pub mod block;
mod clock;
mod console;
pub mod event;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod grant;
mod hypercall;
pub mod net;
mod parameter;
mod ring;
mod sampling;
mod shared_info;
pub mod shared_pages;
pub mod store_ring;
mod suspend;
pub(crate) mod vcpu;
mod window;

pub use event::restorations;
pub use hypercall::{DomainId, Errno};
#[cfg(any(test, feature = "fake"))]
pub use suspend::fake as suspend_fake;
pub use suspend::{Resumed, suspend};

use super::{Hypervisor, Shutdown, Transmitter};
use crate::arch::idt;
use crate::cpu::Cpu;
use crate::image_layout::{self, Handlers};
use core::time::Duration;
use parameter::Parameter;

/// Xen, found.
struct Xen {
    start: clock::Start,
}

static XEN: Xen = Xen { start: clock::Start::new() };

/// Finds Xen, and if it is there, learns to call it and shares the page of clock and events.
pub(crate) fn find() -> Option<&'static dyn Hypervisor> {
    hypercall::find()?;
    share();
    Some(&XEN)
}

/// Shares the page of clock and events with Xen.
fn share() {
    shared_info::start();
    // No upcalls. To have said so makes Xen use the 64-bit layout of the shared page.
    parameter::set(Parameter::CallbackIrq, 0).expect("an HVM parameter");
}

impl Xen {
    /// Lets the machine's time be `nanos` now; the wall-clock time at its start.
    fn start_clock_at(&self, nanos: u64) -> Duration {
        let now = clock::nanos(&Cpu::current().vcpu);
        self.start.set(now, nanos);
        (clock::wall_at_zero() + Duration::from_nanos(now))
            .saturating_sub(Duration::from_nanos(nanos))
    }
}

impl Hypervisor for Xen {
    /// Its rate is in the shared page.
    fn begin_clock(&self) {}

    fn start_clock(&self) -> Duration {
        self.start_clock_at(0)
    }

    fn nanos(&self) -> u64 {
        self.start.machine_time(clock::nanos(&Cpu::current().vcpu))
    }

    fn wait(&self, at: Option<u64>, _now: u64) {
        event::wait(at.map(|at| self.start.system_time(at)));
    }

    fn can_sample(&self) -> bool {
        image_layout::running().is_some()
    }

    fn begin_samples(&self, period_nanos: u64) {
        sampling::begin(period_nanos);
    }

    fn next_sample(&self, period_nanos: u64) {
        sampling::next(period_nanos);
    }

    fn end_samples(&self) {
        sampling::end();
    }

    fn console(&self) -> &'static dyn Transmitter {
        &console::CONSOLE
    }

    /// There are none but those that an operator may send (`xl trigger`), which mean nothing.
    fn start_interrupts(&self, handlers: &Handlers) {
        const NON_MASKABLE: u8 = 2;
        const EXCEPTION_STACK: u64 = 1;
        idt::set_gate(NON_MASKABLE, handlers.ignored, EXCEPTION_STACK);
    }

    /// The toolstack asks by xenstore. Its tables name the registers of a button all the same, and where
    /// none are, all bits read as set.
    fn start_power(&self) {}

    fn take_power_button(&self) -> bool {
        false
    }

    /// By reasons of public/sched.h.
    fn shut_down(&self, reason: Shutdown) {
        hypercall::shut_down(match reason {
            Shutdown::Off => 0,
            Shutdown::Reboot => 1,
            Shutdown::Crash => 3,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a host the shared page has no time in it: Xen's stands.
    #[test]
    fn the_clock_goes_on_from_where_it_is_told_and_the_power_button_is_nobodys() {
        let xen = Xen { start: clock::Start::new() };
        for nanos in [0, 7, 1 << 40] {
            xen.start_clock_at(nanos);
            assert_eq!(xen.nanos(), nanos);
        }
        xen.start_power();
        assert!(!xen.take_power_button());
    }
}
