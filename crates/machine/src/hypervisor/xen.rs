//! Xen under the machine: hypercalls, event channels, clock, console, grants and the ring of xenstore.
//!
//! The same image starts under Xen as a PVH guest; whether it did is found at run time, by
//! [`present`]. Nothing that Xen's other domains write is trusted: every index is read once and
//! checked, and a broken peer ends its own conversation only.

pub(crate) mod clock;
pub(crate) mod console;
pub mod event;
pub mod grant;
pub(crate) mod hypercall;
pub mod net;
mod parameter;
pub(crate) mod shared_info;
pub mod store_ring;

use core::sync::atomic::{AtomicU8, Ordering};

pub use hypercall::Errno;

/// A domain's number. The one that manages a host is 0.
pub type DomainId = u16;

/// Says "this domain" in hypercalls.
const DOMID_SELF: DomainId = 0x7ff0;

/// What [`present`] knows: not asked yet, no, yes.
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

/// Whether the machine is a Xen guest.
pub fn present() -> bool {
    STATE.load(Ordering::Relaxed) == PRESENT
}

/// Finds Xen, and if it is there, learns to call it and shares the page of clock and events.
#[cfg(feature = "runtime")]
pub(crate) fn install() {
    let Some(base) = crate::arch::instructions::hypervisor_leaf(b"XenVMMXenVMM") else {
        return STATE.store(ABSENT, Ordering::Relaxed);
    };
    hypercall::install();
    STATE.store(PRESENT, Ordering::Relaxed);
    shared_info::install();
    event::install(base);
    console::install();
}

/// Why a domain stops (Xen, public/sched.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reason {
    /// It is done.
    Off = 0,
    /// It wants to be started again.
    Reboot = 1,
    /// It cannot go on.
    Crash = 3,
}

/// Ends the domain. Returns only where there is no Xen.
pub(crate) fn shut_down(reason: Reason) {
    if present() {
        let argument = reason as u32;
        loop {
            // SAFETY: SCHEDOP_shutdown reads one integer, and the domain stops.
            let _ = unsafe {
                hypercall::sched_op(
                    hypercall::SCHEDOP_SHUTDOWN,
                    (&raw const argument).cast_mut().cast(),
                )
            };
        }
    }
}

/// Puts a page of Xen's in the place of a page of the guest's, whose memory goes back to Xen.
///
/// # Safety
/// Nothing relies on what was in the page, and it is never used as ordinary memory again.
unsafe fn add_to_physmap(space: u32, index: u64, address: u64) -> Result<(), Errno> {
    /// `xen_add_to_physmap`.
    #[repr(C)]
    struct Argument {
        domain: u16,
        _count: u16,
        space: u32,
        index: u64,
        page: u64,
    }
    let mut argument =
        Argument { domain: DOMID_SELF, _count: 0, space, index, page: address >> 12 };
    let argument = (&raw mut argument).cast();
    // SAFETY: the command reads this structure; the caller vouches for the page.
    unsafe { hypercall::memory_op(hypercall::XENMEM_ADD_TO_PHYSMAP, argument) }.map(drop)
}
