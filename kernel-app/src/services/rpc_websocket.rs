//! Cap'n Proto RPC over WebSockets, at `websocket_path` of `[rpc]`: what the port in the clear serves, for programs in browsers.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Service, StartError};
use crate::services::websocket;
use crate::settings::rpc::RpcSettings;
use crate::vat::Vat;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::{self, Rpc};
use endpoints::websocket::{Host, Origins};
use inspect::Inspector;
use web::{Reply, Request, Routes};

/// Its name in the log, among the services and in the ledger.
const NAME: &str = "rpc-websocket";

/// Makes the vat, if there is to be a route to it.
///
/// # Errors
/// `[rpc]` names a service that there is not.
pub(crate) fn open<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    if RpcSettings::new(&context.config.rpc).websocket_path.is_some() {
        let vat = context.vat()?;
        if vat.strangers_services().next().is_none() {
            log::warn!("{NAME}: nobody gets anything: `strangers` in [rpc] is empty");
        }
    }
    Ok(())
}

/// Adds the route, if there is to be one.
pub(crate) fn with_route<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let settings = RpcSettings::new(&context.config.rpc);
    let Some(path) = settings.websocket_path else { return routes };
    // It was made when this opened, or nothing starts.
    let Ok(vat) = context.vat() else { return routes };
    let origins = websocket::origins(settings.websocket_origins);
    let host = websocket::host_of(context, NAME);
    let sockets = Rc::new(Sockets { rpc: vat.rpc.apart(), host, vat, origins });
    context.services.add(NAME, sockets.clone());
    sockets.inspect(NAME, &context.inspector);
    log::info!("{NAME} at {path}");
    // Routes are there for the whole run.
    routes.get(path.leak(), move |request| {
        let reply = sockets.accept(&request);
        async move { reply }
    })
}

/// The vat for those who come this way, counted apart from others.
struct Sockets {
    rpc: Rpc,
    host: Host,
    vat: Rc<Vat>,
    origins: Origins,
}

impl Sockets {
    /// Whoever comes shows no key: a stranger, whatever the page.
    fn accept(&self, request: &Request) -> Reply {
        let vat = self.vat.clone();
        self.rpc.accept_websocket(&self.host, request, self.origins, move |peer| {
            Some(vat.directory(peer))
        })
    }
}

impl Service for Sockets {
    /// They are found by way of HTTP.
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
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
