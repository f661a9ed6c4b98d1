//! Virtual CPU: what a CPU has under Xen besides.

use core::sync::atomic::AtomicU64;

/// A virtual CPU's own.
pub(crate) struct Vcpu {
    /// The latest time that was told, in nanoseconds of Xen's.
    pub(super) latest: AtomicU64,
}

impl Vcpu {
    pub(crate) const fn new() -> Self {
        Self { latest: AtomicU64::new(0) }
    }
}
