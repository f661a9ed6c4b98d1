//! Watching: what a flow does, shown to whoever draws it. Nobody pays for it while nobody looks.

use crate::FlowInfo;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

/// Somebody who looks at what a flow does.
pub trait Watcher {
    /// Something was read or written, the other side was notified or notified us, a task began to wait, or an end came: how far
    /// the flow is now. To be noted, and no more: the flow is in the middle of its work.
    fn step(&self, info: &FlowInfo);
}

/// Those who look at one flow.
#[derive(Default)]
pub(crate) struct Watchers(RefCell<Vec<Weak<dyn Watcher>>>);

impl Watchers {
    /// Shows it all steps from now on, until it is dropped.
    pub(crate) fn add(&self, watcher: &Rc<dyn Watcher>) {
        self.0.borrow_mut().push(Rc::downgrade(watcher));
    }

    /// Shows a step, which is described if anybody looks.
    pub(crate) fn show(&self, describe: impl FnOnce() -> Option<FlowInfo>) {
        if self.0.borrow().is_empty() {
            return;
        }
        self.0.borrow_mut().retain(|watcher| watcher.strong_count() > 0);
        let Some(info) = describe() else { return };
        for watcher in self.0.borrow().iter().filter_map(Weak::upgrade) {
            watcher.step(&info);
        }
    }
}
