//! Vat: the appliance's services as objects, by which names and tokens they are had, and by whom.

mod access;
#[cfg(feature = "vats")]
mod capabilities;
#[cfg(feature = "vats")]
mod follow;
#[cfg(feature = "vats")]
mod name_server;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "vats")]
mod secure;
#[cfg(feature = "relay")]
mod through;

use crate::Platform;
use crate::appliance_capnp::directory;
use crate::context::Context;
use crate::handlers::rpc::{self as handlers, Object};
use crate::service::StartError;
use crate::settings::rpc::RpcSettings;
use crate::settings::unix::UnixSettings;
use access::Access;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use capnp::Error;
use capnp::capability::Promise;
use capnp::private::capability::ClientHook;
use endpoints::rpc::{Grants, Peer, Rpc, SturdyRef, VatPlace};

#[cfg(feature = "vats")]
pub use capabilities::NoCapability;
#[cfg(feature = "vats")]
pub use secure::reference;
#[cfg(feature = "vats")]
pub(crate) use {capabilities::Capabilities, follow::follow, secure::Secure};
#[cfg(feature = "relay")]
pub(crate) use {through::ThroughConnector, through::serve as serve_through};

/// The service that is no object with a token, but had by vats whose keys are listed for it: the network of the appliance.
#[cfg_attr(not(feature = "vats"), allow(dead_code, reason = "nobody has a key"))]
const NETWORK: &str = "network";

/// The vat of an appliance: there is one, made when something first wants it.
pub struct Vat {
    /// What its connections run on.
    pub(crate) rpc: Rpc,
    /// All services, each of which says its reference.
    services: Vec<Object>,
    access: Access,
    /// What this appliance keeps for others.
    #[cfg(feature = "vats")]
    names: Option<Rc<crate::names::NameServer>>,
    /// Services by token.
    grants: Grants,
    addresses: Rc<Addresses>,
    /// The network of this appliance, for vats that may have it.
    #[cfg(feature = "relay")]
    network: Option<relay::ForVat>,
    #[cfg(feature = "vats")]
    secure: core::cell::OnceCell<Secure>,
}

/// Where the vat is reached, and by what.
struct Addresses {
    /// Where everybody reaches it, if they do.
    open: Option<VatPlace>,
    strangers: Access,
    /// How the tokens of its services are made, if it is reached by those who know one.
    #[cfg(feature = "vats")]
    tokens: core::cell::OnceCell<secure::Tokens>,
}

impl Vat {
    /// Makes it. It listens nowhere yet.
    ///
    /// # Errors
    /// `[rpc]` names a service that there is not.
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Result<Self, StartError> {
        let settings = RpcSettings::new(&context.config.rpc);
        let ledger = context.service_ledger("rpc");
        let limits = settings.limits.within(ledger.message_bytes_max());
        let rpc = Rpc::new(limits, &context.spawner, &context.timers).weighed(ledger);
        let access = Access::new(&settings);
        let addresses = Rc::new(Addresses {
            open: place_of(context, settings.port, "rpc"),
            strangers: access.of_strangers(),
            #[cfg(feature = "vats")]
            tokens: core::cell::OnceCell::new(),
        });
        let grants = Grants::new(&rpc);
        #[cfg_attr(not(feature = "vats"), allow(unused_mut, reason = "there are no more"))]
        let mut own = handlers::objects(context, &rpc);
        #[cfg(feature = "vats")]
        let names = name_server::of(context);
        #[cfg(feature = "vats")]
        own.extend(names.iter().map(|names| name_server::object(names, &rpc)));
        access.check(own.iter().map(|object| object.name), relayed(context))?;
        let services = own.into_iter().map(|object| {
            let (addresses, name) = (addresses.clone(), object.name);
            object.map(|hook| grants.persistent(hook, move || addresses.reference(name)))
        });
        #[cfg(feature = "relay")]
        let network = relay::service(context, &rpc);
        let vat = Self {
            #[cfg(feature = "relay")]
            network,
            services: services.collect(),
            rpc,
            access,
            #[cfg(feature = "vats")]
            names,
            grants,
            addresses,
            #[cfg(feature = "vats")]
            secure: core::cell::OnceCell::new(),
        };
        vat.restore_by_name();
        Ok(vat)
    }

