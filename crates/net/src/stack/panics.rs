//! Panic containment: a panic inside a phase ends the connection that it was about, and no more.
//!
//! Peers' bytes lead to no panic that we know of; but smoltcp and this crate are large, and one
//! wrong assumption in them must not take ten thousand connections down.

use crate::counters::Counter;
use crate::stack::interface::InterfaceState;
use flow::FlowError;

impl InterfaceState {
    /// Runs a part of a phase, as much of it as possible since each call costs something. When it
    /// panics, the connection that was noted last by [`begin`](Self::begin) ends without a word: its
    /// peer learns it by the reset that its next segment gets.
    #[inline]
    pub(crate) fn catch_panic(&mut self, body: &mut dyn FnMut(&mut Self)) {
        self.current_slot = None;
        let catch = self.catch;
        if let Err(message) = catch(&mut || body(self)) {
            self.drop_culprit(&message);
        }
    }

    #[cold]
    pub(super) fn drop_culprit(&mut self, message: &str) {
        self.context.counters.add(Counter::Panics);
        log::error!("net: a panic: {message}");
        let slot = self.current_slot.take();
        let Some(culprit) = slot.and_then(|slot| self.table.borrow_mut().remove(slot)) else {
            return;
        };
        log::error!("net: {} is dropped", culprit.tuple.remote());
        self.context.counters.add(Counter::Closed);
        // It may be in any state, so that this may panic, too.
        let mut culprit = Some(culprit);
        let ended = (self.catch)(&mut || {
            if let Some(culprit) = culprit.take() {
                culprit.cut(FlowError::Down);
            }
        });
        if let Err(message) = ended {
            log::error!("net: another panic: {message}");
        }
    }

    /// What follows is about the connection in this slot, or about none.
    pub(crate) fn begin(&mut self, slot: Option<u32>) {
        self.current_slot = slot;
    }
}
