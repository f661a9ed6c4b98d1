//! A Xen that answers as a test wants.

use super::Errno;
use core::cell::RefCell;
use std::boxed::Box;
use std::thread_local;

/// Answers a call by its number and its arguments.
type Xen = Box<dyn FnMut([u64; 4]) -> Result<u64, Errno>>;

thread_local! {
    static XEN: RefCell<Option<Xen>> = const { RefCell::new(None) };
}

/// Has this thread's calls answered by `xen`.
pub(crate) fn answer_by(xen: impl FnMut([u64; 4]) -> Result<u64, Errno> + 'static) {
    XEN.set(Some(Box::new(xen)));
}

pub(super) fn is_there() -> bool {
    XEN.with_borrow(Option::is_some)
}

pub(super) fn answer(call: [u64; 4]) -> Result<u64, Errno> {
    XEN.with_borrow_mut(|xen| xen.as_mut().expect("somebody who answers")(call))
}
