//! Status of the guest, for whoever manages its host: whether it stops, and the addresses of its interfaces.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use flow::sync::Notify;

/// A status, and the news that it has changed. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Status(Rc<State>);

/// What is said of an interface.
pub(crate) struct InterfaceStatus {
    /// Its Ethernet address.
    pub(crate) mac: [u8; 6],
    /// Its addresses, with their prefix lengths.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
}

#[derive(Default)]
struct State {
    interfaces: RefCell<Vec<InterfaceStatus>>,
    is_stopping: Cell<bool>,
    news: Notify,
}

impl Status {
    /// All interfaces as they are now.
    pub(crate) fn set_interfaces(&self, interfaces: Vec<InterfaceStatus>) {
        self.0.interfaces.replace(interfaces);
        self.tell();
    }

    /// The appliance takes no more work.
    pub(crate) fn set_stopping(&self) {
        self.0.is_stopping.set(true);
        self.tell();
    }

    /// What it says, by names; addresses with a space between two.
    pub(crate) fn values(&self) -> [(&'static str, String); 2] {
        let state = if self.0.is_stopping.get() { "stopping" } else { "running" };
        let interfaces = self.0.interfaces.borrow();
        let all = interfaces.iter().flat_map(|interface| &interface.addresses);
        let all: Vec<String> = all.map(|(address, prefix)| format!("{address}/{prefix}")).collect();
        [("state", state.into()), ("addresses", all.join(" "))]
    }

    /// The addresses of the interface with that Ethernet address.
    pub(crate) fn addresses(&self, mac: [u8; 6]) -> Vec<IpAddr> {
        let interfaces = self.0.interfaces.borrow();
        let its = interfaces.iter().filter(|interface| interface.mac == mac);
        its.flat_map(|interface| interface.addresses.iter().map(|(address, _)| *address)).collect()
    }

    /// Resolves when it says something else than when this was last asked.
    pub(crate) async fn changed(&self) {
        self.0.news.notified().await;
    }

    /// Whoever was told what it says has forgotten it.
    pub(crate) fn tell_again(&self) {
        self.tell();
    }

    fn tell(&self) {
        self.0.news.notify();
    }
}
