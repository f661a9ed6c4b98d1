//! Xenstore registry: services by name between the guests of one Xen host, by way of xenstore.

use crate::interfaces::Interfaces;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::IpAddr;
use core::time::Duration;
use flow::Target;
use flow::registry::{Answer, Label, Query, Registry, RegistryError, Service};
use flow::time::Timers;
use xen_store::services::{self, Published};
use xen_store::{Error, Store};

/// How often an address is looked for that DHCP has not brought yet.
const PAUSE: Duration = Duration::from_millis(100);

/// The services that all guests of the host share. A host is called what its toolstack calls the
/// domain.
pub(crate) struct XenstoreRegistry {
    store: Store,
    interfaces: Interfaces,
    timers: Timers,
    /// What was registered here.
    own: RefCell<Vec<Service>>,
}

impl XenstoreRegistry {
    pub(crate) fn new(store: Store, interfaces: Interfaces, timers: Timers) -> Self {
        Self { store, interfaces, timers, own: RefCell::default() }
    }

    /// Registers all anew, in a domain that was restored.
    pub(crate) async fn register_again(&self) {
        let own = self.own.borrow().clone();
        for service in &own {
            if let Err(error) = self.publish(service).await {
                log::warn!("{}: not known by name any more: {error}", service.name);
            }
        }
    }

    /// The service as others reach it, once this machine has an address.
    async fn reachable(&self, service: &Service) -> Result<Service, Error> {
        let mut service = service.clone();
        for way in &mut service.ways {
            if let Target::Vchan(place) = &way.target {
                let own = self.store.read_number("domid").await?;
                let place = format!("{own}/{}", place.path()).parse();
                way.target = Target::Vchan(place.map_err(|_| Error::Malformed)?);
            }
        }
        for port in service.own_ports() {
            port.set_ip(self.address().await);
        }
        Ok(service)
    }

    async fn address(&self) -> IpAddr {
        loop {
            if let Some(own) = self.interfaces.address() {
                return own;
            }
            self.timers.sleep(PAUSE).await;
        }
    }

    async fn publish(&self, service: &Service) -> Result<(), Error> {
        let name = self.store.read_text("name").await?;
        let host = name.parse::<Label>().unwrap_or_else(|_| service.host.clone());
        let value = self.reachable(service).await?.description().to_string();
        services::publish(&self.store, service.name.as_str(), host.as_str(), &value).await
    }

    async fn find(&self, query: &Query) -> Result<Vec<Service>, Error> {
        let found = services::published(&self.store, query.name.as_str()).await?;
        let services = found.iter().filter_map(|published| service(&query.name, published));
        Ok(services.filter(|service| query.matches(service)).collect())
    }
}

/// What a domain has published, if it is a service.
fn service(name: &Label, published: &Published) -> Option<Service> {
    let host = published.host.parse().ok()?;
    Service::described(name.clone(), host, &published.value).ok()
}

impl Registry for XenstoreRegistry {
    fn register<'a>(&'a self, service: &'a Service) -> Answer<'a, ()> {
        Box::pin(async move {
            self.own.borrow_mut().retain(|own| own.name != service.name);
            self.own.borrow_mut().push(service.clone());
            self.publish(service).await.map_err(told)
        })
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>> {
        Box::pin(async move { self.find(query).await.map_err(told) })
    }

    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>> {
        Box::pin(async move {
            let mut watch = services::watch(&self.store).await.map_err(told)?;
            loop {
                // The first event comes at once.
                watch.changed().await.map_err(told)?;
                let found = self.find(query).await.map_err(told)?;
                if found != known {
                    return Ok(found);
                }
            }
        })
    }
}

fn told(error: Error) -> RegistryError {
    match error {
        Error::NotPermitted | Error::NoSpace | Error::Refused => RegistryError::Denied,
        _ => RegistryError::Unavailable,
    }
}
