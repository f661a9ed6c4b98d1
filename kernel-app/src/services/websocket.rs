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
    let host = host_of(context, "websocket");
    context.services.add("websocket", Rc::new(WebSockets(host.clone())));
    host
}

/// Where WebSockets of a service run, which are weighed under its name.
pub(crate) fn host_of<P: Platform>(context: &Context<P>, service: &'static str) -> Host {
    let platform = context.platform.clone();
    let random = move |bytes: &mut [u8]| platform.fill_random(bytes);
    Host::new(&context.spawner, &context.timers, random, Some(context.service_ledger(service)))
}

/// Pages of the host that is asked, and of these origins. Routes are there for the whole run, and so are their origins.
#[cfg(any(feature = "rpc-websocket", feature = "zmq"))]
pub(crate) fn origins(more: Vec<alloc::string::String>) -> endpoints::websocket::Origins {
    use endpoints::websocket::Origins;
    let more: Vec<&'static str> = more.into_iter().map(|origin| &*origin.leak()).collect();
    if more.is_empty() { Origins::SameHost } else { Origins::SameHostAnd(more.leak()) }
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
