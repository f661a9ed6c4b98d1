//! Cap'n Proto RPC by TLS with vats that have keys, on the port `secure_port` of `[rpc]` and at the socket `secure_rpc` of `[unix]`.

use crate::Platform;
use crate::context::Context;
use crate::local_port;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::rpc::RpcSettings;
use crate::vat::Vat;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::{self, SecureVat};
use flow::FlowError;
use inspect::Inspector;

/// What it is called in the log, in the registry and among the features.
const NAME: &str = "vats";

/// Serves each vat the directory of what it may have, and to who knows a service's token that service.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let RpcSettings { secure_port, log_references, .. } = RpcSettings::new(&context.config.rpc);
    let listener = secure_port.map(|port| listen(context, NAME, port)).transpose()?;
    let local = local_port::listen(context, NAME)?;
    if listener.is_none() && local.is_none() {
        return Ok(None);
    }
    let vat = context.vat()?;
    let secure = vat.secure(context)?.clone();
    if let Some(listener) = listener {
        serve(context, "vats listener", secure.serve(listener));
    }
    if let Some(listener) = local {
        serve(context, "vats local listener", secure.serve(listener));
    }
    if log_references {
        tell(&vat);
    }
    Ok(Some(Rc::new(Vats { secure, port: secure_port })))
}

fn serve<P: Platform>(
    context: &Context<P>,
    task: &'static str,
    serving: impl Future<Output = FlowError> + 'static,
) {
    context.spawner.spawn(task, async {
        let end = serving.await;
        log::debug!("{NAME}: listening ended: {end}");
    });
}

/// Writes all references to the log.
fn tell(vat: &Vat) {
    for (name, reference) in vat.references() {
        match reference {
            Ok(reference) => log::info!("{NAME}: {name} is {reference}"),
            Err(error) => log::info!("{NAME}: {error}"),
        }
    }
}

struct Vats {
    secure: SecureVat,
    /// Of TCP, if it listens there.
    port: Option<u16>,
}

impl Service for Vats {
    fn offers(&self) -> Vec<Offer> {
        Vec::from([Offer { name: NAME, protocol: "capnp-tls", port: self.port }])
    }

    fn connections(&self) -> usize {
        self.secure.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.secure.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        let vat = self.secure.rpc().clone();
        inspector.add_metrics(rpc::METRICS, move |visit| visit(Some(("service", &name)), &vat));
    }
}
