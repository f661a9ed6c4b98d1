//! What a Xen guest has besides: network interfaces that come through xenstore, the toolstack's
//! requests, and a few values that dom0's tools can see.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use flow::task::Spawner;
use machine::xen::control;
use machine::xen::store::Store;
use xen_netfront::{Frontend, Settings, XenNetfront};

/// How long the start waits for a backend: dom0 runs a script for each interface meanwhile.
const BACKEND_LIMIT: Duration = Duration::from_secs(20);

/// This guest's connection to xenstore, and what was found there.
pub(crate) struct Guest {
    store: Store,
    frontends: Vec<Frontend>,
}

impl Guest {
    /// Connects, if the machine is a Xen guest.
    pub(crate) fn find() -> Option<Self> {
        Some(Self { store: Store::connect()?, frontends: Vec::new() })
    }

    /// The connection to xenstore.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Opens the network interfaces that the toolstack gave this guest.
    pub(crate) fn cards(&mut self, settings: &Settings) -> Vec<XenNetfront> {
        let numbers = self.store.block_on(BACKEND_LIMIT, xen_netfront::interfaces(&self.store));
        let numbers = match numbers {
            Some(Ok(numbers)) => numbers,
            Some(Err(error)) => {
                log::error!("no network interfaces: xenstore: {error}");
                return Vec::new();
            }
            None => {
                log::error!("no network interfaces: xenstore does not answer");
                return Vec::new();
            }
        };
        let mut cards = Vec::new();
        for number in numbers {
            let opening = xen_netfront::open(&self.store, number, settings);
            match self.store.block_on(BACKEND_LIMIT, opening) {
                Some(Ok((card, frontend))) => {
                    cards.push(card);
                    self.frontends.push(frontend);
                }
                Some(Err(error)) => log::error!("vif {number} cannot be used: {error}"),
                None => log::error!("vif {number} cannot be used: its backend does not answer"),
            }
        }
        cards
    }

    /// Starts the tasks that the guest needs as long as it runs.
    pub(crate) fn start(&mut self, spawner: &Spawner) {
        for frontend in self.frontends.drain(..) {
            spawner.spawn("xen network", async {
                frontend.run().await;
            });
        }
        let store = self.store.clone();
        spawner.spawn("xen control", async {
            let error = control::serve(store).await;
            log::error!("no requests of the toolstack are taken any more: {error}");
        });
        tell(&self.store, spawner, "state", "running".into());
        tell(&self.store, spawner, "version", env!("CARGO_PKG_VERSION").into());
    }
}

/// Puts a value below `data/aqueduct`, where dom0's tools find it. Nobody depends on it.
fn tell(store: &Store, spawner: &Spawner, name: &str, value: String) {
    let (store, path) = (store.clone(), alloc::format!("data/aqueduct/{name}"));
    spawner.spawn("xen data", async move {
        if let Err(error) = store.write(&path, value.as_bytes()).await {
            log::debug!("{path} is not told: {error}");
        }
    });
}
