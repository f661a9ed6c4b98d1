//! Waits in a test: each thread has a clock of its own, which stands still but while the thread waits.

extern crate std;

use alloc::boxed::Box;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::thread_local;

/// What others do while this thread waits; whether that ends the wait.
type Meanwhile = Box<dyn FnMut() -> bool>;

thread_local! {
    static NANOS: Cell<u64> = const { Cell::new(0) };
    /// How far it goes on when it is looked at.
    static STEP_NANOS: Cell<u64> = const { Cell::new(0) };
    static MEANWHILE: RefCell<Option<Meanwhile>> = const { RefCell::new(None) };
}

/// Has `act` happen in each wait of this thread. When it gives false, as it does where nobody has set one, nothing happened, and
/// the wait goes on until its deadline.
pub fn meanwhile(act: impl FnMut() -> bool + 'static) {
    MEANWHILE.with(|slot| slot.replace(Some(Box::new(act))));
}

pub(super) fn wait(deadline: Option<Duration>) {
    let is_over = MEANWHILE.with(|slot| slot.borrow_mut().as_mut().is_some_and(|act| act()));
    if let Some(deadline) = deadline.filter(|_| !is_over) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        NANOS.with(|now| now.set(now.get().max(nanos)));
    }
}

/// The thread's time.
pub(crate) fn nanos() -> u64 {
    let now = NANOS.get();
    NANOS.set(now + STEP_NANOS.get());
    now
}

/// Has the thread's time go on by so much whenever it is looked at.
#[cfg(test)]
pub(crate) fn step(nanos: u64) {
    STEP_NANOS.set(nanos);
}
