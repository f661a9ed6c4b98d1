//! Memory shared with other domains of a Xen host: looked at in each turn of the loop, beside the cards.

use crate::guest::Guest;
use alloc::string::ToString;
use aqueduct::platform::ListenError;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use config::Config;
use core::time::Duration;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Dispatcher, Listeners, Scheme};
use shared_ring::Rings;
use xen_vchan::{Settings, Vchans};

/// All that is shared, if the machine is a Xen guest. Clones are the same.
#[derive(Clone)]
pub(crate) struct SharedMemory(Option<Vchans>);

impl SharedMemory {
    /// Nothing is shared yet.
    pub(crate) fn new(
        config: &Config,
        guest: Option<&Guest>,
        spawner: &Spawner,
        timers: &Timers,
    ) -> Self {
        let memory_bytes = machine::memory::usage().total_bytes;
        let SharedMemorySettings { connections_max, ring_bytes, .. } =
            SharedMemorySettings::new(&config.shared_memory, memory_bytes);
        let settings = Settings { connections_max, ring_bytes };
        Self(guest.map(|guest| Vchans::new(guest.store(), spawner, timers, settings)))
    }

    /// Listens for other domains, by a name or at a path of xenstore.
    pub(crate) fn listen(&self, place: &str, backlog: usize) -> Result<Listeners, ListenError> {
        let Some(vchans) = &self.0 else { return Err(ListenError::Other(NO_XEN.into())) };
        let listener = vchans.listen(place, backlog);
        listener.map(Listeners::new).map_err(|error| ListenError::Other(error.to_string().into()))
    }

    /// Adds what connects to other domains.
    pub(crate) fn add_to(&self, connectors: Dispatcher) -> Dispatcher {
        match &self.0 {
            Some(vchans) => connectors.with(Scheme::Vchan, vchans.connector()),
            None => connectors,
        }
    }

    /// What all flows have together.
    pub(crate) fn rings(&self) -> Option<Rings> {
        self.0.as_ref().map(|vchans| vchans.rings().clone())
    }

    /// Takes in what the other domains have told.
    pub(crate) fn ingress(&self, now: Duration) {
        if let Some(vchans) = &self.0 {
            vchans.poll(now);
        }
    }

    /// Notifies the other domains of what tasks did since the last call.
    pub(crate) fn egress(&self) {
        if let Some(vchans) = &self.0 {
            vchans.flush();
        }
    }

    /// When it must be looked at again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.0.as_ref()?.next_deadline()
    }
}

const NO_XEN: &str = "an image shares memory with other domains of a Xen host alone";
