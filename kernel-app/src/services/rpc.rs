//! Cap'n Proto RPC in the clear, on the port of `[rpc]` and where `[vsock]`, `[shared_memory]` and `[unix]` say: for loopback and
//! private wires, since everybody is a stranger.

use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::local_port::{self, LocalPort};
use crate::service::{Admission, Offer, Opened, Service, StartError, listen};
use crate::vat::Vat;
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
    if vat.tells_places_apart() {
        let offering = vat.clone();
        let directory = move |peer: &Peer| Some(offering.directory(peer));
        return Ok(Some(ports.serve(context, &vat, directory)));
    }
    let directory = vat.directory(&Peer::unknown(Address::Memory(0)));
    Ok(Some(ports.serve(context, &vat, move |_: &Peer| Some(directory.clone()))))
}

/// Serves everybody the directory of all services, or one of the table's own that is made of it: for trials only.
pub fn open_to_all<P: Platform>(
    context: &Context<P>,
    wrap: impl FnOnce(&Rpc, directory::Client) -> directory::Client,
) -> Opened {
    let Some(ports) = Ports::listen(context)? else { return Ok(None) };
    let vat = context.vat()?;
    let directory = wrap(&vat.rpc, vat.directory_of_all());
    Ok(Some(ports.serve(context, &vat, move |_: &Peer| Some(directory.clone()))))
}

/// Where it listens.
struct Ports<P: Platform> {
    tcp: Option<(u16, Admission<P::Listener>)>,
    local: Option<LocalPort>,
}

impl<P: Platform> Ports<P> {
    /// None if it is to listen nowhere.
    fn listen(context: &Context<P>) -> Result<Option<Self>, StartError> {
        let tcp = match context.config.rpc.port {
            Some(port) => Some((port, listen(context, "rpc", port)?)),
            None => None,
        };
        let local = local_port::listen(context, "rpc")?;
        Ok((tcp.is_some() || local.is_some()).then_some(Self { tcp, local }))
    }

    fn serve(
        self,
        context: &Context<P>,
        vat: &Vat,
        directory: impl Fn(&Peer) -> Option<directory::Client> + Clone + 'static,
    ) -> Rc<dyn Service> {
        let Self { tcp, local } = self;
        let port = tcp.map(|(port, listener)| {
            offer(context, "rpc listener", vat.rpc.offer_each(listener, directory.clone()));
            port
        });
        if let Some(listener) = local {
            offer(context, "rpc local listener", vat.rpc.offer_each(listener, directory.clone()));
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
        Vec::from([Offer { name: "appliance", protocol: "capnp", port: self.port }])
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
