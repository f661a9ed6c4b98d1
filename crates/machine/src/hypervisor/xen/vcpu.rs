//! Virtual CPU: what a CPU has under Xen besides.

use super::event::Port;
use core::sync::atomic::AtomicU64;
use spinning_top::Spinlock;

/// A virtual CPU's own.
pub(crate) struct Vcpu {
    /// The timer's event channel.
    pub(super) timer: Spinlock<Option<Port>>,
    /// The latest time that was told, in nanoseconds of Xen's.
    pub(super) latest: AtomicU64,
}

impl Vcpu {
    pub(crate) const fn new() -> Self {
        Self { timer: Spinlock::new(None), latest: AtomicU64::new(0) }
    }
}
