//! Hypercalls: calls into the hypervisor (Xen, public/xen.h and the headers beside it).
//!
//! By the instruction itself rather than through a hypercall page: which of the two it is depends
//! on the CPU's maker alone, and Xen takes it from ring 0 at any time.

#[cfg(test)]
pub(super) mod fake;

use crate::arch::instructions;
use core::arch::asm;
use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

/// A domain's number. The one that manages a host is 0.
pub type DomainId = u16;

/// Says "this domain".
pub(crate) const DOMID_SELF: DomainId = 0x7ff0;

/// The instruction that calls.
static INSTRUCTION: AtomicU8 = AtomicU8::new(NONE);
/// Xen is not there.
const NONE: u8 = 0;
/// `vmcall`.
const INTEL: u8 = 1;
/// `vmmcall`, of AMD's and Hygon's CPUs.
const AMD: u8 = 2;

/// What Xen answers when it refuses, by its number (public/errno.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xen's error {}", self.0)
    }
}

impl core::error::Error for Errno {}

impl Errno {
    /// There is no such call.
    pub(crate) const NO_SYSTEM: Self = Self(38);
}

const MEMORY_OP: u64 = 12;
const GRANT_TABLE_OP: u64 = 20;
const SCHED_OP: u64 = 29;
const EVENT_CHANNEL_OP: u64 = 32;
const HVM_OP: u64 = 34;

const XENMEM_ADD_TO_PHYSMAP: u64 = 7;
pub(crate) const GNTTABOP_MAP_GRANT_REF: u64 = 0;
pub(crate) const GNTTABOP_UNMAP_GRANT_REF: u64 = 1;
pub(crate) const GNTTABOP_QUERY_SIZE: u64 = 6;
const SCHEDOP_SHUTDOWN: u64 = 2;
/// `SHUTDOWN_suspend` of public/sched.h.
const SUSPEND: u32 = 2;
pub(crate) const SCHEDOP_POLL: u64 = 3;
pub(crate) const EVTCHNOP_BIND_INTERDOMAIN: u64 = 0;
pub(crate) const EVTCHNOP_CLOSE: u64 = 3;
pub(crate) const EVTCHNOP_SEND: u64 = 4;
pub(crate) const EVTCHNOP_STATUS: u64 = 5;
pub(crate) const EVTCHNOP_ALLOC_UNBOUND: u64 = 6;
pub(crate) const HVMOP_SET_PARAM: u64 = 0;
pub(crate) const HVMOP_GET_PARAM: u64 = 1;

/// Whether Xen can be called.
pub(crate) fn is_possible() -> bool {
    #[cfg(test)]
    if fake::is_there() {
        return true;
    }
    INSTRUCTION.load(Ordering::Relaxed) != NONE
}

/// Finds Xen, and learns which instruction calls it.
pub(super) fn find() -> Option<()> {
    instructions::hypervisor_leaf(b"XenVMMXenVMM")?;
    let leaf = instructions::cpuid(0, 0);
    let maker = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
    let is_amd = [&b"AuthenticAMD"[..], b"HygonGenuine"].contains(&maker.as_flattened());
    INSTRUCTION.store(if is_amd { AMD } else { INTEL }, Ordering::Relaxed);
    Some(())
}

/// Puts a page of Xen's in the place of a page of the guest's, whose memory goes back to Xen.
///
/// # Safety
/// Nothing relies on what was in the page, and it is never used as ordinary memory again.
pub(crate) unsafe fn add_to_physmap(space: u32, index: u64, address: u64) -> Result<(), Errno> {
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
    unsafe { memory_op(XENMEM_ADD_TO_PHYSMAP, argument) }.map(drop)
}

/// Stops the domain, for a reason of public/sched.h; returns only where Xen refuses.
pub(crate) fn shut_down(reason: u32) {
    // SAFETY: SCHEDOP_shutdown reads one integer, and the domain stops.
    let _ = unsafe { sched_op(SCHEDOP_SHUTDOWN, (&raw const reason).cast_mut().cast()) };
}

/// Suspends the domain, for the toolstack to save it or to move it. 0 in the domain that is restored from that; 1 here,
/// when it goes on all the same.
pub(super) fn suspend() -> Result<u64, Errno> {
    let reason = SUSPEND;
    // SAFETY: SCHEDOP_shutdown reads one integer; whoever restores the domain restores all of its memory.
    unsafe { sched_op(SCHEDOP_SHUTDOWN, (&raw const reason).cast_mut().cast()) }
}

macro_rules! operation {
    ($name:ident, $number:expr, $what:literal) => {
        #[doc = $what]
        ///
        /// # Safety
        /// `argument` is as the command wants it, and so is what the hypervisor does with it.
        pub(crate) unsafe fn $name(command: u64, argument: *mut c_void) -> Result<u64, Errno> {
            // SAFETY: the caller's duty.
            unsafe { call($number, command, argument as u64, 0) }
        }
    };
}

operation!(memory_op, MEMORY_OP, "Moves pages in and out of the guest's memory.");
operation!(sched_op, SCHED_OP, "Waits, ends the domain, and the like.");
operation!(event_channel_op, EVENT_CHANNEL_OP, "Event channels.");
operation!(hvm_op, HVM_OP, "Parameters of guests that run in hardware virtualisation.");

/// Grant table operations, on elements in a row.
///
/// # Safety
/// As for [`memory_op`], for each of them.
pub(crate) unsafe fn grant_table_op(
    command: u64,
    elements: *mut c_void,
    count: usize,
) -> Result<u64, Errno> {
    // SAFETY: the caller's duty.
    unsafe { call(GRANT_TABLE_OP, command, elements as u64, count as u64) }
}

/// # Safety
/// The arguments are as that hypercall wants them, and so is what it does.
unsafe fn call(number: u64, first: u64, second: u64, third: u64) -> Result<u64, Errno> {
    #[cfg(test)]
    if fake::is_there() {
        return fake::answer([number, first, second, third]);
    }
    let instruction = INSTRUCTION.load(Ordering::Relaxed);
    if instruction == NONE {
        return Err(Errno::NO_SYSTEM);
    }
    let answer: i64;
    if instruction == AMD {
        // SAFETY: Xen is there, and the caller vouches for the rest. Xen may spoil argument
        // registers; it reads and writes memory.
        unsafe {
            asm!("vmmcall", inlateout("rax") number => answer, inlateout("rdi") first => _,
                inlateout("rsi") second => _, inlateout("rdx") third => _, options(nostack));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("vmcall", inlateout("rax") number => answer, inlateout("rdi") first => _,
                inlateout("rsi") second => _, inlateout("rdx") third => _, options(nostack));
        }
    }
    u64::try_from(answer).map_err(|_| Errno(answer.unsigned_abs() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use std::rc::Rc;
    use std::vec::Vec;

    /// public/sched.h: SCHEDOP_shutdown (2) of sched_op (29), and the reasons.
    #[test]
    fn a_domain_says_why_it_stops() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let calls = told.clone();
        fake::answer_by(move |[number, command, argument, _]| {
            // SAFETY: the command's argument is one integer.
            let reason = unsafe { *(argument as *const u32) };
            calls.borrow_mut().push((number, command, reason));
            Err(Errno(1))
        });
        assert_eq!(suspend(), Err(Errno(1)));
        for reason in [0, 1, 3] {
            shut_down(reason);
        }
        assert_eq!(told.take(), [2, 0, 1, 3].map(|reason| (29, 2, reason)));
    }
}
