//! Sockets for the host: their device is driven in each turn of the loop, beside cards and disks.

use alloc::rc::Rc;
use aqueduct::settings::vsock::VsockSettings;
use config::Config;
use core::cell::RefCell;
use core::time::Duration;
use machine::virtio::{self, Kind};
use virtio_vsock::{Settings, VirtioVsock};
use vsock::VsockNetwork;

/// The machine's socket device, if it has one. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Sockets(Option<Device>);

#[derive(Clone)]
struct Device {
    driver: Rc<RefCell<VirtioVsock>>,
    network: VsockNetwork,
}

impl Sockets {
    /// Finds it. Of several, which no host has, the first that can be used is.
    pub(crate) fn open(config: &Config) -> Self {
        let memory_bytes = machine::memory::usage().total_bytes;
        let settings = Settings::for_ram(memory_bytes as u64);
        let VsockSettings { limits, .. } = VsockSettings::new(&config.vsock, memory_bytes);
        let open = |device| match VirtioVsock::open(device, &settings, limits) {
            Ok(driver) => Some(driver),
            Err(error) => {
                log::error!("a socket device cannot be used: {error:?}");
                None
            }
        };
        let driver = virtio::devices(Kind::Socket).into_iter().find_map(open);
        Self(driver.map(|driver| {
            let network = driver.network().clone();
            network.catch_panics(machine_runtime::catch_panic);
            Device { driver: Rc::new(RefCell::new(driver)), network }
        }))
    }

    /// Where flows come from.
    pub(crate) fn network(&self) -> Option<VsockNetwork> {
        self.0.as_ref().map(|device| device.network.clone())
    }

    /// Takes in what arrived; whether more waits.
    pub(crate) fn ingress(&self, now: Duration) -> bool {
        self.0.as_ref().is_some_and(|device| device.driver.borrow_mut().ingress(now))
    }

    /// Sends what tasks wrote since the last call.
    pub(crate) fn egress(&self, now: Duration) {
        if let Some(device) = &self.0 {
            device.driver.borrow_mut().egress(now);
        }
    }

    /// Turns its interrupts on; false when there is something to do already.
    pub(crate) fn prepare_to_wait(&self) -> bool {
        self.0.as_ref().is_none_or(|device| device.driver.borrow_mut().prepare_to_wait())
    }

    /// When it must be looked at again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.0.as_ref()?.network.next_deadline()
    }

    /// Connections whose last bytes are still on their way.
    pub(crate) fn undelivered(&self) -> usize {
        self.0.as_ref().map_or(0, |device| device.network.undelivered())
    }
}
