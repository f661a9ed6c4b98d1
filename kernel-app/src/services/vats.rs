//! Cap'n Proto RPC by TLS with vats that have keys, on the port `secure_port` of `[rpc]`.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::rpc::RpcSettings;
use crate::vat::Vat;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::rpc::{self, SecureVat};
use inspect::Inspector;

/// What it is called in the log, in the registry and among the features.
const NAME: &str = "vats";

/// Serves each vat the directory of what it may have, and to who knows a service's token that service.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let RpcSettings { secure_port, log_references, .. } = RpcSettings::new(&context.config.rpc);
    let Some(port) = secure_port else { return Ok(None) };
    let vat = context.vat()?;
    let secure = vat.secure(context)?.clone();
    let serving = secure.serve(listen(context, NAME, port)?);
    context.spawner.spawn("vats listener", async {
        let end = serving.await;
        log::debug!("{NAME}: listening ended: {end}");
    });
    if log_references {
        tell(&vat);
    }
    Ok(Some(Rc::new(Vats { secure, port })))
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
    port: u16,
}

impl Service for Vats {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: NAME, protocol: "capnp-tls", port: self.port }].into()
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
