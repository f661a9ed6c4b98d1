//! Xen guest: what a machine has besides under Xen, which is network interfaces and disks that come through xenstore, the
//! toolstack's requests, and a few values that dom0's tools can see.

use crate::interfaces::Interfaces;
use crate::status::Status;
use crate::xenstore_registry::XenstoreRegistry;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;
use flow::task::Spawner;
#[cfg(feature = "disk")]
use flow::time::Timers;
#[cfg(feature = "disk")]
use xen_blkfront::{Vbd, XenBlkfront};
use xen_netfront::{Frontend, Interface, Settings, XenNetfront};
use xen_store::control;
use xen_store::{Error, Store};

/// How long the start waits for xenstore, and for each backend: dom0 runs a script for each interface
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interfaces of one guest, with those that were taken away: each has memory of its own for good,
/// for it may come back.
const INTERFACES_MAX: usize = 8;
const TOO_MANY: &str = "there are too many already";
/// Disks of one guest: each has memory of its own.
#[cfg(feature = "disk")]
const DISKS_MAX: usize = 8;

/// This guest's connection to xenstore, and what was found there.
pub(crate) struct Guest {
    store: Store,
    settings: Settings,
    known: xen_netfront::Interfaces,
    frontends: Vec<Frontend>,
    /// Interfaces whose backends did not answer in time.
    late: Vec<Interface>,
    #[cfg(feature = "disk")]
    disks: Vec<xen_blkfront::Frontend>,
}

impl Guest {
    /// Connects, if the machine is a Xen guest.
    pub(crate) fn find(settings: Settings) -> Result<Option<Self>, String> {
        let Some(store) = Store::connect() else { return Ok(None) };
        let known = wait(&store, xen_netfront::Interfaces::new(&store))?;
        Ok(Some(Self {
            store,
            settings,
            known,
            frontends: Vec::new(),
            late: Vec::new(),
            #[cfg(feature = "disk")]
            disks: Vec::new(),
        }))
    }

    /// The connection to xenstore.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Opens the network interfaces that the guest has at its start.
    pub(crate) fn cards(&mut self) -> Result<Vec<XenNetfront>, String> {
        let store = self.store.clone();
        let mut cards = Vec::new();
        let interfaces = wait(&store, self.known.fresh())?;
        for interface in interfaces.iter().skip(INTERFACES_MAX) {
            refuse(interface, &TOO_MANY);
        }
        for interface in interfaces.into_iter().take(INTERFACES_MAX) {
            let opening = xen_netfront::open(&store, &interface, &self.settings);
            match store.block_on(PATIENCE, opening) {
                Some(Ok((card, frontend))) => {
                    cards.push(card);
                    self.frontends.push(frontend);
                }
                Some(Err(error)) => refuse(&interface, &error),
                None => self.late.push(interface),
            }
        }
        Ok(cards)
    }

    /// Opens the disks that the guest has, in the order of their numbers. One that cannot be used keeps its place.
    #[cfg(feature = "disk")]
    pub(crate) fn disks(&mut self) -> Vec<XenBlkfront> {
        let ram_bytes = machine::memory::usage().total_bytes as u64;
        let settings = xen_blkfront::Settings::for_ram(ram_bytes);
        let vbds = wait(&self.store, xen_blkfront::list(&self.store)).unwrap_or_else(|error| {
            log::error!("no disks: {error}");
            Vec::new()
        });
        for vbd in vbds.iter().skip(DISKS_MAX) {
            log::error!("vbd {}: there are too many already", vbd.number);
        }
        vbds.iter().take(DISKS_MAX).map(|vbd| self.disk(vbd, &settings)).collect()
    }

    #[cfg(feature = "disk")]
    fn disk(&mut self, vbd: &Vbd, settings: &xen_blkfront::Settings) -> XenBlkfront {
        let opening = xen_blkfront::open(&self.store, vbd, settings);
        let opened = self.store.block_on(PATIENCE, opening);
        match opened.unwrap_or(Err(xen_blkfront::Error::TimedOut)) {
            Ok((disk, frontend)) => {
                self.disks.push(frontend);
                disk
            }
            Err(error) => {
                let _ = self.store.block_on(PATIENCE, vbd.refuse(&self.store));
                XenBlkfront::unusable(vbd, error)
            }
        }
    }

    /// Has the disks follow their backends.
    #[cfg(feature = "disk")]
    pub(crate) fn start_disks(&mut self, spawner: &Spawner, timers: &Timers) {
        for frontend in self.disks.drain(..) {
            let timers = timers.clone();
            spawner.spawn("xen disk", async move { frontend.run(&timers).await });
        }
    }

    /// Starts the tasks that the guest needs as long as it runs.
    pub(crate) fn start(
        self,
        spawner: &Spawner,
        interfaces: &Interfaces,
        names: &Rc<XenstoreRegistry>,
    ) {
        let Self { store, settings, known, frontends, late, .. } = self;
        for frontend in frontends {
            spawner.spawn("xen network", async {
                frontend.run().await;
            });
        }
        let arrivals = Arrivals {
            store: store.clone(),
            settings,
            interfaces: interfaces.clone(),
            spawner: spawner.clone(),
        };
        for interface in late {
            log::warn!("vif {}: its backend does not answer yet", interface.number);
            arrivals.open(interface);
        }
        spawner.spawn("xen interfaces", async {
            let error = arrivals.attend(known).await;
            log::error!("no interfaces are added any more: xenstore: {error}");
        });
        let status = interfaces.status();
        spawner.spawn("xen data", tell(store.clone(), status.clone()));
        // A restored domain has a folder of its own in xenstore, in which we have told nothing yet.
        let (tasks, names) = (spawner.clone(), names.clone());
        let restored = move || {
            status.tell_again();
            let names = names.clone();
            tasks.spawn("registry", async move { names.register_again().await });
        };
        spawner.spawn("xen control", async {
            let error = control::serve(store, restored).await;
            log::error!("no requests of the toolstack are taken any more: {error}");
        });
    }
}

