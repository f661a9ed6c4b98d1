//! Suspending: the domain stands still for the toolstack to save it or to move it (`xl save`, `xl migrate`), and goes on
//! where it was, or in a new domain.
//!
//! A new domain has the memory and the CPU of the old one, and nothing of what that shared with Xen and other domains:
//! page of clock and events, event channels, grants, rings of console and xenstore.

use super::hypercall::Errno;
use super::parameter::{self, Parameter};
use super::{XEN, clock, console, event, grant, hypercall, sampling, share};
use crate::cpu::Cpu;
use crate::hypervisor::{Hypervisor, Transmitter};

/// Where a suspended domain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Where it was, with all that it had: a copy was saved (`xl save -c`), or none could be.
    InPlace,
    /// In a new domain. The machine has its time, console, grant table and event channels again; [`super::restorations`]
    /// has grown, all [ports](super::event::Port) are closed, nothing is granted, and xenstore is another.
    Restored,
}

/// Suspends the domain until it goes on. To be called when nothing that other domains may write is in use.
pub fn suspend() -> Result<Resumed, Errno> {
    /// By a vector, which is never raised: all ports are masked, and interrupts disabled.
    const ANY_CALLBACK: u64 = 2 << 56 | 0xff;
    #[cfg(any(test, feature = "fake"))]
    if fake::is_restored() {
        connect();
        return Ok(Resumed::Restored);
    }
    // The timer of samples is another afterwards.
    let _paused = crate::profile::pause();
    crate::console::flush();
    let nanos = XEN.nanos();
    // Only one that has a callback is told by the hypercall's result that it goes on (`modify_returncode` in Xen's
    // tools/libs/guest/xg_resume.c).
    parameter::set(Parameter::CallbackIrq, ANY_CALLBACK)?;
    let result = hypercall::suspend();
    if result != Ok(0) {
        parameter::set(Parameter::CallbackIrq, 0)?;
        return result.map(|_| Resumed::InPlace);
    }
    share();
    connect();
    // No time has passed for what runs here; the wall clock has gone on.
    clock::restored(&Cpu::current().vcpu);
    sampling::restored();
    crate::clock::restart(XEN.start_clock_at(nanos));
    // A domain may be restored twice from one file: no two may draw the same keys.
    crate::entropy::renew();
    Ok(Resumed::Restored)
}

/// Makes grants, channels and the console's ring anew.
fn connect() {
    event::restored();
    grant::restored();
    console::CONSOLE.start();
}

/// A toolstack, for tests.
#[cfg(any(test, feature = "fake"))]
pub mod fake {
    use core::sync::atomic::{AtomicBool, Ordering};

    static RESTORED: AtomicBool = AtomicBool::new(false);

    /// The next time that the domain is suspended, it is restored: all of this process.
    pub fn restore_next() {
        RESTORED.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_restored() -> bool {
        RESTORED.swap(false, Ordering::Relaxed)
    }
}
