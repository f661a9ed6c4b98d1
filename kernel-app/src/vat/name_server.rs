//! Name server of a vat: the service `names`, for each peer with a key as a holder of its own.

use super::Vat;
use crate::Platform;
use crate::appliance_capnp::names;
use crate::context::Context;
use crate::handlers::rpc::Object;
use crate::names::{NameServer, Names};
use crate::settings::names::NamesSettings;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use endpoints::rpc::{Fingerprint, Peer, Rpc};

/// What it is called.
const NAME: &str = "names";
const ABOUT: &str = "who offers what, by name";

/// The server, if the configuration has one.
pub(super) fn of<P: Platform>(context: &Context<P>) -> Option<Rc<NameServer>> {
    let settings = NamesSettings::new(&context.config.names, Vec::new());
    if !settings.serve {
        return None;
    }
    let ledger = context.service_ledger("names");
    let server = Rc::new(NameServer::new(settings.limits, &context.timers, &ledger));
    let ending = server.clone();
    context.spawner.spawn("names kept", async move { ending.end_leases().await });
    Some(server)
}

/// The service, for a holder with this key; for all together that show none.
pub(super) fn object(
    server: &Rc<NameServer>,
    rpc: &Rpc,
    fingerprint: Option<Fingerprint>,
) -> Object {
    Object::new(NAME, ABOUT, client(server, rpc, fingerprint))
}

fn client(server: &Rc<NameServer>, rpc: &Rpc, fingerprint: Option<Fingerprint>) -> names::Client {
    let known_by = fingerprint.map_or_else(Default::default, |it| it.to_string());
    rpc.client(Names::new(server, ::names::Holder::new(&known_by), rpc))
}

impl Vat {
    /// Has a peer with a key register as itself, if it may register.
    pub(super) fn name_holder(&self, peer: &Peer, services: &mut [Object]) {
        let (Some(server), Some(key)) = (&self.names, peer.fingerprint) else { return };
        let own = services.iter_mut().find(|service| service.name == NAME);
        if let Some(own) = own {
            *own = object(server, &self.rpc, Some(key));
        }
    }

    /// The service for this appliance itself, if it keeps names. It is a holder without a key, so that one that lists itself among
    /// its servers is no other.
    pub(crate) fn own_names(&self) -> Option<names::Client> {
        self.names.as_ref().map(|server| client(server, &self.rpc, None))
    }
}
