//! Cap'n Proto RPC in the clear, on the port of `[rpc]`, that of `[vsock]` and the path of `[shared_memory]`: for loopback and private
//! wires, since everybody is a stranger.

use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::service::{Admission, Offer, Opened, Service, StartError, listen};
use crate::shared_port::{self, SharedPort};
use crate::vat::Vat;
use crate::vsock_port::{self, VsockPort};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::{self, Peer, Rpc};
use flow::{Address, FlowError};
use inspect::Inspector;

/// Serves the directory of what strangers may have.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let Some(ports) = Ports::listen(context)? else { return Ok(None) };
    let vat = context.vat()?;
    if vat.strangers_services().next().is_none() {
        log::warn!("rpc: nobody gets anything in the clear: `strangers` in [rpc] is empty");
    }
    let directory = vat.directory(&Peer::unknown(Address::Memory(0)));
    Ok(Some(ports.serve(context, &vat, &directory)))
}

/// Serves everybody the directory of all services, or one of the table's own that is made of it: for trials only.
pub fn open_to_all<P: Platform>(
    context: &Context<P>,
    wrap: impl FnOnce(&Rpc, directory::Client) -> directory::Client,
) -> Opened {
    let Some(ports) = Ports::listen(context)? else { return Ok(None) };
    let vat = context.vat()?;
    let directory = wrap(&vat.rpc, vat.directory_of_all());
    Ok(Some(ports.serve(context, &vat, &directory)))
}

/// Where it listens.
struct Ports<P: Platform> {
    tcp: Option<(u16, Admission<P::Listener>)>,
    vsock: Option<VsockPort>,
    shared_memory: Option<SharedPort>,
}

impl<P: Platform> Ports<P> {
    /// None if it is to listen nowhere.
    fn listen(context: &Context<P>) -> Result<Option<Self>, StartError> {
        let tcp = match context.config.rpc.port {
            Some(port) => Some((port, listen(context, "rpc", port)?)),
            None => None,
        };
        let vsock = vsock_port::listen(context, "rpc")?;
        let shared_memory = shared_port::listen(context, "rpc")?;
        let is_on = tcp.is_some() || vsock.is_some() || shared_memory.is_some();
        Ok(is_on.then_some(Self { tcp, vsock, shared_memory }))
    }

    fn serve(
        self,
        context: &Context<P>,
        vat: &Vat,
        directory: &directory::Client,
    ) -> Rc<dyn Service> {
        let Self { tcp, vsock, shared_memory } = self;
        let port = tcp.map(|(port, listener)| {
            offer(context, "rpc listener", vat.rpc.offer(listener, directory.clone()));
            port
        });
        if let Some(listener) = vsock {
            offer(context, "rpc vsock listener", vat.rpc.offer(listener, directory.clone()));
        }
        if let Some(listener) = shared_memory {
            offer(
                context,
                "rpc shared-memory listener",
                vat.rpc.offer(listener, directory.clone()),
            );
        }
        Rc::new(Plain { rpc: vat.rpc.clone(), port })
    }
}

fn offer<P: Platform>(
    context: &Context<P>,
    task: &'static str,
    offering: impl Future<Output = FlowError> + 'static,
) {
    context.spawner.spawn(task, async {
        let end = offering.await;
        log::debug!("rpc: listening ended: {end}");
    });
}

struct Plain {
    rpc: Rpc,
    /// Of TCP, if it listens there.
    port: Option<u16>,
}

impl Service for Plain {
    fn offers(&self) -> Vec<Offer> {
        let offer = |port| Offer { name: "appliance", protocol: "capnp", port };
        self.port.map(offer).into_iter().collect()
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