/// Waits for something at the start, when nothing else runs.
fn wait<T, E: Display>(
    store: &Store,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match store.block_on(PATIENCE, what) {
        Some(outcome) => outcome.map_err(|error| format!("xenstore: {error}")),
        None => Err("dom0 does not answer".into()),
    }
}

fn refuse(interface: &Interface, reason: &dyn Display) {
    log::error!("vif {} cannot be used: {reason}", interface.number);
}

/// Interfaces that the toolstack adds while the guest runs.
struct Arrivals {
    store: Store,
    settings: Settings,
    interfaces: Interfaces,
    spawner: Spawner,
}

impl Arrivals {
    /// Opens those that come; returns only when xenstore fails for good.
    async fn attend(self, mut known: xen_netfront::Interfaces) -> Error {
        let mut count = self.interfaces.count();
        loop {
            match known.more().await {
                Ok(interfaces) => {
                    for interface in interfaces {
                        count += 1;
                        if count > INTERFACES_MAX {
                            refuse(&interface, &TOO_MANY);
                        } else {
                            self.open(interface);
                        }
                    }
                }
                // The daemon is there again; its watches tell anew.
                Err(Error::Disconnected) => {}
                Err(error) => return error,
            }
        }
    }

    /// Starts the task that opens an interface and then serves it.
    fn open(&self, interface: Interface) {
        let (store, settings) = (self.store.clone(), self.settings);
        let interfaces = self.interfaces.clone();
        self.spawner.spawn("xen network", async move {
            match xen_netfront::open(&store, &interface, &settings).await {
                Ok((card, frontend)) => match interfaces.add(card) {
                    Ok(()) => drop(frontend.run().await),
                    Err(error) => refuse(&interface, &error),
                },
                Err(error) => refuse(&interface, &error),
            }
        });
    }
}

/// Keeps what dom0's tools find up to date: `data/aqueduct`, and what XenServer and XCP-ng show of a guest. Nobody depends
/// on it, and a toolstack may not have made the nodes for us to write.
async fn tell(store: Store, status: Status) {
    let mut told: Vec<String> = Vec::new();
    loop {
        tell_system(&store).await;
        let mut nodes: Vec<_> = status.values().into();
        nodes.push(("version", env!("CARGO_PKG_VERSION").into()));
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .map(|(name, value)| (format!("data/aqueduct/{name}"), value))
            .collect();
        let addresses = addresses(&store, &status).await;
        for gone in told.iter().filter(|path| !addresses.iter().any(|(now, _)| now == *path)) {
            let _ = store.remove(gone).await;
        }
        told = addresses.iter().map(|(path, _)| path.clone()).collect();
        nodes.extend(addresses);
        let memory = machine::memory::usage();
        let free = memory.total_bytes - memory.used_bytes;
        for (name, bytes) in [("meminfo_total", memory.total_bytes), ("meminfo_free", free)] {
            nodes.push((format!("data/{name}"), (bytes >> 10).to_string()));
        }
        // Says that the others are new.
        nodes.push(("data/updated".into(), "1".into()));
        if let Err(error) = store.write_each(&nodes).await {
            log::debug!("not all is told to dom0: {error}");
        }
        status.changed().await;
    }
}

/// `attr/vif/N/ipv4/M` and `ipv6/M`, by the number that each interface has now.
async fn addresses(store: &Store, status: &Status) -> Vec<(String, String)> {
    let mut nodes = Vec::new();
    for interface in xen_netfront::Interfaces::now(store).await.unwrap_or_default() {
        let (mut ipv4, mut ipv6) = (0, 0);
        for address in status.addresses(interface.mac) {
            let (family, count) =
                if address.is_ipv4() { ("ipv4", &mut ipv4) } else { ("ipv6", &mut ipv6) };
            let path = format!("attr/vif/{}/{family}/{count}", interface.number);
            nodes.push((path, address.to_string()));
            *count += 1;
        }
    }
    nodes
}

/// Which system this is: as XenServer's and XCP-ng's guest agents do.
async fn tell_system(store: &Store) {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const NODES: [(&str, &str); 9] = [
        ("attr/PVAddons/Installed", "1"),
        ("attr/PVAddons/MajorVersion", env!("CARGO_PKG_VERSION_MAJOR")),
        ("attr/PVAddons/MinorVersion", env!("CARGO_PKG_VERSION_MINOR")),
        ("attr/PVAddons/MicroVersion", env!("CARGO_PKG_VERSION_PATCH")),
        ("data/os_name", concat!("Aqueduct ", env!("CARGO_PKG_VERSION"))),
        ("data/os_distro", "aqueduct"),
        ("data/os_uname", VERSION),
        ("data/os_majorver", env!("CARGO_PKG_VERSION_MAJOR")),
        ("data/os_minorver", env!("CARGO_PKG_VERSION_MINOR")),
    ];
    let _ = store.write_each(&NODES.map(|(path, value)| (path.into(), value.into()))).await;
}
