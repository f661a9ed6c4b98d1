//! Cap'n Proto RPC on the port of `[rpc]`.

use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::handlers;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::rpc::RpcSettings;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::Rpc;

/// Serves the [directory](handlers::rpc::directory) of the appliance's objects.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    open_with(context, |_, directory| directory)
}

/// The same, for a table that offers a directory of its own, made of the appliance's.
pub fn open_with<P: Platform>(
    context: &Context<P>,
    wrap: impl FnOnce(&Rpc, directory::Client) -> directory::Client,
) -> Opened {
    let RpcSettings { port, limits } = RpcSettings::new(&context.config.rpc);
    let Some(port) = port else { return Ok(None) };
    let ledger = context.service_ledger("rpc");
    let limits = limits.within(ledger.message_bytes_max());
    let vat = Rpc::new(limits, &context.spawner, &context.timers).weighed(ledger);
    let directory = wrap(&vat, handlers::rpc::directory(context, &vat));
    let offering = vat.offer(listen(context, "rpc", port)?, directory);
    context.spawner.spawn("rpc listener", async {
        let end = offering.await;
        log::debug!("rpc: listening ended: {end}");
    });
    Ok(Some(Rc::new(Vat { vat, port })))
}

struct Vat {
    vat: Rpc,
    port: u16,
}

impl Service for Vat {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: "appliance", protocol: "capnp", port: self.port }].into()
    }

    fn connections(&self) -> usize {
        self.vat.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.vat.drain();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        [("rpc_connections", self.vat.connections() as u64)].into()
    }
}
