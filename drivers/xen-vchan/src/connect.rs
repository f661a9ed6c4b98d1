//! Connector: opens flows to other domains, by the name of what listens there, or to what is offered at a path of xenstore.

use crate::meeting::{self, Request};
use crate::offer::{self, Error, Found};
use crate::{Inner, VchanFlow, Vchans};
use alloc::format;
use alloc::string::String;
use flow::{ConnectError, Connector, Target, VchanPlace};
use machine::xen::DomainId;
use xen_store::{Error as StoreError, Watch};

/// Opens flows to other domains of this host.
#[derive(Clone)]
pub struct VchanConnector(Vchans);

impl Vchans {
    /// What opens flows to targets of the scheme `vchan`.
    pub fn connector(&self) -> VchanConnector {
        VchanConnector(self.clone())
    }

    async fn connect(&self, place: &VchanPlace) -> Result<VchanFlow, Failure> {
        match place.name() {
            Some(name) => self.ask(place.domain(), name).await,
            None => {
                let path = format!("/{}", place.path());
                let mut changes = self.0.store.watch(&path).await?;
                self.join_when_offered(&mut changes, place.domain(), &path).await
            }
        }
    }

    /// Asks a listener for a connection.
    async fn ask(&self, server: DomainId, name: &str) -> Result<VchanFlow, Failure> {
        let store = &self.0.store;
        store.read(&meeting::service_seen(server, name)).await?;
        let own = store.read_number("domid").await?;
        let client = DomainId::try_from(own).map_err(|_| StoreError::Malformed)?;
        let number = self.0.requests.get();
        self.0.requests.set(number + 1);
        let request = Request { client, server, name: name.into(), number };
        let answer = request.answer_seen();
        let mut changes = store.watch(&answer).await?;
        offer::show_to(store, own, server, &meeting::folder_to(server)).await?;
        let asked = Asked { vchans: self.clone(), node: request.node() };
        store.write(&asked.node, b"").await?;
        self.join_when_offered(&mut changes, server, &answer).await
    }

    /// Waits for an offer at a path and takes it. One that is not there any more was another's.
    async fn join_when_offered(
        &self,
        changes: &mut Watch,
        server: DomainId,
        path: &str,
    ) -> Result<VchanFlow, Failure> {
        let store = &self.0.store;
        loop {
            changes.changed().await?;
            let offered = match Found::read(store, path).await? {
                Found::Nothing => continue,
                Found::Refused => return Err(Failure::Refused),
                Found::Offered(offered) => offered,
            };
            let place = self.take_place(None).ok_or(Error::NoPlace)?;
            match self.join(server, offered, place) {
                Ok(flow) => return Ok(flow),
                Err(error @ (Error::Map(_) | Error::Channel | Error::Geometry)) => {
                    log::debug!("vchan: {path} of domain {server}: {error}");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Connector for VchanConnector {
    type Flow = VchanFlow;

    async fn connect(&self, target: &Target) -> Result<VchanFlow, ConnectError> {
        let Target::Vchan(place) = target else { return Err(ConnectError::Unsupported) };
        let Inner { timers, settings, .. } = &*self.0.0;
        let deadline = timers.now().saturating_add(settings.connect_timeout);
        match timers.before(deadline, self.0.connect(place)).await {
            Ok(Ok(flow)) => Ok(flow),
            Ok(Err(failure)) => {
                log::debug!("{target}: {failure:?}");
                Err(failure.meaning())
            }
            Err(_) => Err(ConnectError::TimedOut),
        }
    }
}

/// A request that stands in xenstore until this is dropped.
struct Asked {
    vchans: Vchans,
    node: String,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let inner = &self.vchans.0;
        let (store, node) = (inner.store.clone(), core::mem::take(&mut self.node));
        // If it fails, the node is gone with the connection to xenstore, or it is not noticed by the other domain any more.
        inner.spawner.spawn("vchan request", async move {
            let _ = store.remove(&node).await;
        });
    }
}

/// Why no flow was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Here.
    Own(Error),
    /// The other domain has no place.
    Refused,
}

impl Failure {
    fn meaning(self) -> ConnectError {
        match self {
            Self::Refused | Self::Own(Error::NoPlace | Error::OutOfMemory) => {
                ConnectError::Exhausted
            }
            // Nobody listens by that name, as far as that is for us to know.
            Self::Own(Error::Store(StoreError::NotFound | StoreError::NotPermitted)) => {
                ConnectError::NotFound
            }
            Self::Own(Error::Store(StoreError::NoSpace)) => ConnectError::Exhausted,
            Self::Own(_) => ConnectError::Unreachable,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Own(Error::Store(error))
    }
}
