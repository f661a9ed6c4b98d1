//! Memory shared with other machines of this host, domains of Xen's or guests of QEMU's: looked at in each turn of the loop,
//! beside cards and disks.

use crate::guest::Guest;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use aqueduct::platform::ListenError;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use config::Config;
use core::time::Duration;
use flow::registry;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Dispatcher, Listeners, Scheme, Target, VchanPlace};
use ivshmem::SharedMemoryDriver;
use shared_region::Limits;
use shared_ring::{BusyPoll, Rings};
use xen_vchan::{Settings, Vchans};

/// All that is shared, where the machine has a way to. Clones are the same.
#[derive(Clone)]
pub(crate) struct SharedMemory {
    way: Option<Way>,
    busy_poll: Rc<BusyPoll>,
}

#[derive(Clone)]
enum Way {
    /// Pages granted to other domains of a Xen host.
    Vchans(Vchans),
    /// A device of QEMU's.
    Device(Rc<SharedMemoryDriver>),
}

impl SharedMemory {
    /// Nothing is shared yet. Of several devices the first that can be used is.
    pub(crate) fn new(
        config: &Config,
        guest: Option<&Guest>,
        spawner: &Spawner,
        timers: &Timers,
    ) -> Self {
        let memory_bytes = machine::memory::usage().total_bytes;
        let SharedMemorySettings {
            connections_max, ring_bytes, busy_poll, connect_timeout, ..
        } = SharedMemorySettings::new(&config.shared_memory, memory_bytes);
        let busy_poll = Rc::new(BusyPoll::new(busy_poll));
        if let Some(guest) = guest {
            let settings = Settings { connections_max, ring_bytes, connect_timeout };
            let vchans = Vchans::new(guest.store(), spawner, timers, settings);
            return Self { way: Some(Way::Vchans(vchans)), busy_poll };
        }
        let limits = Limits { connections_max, ring_bytes };
        let open = |device| match device {
            Ok(device) => Some(SharedMemoryDriver::open(device, Rings::default(), limits, random)),
            Err(error) => {
                log::error!("a device of shared memory cannot be used: {error}");
                None
            }
        };
        let driver = machine::ivshmem::devices().into_iter().find_map(open);
        Self { way: driver.map(|driver| Way::Device(Rc::new(driver))), busy_poll }
    }

    /// Listens for other machines: at a name, or on a Xen host at a path of xenstore, too.
    pub(crate) fn listen(&self, place: &str, backlog: usize) -> Result<Listeners, ListenError> {
        match &self.way {
            Some(Way::Vchans(vchans)) => vchans
                .listen(place, backlog)
                .map(Listeners::new)
                .map_err(|error| ListenError::Other(error.to_string().into())),
            Some(Way::Device(driver)) => {
                driver.region().listen(place, backlog).map(Listeners::new).ok_or(ListenError::InUse)
            }
            None => Err(ListenError::Other(NO_WAY.into())),
        }
    }

    /// The way to what listens by a name on a Xen host, for the registry of services, which puts this domain's number in the
    /// place of 0.
    pub(crate) fn way(&self, place: &str) -> Option<registry::Way> {
        let place: VchanPlace = format!("0/{place}").parse().ok()?;
        let is_name = matches!(self.way, Some(Way::Vchans(_))) && place.name().is_some();
        is_name.then(|| registry::Way::anywhere(Target::Vchan(place)))
    }

    /// Adds what connects to other machines.
    pub(crate) fn with_connector(&self, connectors: Dispatcher) -> Dispatcher {
        match &self.way {
            Some(Way::Vchans(vchans)) => connectors.with(Scheme::Vchan, vchans.connector()),
            Some(Way::Device(driver)) => {
                connectors.with(Scheme::SharedMemory, driver.region().connector())
            }
            None => connectors,
        }
    }

    /// What all flows have together.
    pub(crate) fn rings(&self) -> Option<Rings> {
        Some(match self.way.as_ref()? {
            Way::Vchans(vchans) => vchans.rings().clone(),
            Way::Device(driver) => driver.region().rings().clone(),
        })
    }

    /// Takes in what other machines have told.
    pub(crate) fn ingress(&self, now: Duration) {
        match &self.way {
            Some(Way::Vchans(vchans)) => vchans.poll(now),
            Some(Way::Device(driver)) => driver.ingress(now),
            None => {}
        }
    }

    /// Notifies those who wait for what tasks did since the last call.
    pub(crate) fn egress(&self) {
        match &self.way {
            Some(Way::Vchans(vchans)) => vchans.notify(),
            Some(Way::Device(driver)) => driver.egress(),
            None => {}
        }
    }

    /// Polls for a while what tasks wait for, where that pays, no longer than until `deadline`; whether there is something.
    pub(crate) fn poll(&self, deadline: Option<Duration>) -> bool {
        let Some(rings) = self.rings().filter(Rings::is_awaiting) else { return false };
        let now = machine::clock::now();
        let limit = deadline.map(|deadline| deadline.saturating_sub(now));
        self.busy_poll.poll(&rings, limit, machine::clock::now)
    }

    /// Whether tasks wait for what others do, who are not asked yet to notify this machine.
    pub(crate) fn is_awaiting(&self) -> bool {
        self.rings().is_some_and(|rings| rings.is_awaiting())
    }

    /// The machine slept for so long while tasks waited so.
    pub(crate) fn learn_of_sleep(&self, slept: Duration) {
        self.busy_poll.learn_of_sleep(slept);
    }

    /// Asks the others to notify this machine, and makes ready for that; no, if there is something to do by now.
    pub(crate) fn may_sleep(&self) -> bool {
        match &self.way {
            Some(Way::Vchans(vchans)) => vchans.may_sleep(),
            Some(Way::Device(driver)) => driver.may_sleep(),
            None => true,
        }
    }

    /// When it must be looked at again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match self.way.as_ref()? {
            Way::Vchans(vchans) => vchans.next_deadline(),
            Way::Device(driver) => driver.next_deadline(),
        }
    }
}

const NO_WAY: &str = "this machine shares no memory with others: it is no domain of a Xen host, and has no device for it (QEMU: \
    -device ivshmem-doorbell, docs/shared-memory.md)";

/// A number that nobody guesses.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // No stack starts without a source.
    machine::entropy::fill(&mut bytes)
        .map_err(|error| error.to_string())
        .expect("a source of entropy");
    u32::from_ne_bytes(bytes)
}