    /// The directory of what a peer may have.
    pub(crate) fn directory(&self, peer: &Peer) -> directory::Client {
        let mut services = self.services_of(|name| self.access.allows(peer.fingerprint, name));
        #[cfg(feature = "vats")]
        self.name_holder(peer, &mut services);
        services.extend(self.network_for(peer));
        handlers::directory(&self.rpc, services)
    }

    /// This network, for a peer that the table lists for it by its key.
    #[cfg(feature = "relay")]
    fn network_for(&self, peer: &Peer) -> Option<Object> {
        let vat = peer.fingerprint.filter(|vat| self.access.lists(*vat, NETWORK))?;
        self.network.as_ref().map(|network| network(vat))
    }

    #[cfg(not(feature = "relay"))]
    fn network_for(&self, _: &Peer) -> Option<Object> {
        None
    }

    /// The directory of all services.
    pub(crate) fn directory_of_all(&self) -> directory::Client {
        handlers::directory(&self.rpc, self.services_of(|_| true))
    }

    /// Whether what a stranger gets depends on where it is: what it has of the name server does.
    pub(crate) fn tells_places_apart(&self) -> bool {
        #[cfg(feature = "vats")]
        return self.names.is_some();
        #[cfg(not(feature = "vats"))]
        false
    }

    /// The names of what everybody may have.
    pub(crate) fn strangers_services(&self) -> impl Iterator<Item = &'static str> {
        self.services.iter().map(|object| object.name).filter(|name| self.access.allows(None, name))
    }

    /// The services with their references, or why one has none.
    pub(crate) fn references(&self) -> Vec<(&'static str, Result<SturdyRef, Error>)> {
        let references = self.services.iter();
        references.map(|object| (object.name, self.addresses.sturdy(object.name))).collect()
    }

    fn services_of(&self, allows: impl Fn(&str) -> bool) -> Vec<Object> {
        self.services.iter().filter(|object| allows(object.name)).cloned().collect()
    }

    /// What everybody may have is restored by its name, too.
    fn restore_by_name(&self) {
        let open = self.services.iter().filter(|object| self.access.allows(None, object.name));
        let open: Vec<Object> = open.cloned().collect();
        self.grants.set_loader(move |name: &[u8]| -> Promise<Box<dyn ClientHook>, Error> {
            match handlers::find(&open, name) {
                Ok(hook) => Promise::ok(hook),
                Err(error) => Promise::err(error),
            }
        });
        self.rpc.set_restorer(self.grants.clone());
    }
}

/// What the table may give to vats besides objects with tokens.
fn relayed<P: Platform>(context: &Context<P>) -> Option<&'static str> {
    let settings = crate::settings::relay::RelaySettings::new(&context.config.relay);
    settings.is_for_others().then_some(NETWORK)
}

/// What references name as the place of this vat: the port, if it has one, or else the path of this service's socket.
fn place_of<P: Platform>(
    context: &Context<P>,
    port: Option<u16>,
    service: &str,
) -> Option<VatPlace> {
    if let Some(port) = port {
        let host = RpcSettings::new(&context.config.rpc).host;
        let host = host.unwrap_or_else(|| context.config.network.hostname.clone());
        return Some(VatPlace::Tcp { host, port });
    }
    let (path, _) = UnixSettings::new(&context.config.unix).socket_of(service)?;
    // A name of the abstract namespace is no path, which is all that a reference has.
    path.abstract_name().is_none().then(|| VatPlace::Unix { path: path.as_str().into() })
}

impl Addresses {
    fn reference(&self, service: &str) -> Result<String, Error> {
        self.sturdy(service).map(|reference| format!("{reference}"))
    }

    fn sturdy(&self, service: &str) -> Result<SturdyRef, Error> {
        #[cfg(feature = "vats")]
        if let Some(tokens) = self.tokens.get() {
            return Ok(tokens.reference(service));
        }
        match &self.open {
            Some(place) if self.strangers.allows(None, service) => {
                Ok(SturdyRef { fingerprint: None, place: place.clone(), service: service.into() })
            }
            _ => Err(Error::unimplemented(format!(
                "{service} has no reference here: `secure_port` in [rpc] or `secure_rpc` in [unix] gives it one"
            ))),
        }
    }
}
