//! Memory that guests of one host share: its device is driven in each turn of the loop, beside cards and disks.

use alloc::rc::Rc;
use alloc::string::ToString;
use aqueduct::platform::ListenError;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use config::Config;
use core::time::Duration;
use flow::{Dispatcher, Listeners, Scheme};
use ivshmem::SharedMemoryDriver;
use shared_region::Limits;
use shared_ring::Rings;

/// The machine's device of shared memory, if it has one. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SharedMemory(Option<Rc<SharedMemoryDriver>>);

impl SharedMemory {
    /// Finds it. Of several the first that can be used is.
    pub(crate) fn open(config: &Config) -> Self {
        let memory_bytes = machine::memory::usage().total_bytes;
        let settings = SharedMemorySettings::new(&config.shared_memory, memory_bytes);
        let SharedMemorySettings { connections_max, ring_bytes, .. } = settings;
        let limits = Limits { connections_max, ring_bytes };
        let open = |device| match device {
            Ok(device) => Some(SharedMemoryDriver::open(device, Rings::default(), limits, random)),
            Err(error) => {
                log::error!("a device of shared memory cannot be used: {error}");
                None
            }
        };
        Self(machine::ivshmem::devices().into_iter().find_map(open).map(Rc::new))
    }

    /// Listens at a name.
    pub(crate) fn listen(&self, name: &str, backlog: usize) -> Result<Listeners, ListenError> {
        let Some(driver) = &self.0 else { return Err(ListenError::Other(NO_DEVICE.into())) };
        let listener = driver.region().listen(name, backlog);
        listener.map(Listeners::new).ok_or(ListenError::InUse)
    }

    /// Adds what opens flows to other guests.
    pub(crate) fn with_connector(&self, connectors: Dispatcher) -> Dispatcher {
        match &self.0 {
            Some(driver) => connectors.with(Scheme::SharedMemory, driver.region().connector()),
            None => connectors,
        }
    }

    /// The flows.
    pub(crate) fn rings(&self) -> Option<Rings> {
        self.0.as_ref().map(|driver| driver.region().rings().clone())
    }

    /// Takes in what other guests did.
    pub(crate) fn ingress(&self, now: Duration) {
        if let Some(driver) = &self.0 {
            driver.ingress(now);
        }
    }

    /// Rings at those who wait for what tasks did since the last call.
    pub(crate) fn egress(&self) {
        if let Some(driver) = &self.0 {
            driver.egress();
        }
    }

    /// Makes ready to be woken; false when there is something to do already.
    pub(crate) fn prepare_to_wait(&self) -> bool {
        self.0.as_ref().is_none_or(|driver| driver.prepare_to_wait())
    }

    /// When it must be looked at again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.0.as_ref()?.next_deadline()
    }
}

const NO_DEVICE: &str = "this machine shares no memory with others (QEMU: -device ivshmem-doorbell, docs/shared-memory.md)";

/// A number that nobody guesses.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // No stack starts without a source.
    machine::entropy::fill(&mut bytes)
        .map_err(|error| error.to_string())
        .expect("a source of entropy");
    u32::from_ne_bytes(bytes)
}
