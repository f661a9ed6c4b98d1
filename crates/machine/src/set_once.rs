//! Once cell: a value that the start of the machine sets, and that is only read after that.

use core::cell::OnceCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that is set once and then only read.
pub(crate) struct SetOnce<T> {
    value: OnceCell<T>,
    is_claimed: AtomicBool,
    is_set: AtomicBool,
}

// SAFETY: only who claimed the cell writes it, once, and it is read only after that.
unsafe impl<T: Sync + Send> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    pub(crate) const fn new() -> Self {
        Self {
            value: OnceCell::new(),
            is_claimed: AtomicBool::new(false),
            is_set: AtomicBool::new(false),
        }
    }

    /// Sets it, unless that was done before.
    pub(crate) fn set(&self, value: T) {
        if !self.is_claimed.swap(true, Ordering::Relaxed) {
            let _ = self.value.set(value);
            self.is_set.store(true, Ordering::Release);
        }
    }

    /// `None` before it is set, and so always on a host.
    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let cell = SetOnce::new();
        assert_eq!(cell.get(), None);
        cell.set(1);
        cell.set(2);
        assert_eq!(cell.get(), Some(&1));
    }
}
