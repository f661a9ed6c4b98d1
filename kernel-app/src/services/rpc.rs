//! Cap'n Proto RPC in the clear, on the port of `[rpc]`: for loopback and private wires, since everybody is a stranger.

use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::vat::Vat;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::{self, Peer, Rpc};
use flow::Address;
use inspect::Inspector;

/// Serves the directory of what strangers may have.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let Some(port) = context.config.rpc.port else { return Ok(None) };
    let vat = context.vat()?;
    if vat.strangers_services().next().is_none() {
        log::warn!("rpc: nobody gets anything on port {port}: `strangers` in [rpc] is empty");
    }
    let directory = vat.directory(&Peer::unknown(Address::Memory(0)));
    serve(context, &vat, port, directory)
}

/// Serves everybody the directory of all services, or one of the table's own that is made of it: for trials only.
pub fn open_to_all<P: Platform>(
    context: &Context<P>,
    wrap: impl FnOnce(&Rpc, directory::Client) -> directory::Client,
) -> Opened {
    let Some(port) = context.config.rpc.port else { return Ok(None) };
    let vat = context.vat()?;
    let directory = wrap(&vat.rpc, vat.directory_of_all());
    serve(context, &vat, port, directory)
}

fn serve<P: Platform>(
    context: &Context<P>,
    vat: &Vat,
    port: u16,
    directory: directory::Client,
) -> Opened {
    let rpc = vat.rpc.clone();
    let offering = rpc.offer(listen(context, "rpc", port)?, directory);
    context.spawner.spawn("rpc listener", async {
        let end = offering.await;
        log::debug!("rpc: listening ended: {end}");
    });
    Ok(Some(Rc::new(Plain { rpc, port })))
}

struct Plain {
    rpc: Rpc,
    port: u16,
}

impl Service for Plain {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: "appliance", protocol: "capnp", port: self.port }].into()
    }

    fn connections(&self) -> usize {
        self.rpc.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.rpc.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        let vat = self.rpc.clone();
        inspector.add_metrics(rpc::METRICS, move |visit| visit(Some(("service", &name)), &vat));
    }
}
