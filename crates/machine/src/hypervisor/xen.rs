//! Xen under the machine: hypercalls, event channels, clock, console, grants and the ring of xenstore.
//!
//! The image starts under Xen as a PVH guest. Nothing that Xen's other domains write is trusted: every
//! index is read once and checked, and a broken peer ends its own conversation only.

mod clock;
mod console;
pub mod event;
mod grant;
mod hypercall;
pub mod net;
mod parameter;
mod shared_info;
pub mod store_ring;
pub(crate) mod vcpu;

pub use hypercall::{DomainId, Errno};

use super::{Hypervisor, Shutdown, Transmitter};
use crate::arch::io_apic;
use crate::cpu::Cpu;
use crate::image_layout::Handlers;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// Xen, found.
struct Xen {
    /// Its time when the machine started, in nanoseconds.
    start: AtomicU64,
}

static XEN: Xen = Xen { start: AtomicU64::new(0) };

/// Whether the machine is a Xen guest.
pub fn is_below() -> bool {
    hypercall::is_possible()
}

/// Finds Xen, and if it is there, learns to call it and shares the page of clock and events.
pub(crate) fn find() -> Option<&'static dyn Hypervisor> {
    let base = hypercall::find()?;
    shared_info::start();
    event::start_upcalls(base);
    Some(&XEN)
}

impl Hypervisor for Xen {
    /// Its rate is in the shared page.
    fn begin_clock(&self) {}

    fn start_clock(&self) -> Duration {
        let vcpu = &Cpu::current().vcpu;
        clock::start_timer(vcpu);
        let start = clock::nanos(vcpu);
        self.start.store(start, Ordering::Relaxed);
        clock::wall_at_zero() + Duration::from_nanos(start)
    }

    fn nanos(&self) -> u64 {
        clock::nanos(&Cpu::current().vcpu) - self.start.load(Ordering::Relaxed)
    }

    fn arm_timer(&self, at: u64, _now: u64) -> u64 {
        clock::arm(self.start.load(Ordering::Relaxed).saturating_add(at));
        at
    }

    fn take_timer(&self) -> bool {
        clock::take_timer(&Cpu::current().vcpu)
    }

    fn console(&self) -> &'static dyn Transmitter {
        &console::CONSOLE
    }

    fn start_interrupts(&self, handlers: &Handlers) {
        event::set_gates(handlers);
        Cpu::current().apic.start();
        io_apic::find(false);
    }

    fn has_event(&self) -> bool {
        // A timer that went off while nobody waited is no reason to stay awake.
        if self.take_timer() {
            Cpu::current().timer.disarm();
        }
        event::is_pending()
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
