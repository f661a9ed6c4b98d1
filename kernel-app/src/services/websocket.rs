//! WebSockets, over connections of HTTP: what a table with routes for them adds. The shipped appliance has none
//! but that of RPC, which has a host of its own.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Service};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::websocket::Host;

/// Where WebSockets run, for all routes of a table. To be called once: its sockets are counted, and closed with 1001 when
/// the appliance stops.
pub fn host<P: Platform>(context: &Context<P>) -> Host {
    let platform = context.platform.clone();
    let host = Host::new(
        &context.spawner,
        &context.timers,
        move |bytes| platform.fill_random(bytes),
        Some(context.service_ledger("websocket")),
    );
    context.services.add("websocket", Rc::new(WebSockets(host.clone())));
    host
}

struct WebSockets(Host);

impl Service for WebSockets {
    /// They are found by way of HTTP.
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn connections(&self) -> usize {
        self.0.sockets()
    }

    fn drain(&self, _linger: Duration) {
        self.0.drain();
    }
}
