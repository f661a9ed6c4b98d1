//! Values that the start of the machine leaves behind.

use core::cell::OnceCell;

/// A value that is set once, before anybody reads it.
pub(crate) struct SetOnce<T>(OnceCell<T>);

// SAFETY: who calls `set` has the machine to itself; afterwards the value is only read.
unsafe impl<T: Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceCell::new())
    }

    /// Sets it, unless that was done before.
    ///
    /// # Safety
    /// Nothing else runs that could read it: the machine has one CPU yet.
    pub(crate) unsafe fn set(&self, value: T) -> &T {
        self.0.get_or_init(|| value)
    }

    /// `None` before it is set, and always on a host.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }
}
