//! Status of the guest, for whoever manages its host: whether it stops, and its addresses.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use flow::sync::Notify;

/// A status, and the news that it has changed. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Status(Rc<State>);

#[derive(Default)]
struct State {
    addresses: RefCell<String>,
    is_stopping: Cell<bool>,
    news: Notify,
}

impl Status {
    /// The addresses of all interfaces, with their prefix lengths.
    pub(crate) fn set_addresses(&self, addresses: String) {
        self.0.addresses.replace(addresses);
        self.tell();
    }

    /// The appliance takes no more work.
    pub(crate) fn set_stopping(&self) {
        self.0.is_stopping.set(true);
        self.tell();
    }

    /// What it says, by names.
    pub(crate) fn values(&self) -> [(&'static str, String); 2] {
        let state = if self.0.is_stopping.get() { "stopping" } else { "running" };
        [("state", state.into()), ("addresses", self.0.addresses.borrow().clone())]
    }

    /// Resolves when it says something else than when this was last asked.
    pub(crate) async fn changed(&self) {
        self.0.news.notified().await;
    }

    fn tell(&self) {
        self.0.news.notify();
    }
}
