//! Event channels: interrupts from other domains and from Xen, as flags (Xen,
//! public/event_channel.h, the two-level interface).
//!
//! Xen sets a port's bit in the shared page; a driver takes it from there without any interrupt.
//! The interrupt only ends `idle::wait`.

use super::hypercall::{self, DOMID_SELF, DomainId, Errno};
use super::parameter::{self, Parameter};
use super::shared_info::{PORT_WORDS, SHARED};
use crate::arch::{idt, instructions};
use crate::image_layout::Handlers;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Words of the bit map that hold a bound port: those from 0 to this.
static WORDS_USED: AtomicUsize = AtomicUsize::new(0);

/// One end of an event channel. Closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    number: u32,
    /// Xen's own ports (console and xenstore) are bound by the toolstack and stay open.
    is_kept: bool,
}

impl Port {
    /// A new channel, whose other end `remote` may bind.
    pub fn allocate(remote: DomainId) -> Result<Self, Errno> {
        /// `evtchn_alloc_unbound`.
        #[repr(C)]
        struct Argument {
            domain: u16,
            remote: u16,
            port: u32,
        }
        if cfg!(any(test, feature = "fake")) {
            return Ok(Self { number: u32::MAX, is_kept: true });
        }
        let mut argument = Argument { domain: DOMID_SELF, remote, port: 0 };
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads and writes this structure.
        unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_ALLOC_UNBOUND, pointer) }?;
        Self::open(argument.port, false)
    }

    /// A channel that the toolstack made for this domain.
    pub(crate) fn of_toolstack(number: u64) -> Option<Self> {
        Self::open(u32::try_from(number).ok()?, true).ok()
    }

    /// A channel for one of Xen's own interrupts on the first CPU.
    pub(crate) fn of_virtual_interrupt(virq: u32) -> Result<Self, Errno> {
        /// `evtchn_bind_virq`.
        #[repr(C)]
        struct Argument {
            virq: u32,
            vcpu: u32,
            port: u32,
        }
        let mut argument = Argument { virq, vcpu: 0, port: 0 };
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads and writes this structure.
        unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_BIND_VIRQ, pointer) }?;
        Self::open(argument.port, true)
    }

    /// Lets a port's events through.
    fn open(number: u32, is_kept: bool) -> Result<Self, Errno> {
        let port = Self { number, is_kept };
        let (word, bit) = port.place();
        let Some(mask) = SHARED.mask.get(word) else { return Err(Errno::NO_SYSTEM) };
        WORDS_USED.fetch_max(word + 1, Ordering::Relaxed);
        mask.fetch_and(!bit, Ordering::Relaxed);
        Ok(port)
    }

    /// A port that has no events, for tests without Xen.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn fake() -> Self {
        Self { number: u32::MAX, is_kept: true }
    }

    /// Its number, by which the other end finds it.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether there was an event since this was last asked.
    pub fn take(&self) -> bool {
        let (word, bit) = self.place();
        let Some(pending) = SHARED.pending.get(word) else { return false };
        pending.load(Ordering::Acquire) & bit != 0
            && pending.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Tells the other end.
    pub fn notify(&self) {
        let mut argument = self.number;
        let pointer = (&raw mut argument).cast();
        // SAFETY: the command reads this one integer. A channel whose other end is gone refuses,
        // and there is nobody left to tell.
        let _ = unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_SEND, pointer) };
    }

    fn place(&self) -> (usize, u64) {
        (self.number as usize / 64, 1 << (self.number % 64))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let (word, bit) = self.place();
        if let Some(mask) = SHARED.mask.get(word).filter(|_| !self.is_kept) {
            mask.fetch_or(bit, Ordering::Relaxed);
            SHARED.pending[word].fetch_and(!bit, Ordering::Relaxed);
            let mut argument = self.number;
            let pointer = (&raw mut argument).cast();
            // SAFETY: the command reads this one integer.
            let _ = unsafe { hypercall::event_channel_op(hypercall::EVTCHNOP_CLOSE, pointer) };
        }
    }
}

/// Whether a port has had an event that nobody took. Xen interrupts at the next event on any port
/// that has none when this says false.
pub(super) fn is_pending() -> bool {
    // Xen interrupts only when these go from 0 to 1, so they are cleared before the ports are
    // looked at, not after.
    SHARED.upcall_pending.store(0, Ordering::SeqCst);
    SHARED.pending_words.store(0, Ordering::SeqCst);
    let words = WORDS_USED.load(Ordering::Relaxed).min(PORT_WORDS);
    let ports = SHARED.pending[..words].iter().zip(&SHARED.mask);
    ports
        .into_iter()
        .any(|(pending, mask)| pending.load(Ordering::SeqCst) & !mask.load(Ordering::Relaxed) != 0)
}

/// Above all lines', below the spurious interrupt's.
const DIRECT_VECTOR: u8 = 0xf3;
const BY_APIC_VECTOR: u8 = 0xf4;

/// Says by which vector Xen is to interrupt: injected as such, which every Xen can; and through the local
/// APIC, which goes by the CPU's own ways, where CPUID says that this works.
pub(super) fn start_upcalls(leaf_base: u32) {
    const BY_VECTOR: u64 = 2 << 56;
    const FEATURES_LEAF: u32 = 4;
    const UPCALL_VECTOR: u32 = 1 << 6;
    // Also makes Xen use the 64-bit layout of the shared page.
    parameter::set(Parameter::CallbackIrq, BY_VECTOR | u64::from(DIRECT_VECTOR))
        .expect("interrupts of event channels");
    if instructions::cpuid(leaf_base + FEATURES_LEAF, 0).eax & UPCALL_VECTOR != 0 {
        set_vcpu_vector();
    }
}

fn set_vcpu_vector() {
    /// `xen_hvm_evtchn_upcall_vector`.
    #[repr(C)]
    struct Argument {
        vcpu: u32,
        vector: u8,
    }
    let mut argument = Argument { vcpu: 0, vector: BY_APIC_VECTOR };
    let argument = (&raw mut argument).cast();
    // SAFETY: the command reads this structure. Where it is refused, the other way remains.
    let _ = unsafe { hypercall::hvm_op(hypercall::HVMOP_SET_EVTCHN_UPCALL_VECTOR, argument) };
}

/// Points the vectors at their handlers.
pub(super) fn set_gates(handlers: &Handlers) {
    for (vector, handler) in
        [(DIRECT_VECTOR, handlers.xen_direct), (BY_APIC_VECTOR, handlers.xen_by_apic)]
    {
        // SAFETY: the image's handlers keep every register and end in `iretq`.
        unsafe { idt::set_gate(vector, handler, 0) }
    }
}
