//! Network interfaces: the machine's cards, each with a stack of its own, as one platform.

use crate::address_monitor::{AddressMonitor, Look};
#[cfg(feature = "disk")]
use crate::disks::Disks;
use crate::guest::Guest;
#[cfg(feature = "vsock")]
use crate::no_card::NoCard;
#[cfg(feature = "shared-memory")]
use crate::shared_memory::SharedMemory;
#[cfg(feature = "vsock")]
use crate::sockets::Sockets;
use crate::status::{InterfaceStatus, Status};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use aqueduct::platform::{Driver, ListenError, MemoryUse, Platform, Profiling};
use aqueduct::settings::network;
use aqueduct::turn_watch::TurnWatch;
use config::Config;
use core::cell::RefCell;
use core::net::IpAddr;
use core::time::Duration;
#[cfg(feature = "shared-memory")]
use flow::registry::Way;
use flow::time::earlier;
#[cfg(feature = "shared-memory")]
use flow::{Dispatcher, Listeners};
use machine::virtio::{self, Kind};
use net::device::NetDevice;
use net::{Stack, TcpConnector, TcpListener};
use virtio_net::{Settings, VirtioNet};
use xen_netfront::XenNetfront;
use xen_store::Store;

/// All interfaces. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Interfaces {
    interfaces: Rc<RefCell<Vec<Interface>>>,
    config: Rc<net::Config>,
    status: Status,
    turns: TurnWatch,
    /// xenstore moves with the network, where there is one.
    store: Option<Store>,
    /// So do disks.
    #[cfg(feature = "disk")]
    disks: Disks,
    /// And sockets for the host.
    #[cfg(feature = "vsock")]
    sockets: Sockets,
    /// And memory shared with other machines.
    #[cfg(feature = "shared-memory")]
    shared_memory: SharedMemory,
}

/// A card's stack, and the monitor of its addresses.
struct Interface {
    mac: [u8; 6],
    stack: Stack,
    monitor: AddressMonitor,
}

impl Interfaces {
    /// Finds the cards and starts a stack on each.
    pub(crate) fn open(
        config: &Config,
        guest: Option<&mut Guest>,
        #[cfg(feature = "disk")] disks: &Disks,
        #[cfg(feature = "shared-memory")] shared_memory: &SharedMemory,
    ) -> Result<Self, String> {
        let interfaces = Self {
            interfaces: Rc::default(),
            config: Rc::new(network::stack_config(config, machine::memory::usage().total_bytes)),
            status: Status::default(),
            turns: TurnWatch::default(),
            store: guest.as_ref().map(|guest| guest.store().clone()),
            #[cfg(feature = "disk")]
            disks: disks.clone(),
            #[cfg(feature = "vsock")]
            sockets: Sockets::open(config),
            #[cfg(feature = "shared-memory")]
            shared_memory: shared_memory.clone(),
        };
        let settings = Settings::for_ram(machine::memory::usage().total_bytes as u64);
        for device in virtio::devices(Kind::Network) {
            match VirtioNet::open(device, &settings) {
                Ok(card) => {
                    let mac = card.mac();
                    interfaces.start(card, mac)?;
                }
                Err(error) => log::error!("a network card cannot be used: {error:?}"),
            }
        }
        for card in guest.map_or(Ok(Vec::new()), Guest::cards)? {
            interfaces.add(card)?;
        }
        if interfaces.count() == 0 {
            interfaces.do_without_card(config)?;
        }
        Ok(interfaces)
    }

    /// The host's sockets may be all that services are asked by.
    #[cfg(feature = "vsock")]
    fn do_without_card(&self, config: &Config) -> Result<(), String> {
        let found = no_card(&virtio::unusable_cards());
        if self.sockets.network().is_none() || config.vsock.ports().next().is_none() {
            return Err(found);
        }
        log::warn!("{found}; only this machine's host reaches it, by [vsock]");
        self.start(NoCard, [0; 6])
    }

    #[cfg(not(feature = "vsock"))]
    fn do_without_card(&self, _: &Config) -> Result<(), String> {
        Err(no_card(&virtio::unusable_cards()))
    }

    /// Starts a stack on a card of Xen's, which serves what those before it serve.
    pub(crate) fn add(&self, card: XenNetfront) -> Result<(), String> {
        let mac = card.mac();
        self.start(card, mac)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.interfaces.borrow().len()
    }

    /// The first address that others may reach us at.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let interfaces = self.interfaces.borrow();
        let mut all =
            interfaces.iter().flat_map(|interface| interface.stack.addresses()).map(|(own, _)| own);
        all.find(|own| match own {
            IpAddr::V4(own) => !own.is_link_local(),
            IpAddr::V6(own) => !own.is_unicast_link_local(),
        })
    }

    /// What is said of them.
    pub(crate) fn status(&self) -> Status {
        self.status.clone()
    }

    fn start(&self, card: impl NetDevice + 'static, mac: [u8; 6]) -> Result<(), String> {
        let mut stack = stack(card, mac, &self.config)?;
        let mut interfaces = self.interfaces.borrow_mut();
        if let Some(first) = interfaces.first() {
            stack.listen_as(&first.stack);
        }
        if let Some(same) = interfaces.iter().position(|interface| interface.mac == mac) {
            let number = interfaces.len();
            log::warn!(
                "card {number} has the hardware address of card {same}; on one network a switch finds only one of them"
            );
        }
        interfaces.push(Interface {
            mac,
            stack,
            monitor: AddressMonitor::new(machine::clock::now()),
        });
        Ok(())
    }
}

impl Driver for Interfaces {
    fn now(&self) -> Duration {
        machine::clock::now()
    }

    fn ingress(&mut self, now: Duration) -> bool {
        self.turns.begins(now);
        machine::console::pump_sometimes(now);
        let mut more = self.store.as_ref().is_some_and(Store::poll);
        #[cfg(feature = "disk")]
        self.disks.poll();
        #[cfg(feature = "vsock")]
        {
            more |= self.sockets.ingress(now);
        }
        #[cfg(feature = "shared-memory")]
        self.shared_memory.ingress(now);
        for interface in self.interfaces.borrow_mut().iter_mut() {
            more |= interface.stack.ingress(now);
        }
        more
    }

    fn egress(&mut self, now: Duration) {
        #[cfg(feature = "disk")]
        self.disks.flush();
        #[cfg(feature = "vsock")]
        self.sockets.egress(now);
        #[cfg(feature = "shared-memory")]
        self.shared_memory.egress();
        for interface in self.interfaces.borrow_mut().iter_mut() {
            interface.stack.egress(now);
        }
    }

    fn undelivered(&self) -> usize {
        let interfaces = self.interfaces.borrow();
        let of_cards: usize =
            interfaces.iter().map(|interface| interface.stack.undelivered()).sum();
        #[cfg(feature = "vsock")]
        let of_cards = of_cards + self.sockets.undelivered();
        of_cards
    }

    fn stop_requested(&mut self) -> bool {
        let requested = machine::power::stop_requested();
        if requested {
            self.status.set_stopping();
        }
        requested
    }

    fn task_log_requested(&mut self) -> bool {
        self.turns.take_stall()
    }

    fn wait(&mut self, deadline: Option<Duration>) {
        #[cfg(feature = "disk")]
        if !self.disks.prepare_to_wait() {
            return;
        }
        #[cfg(feature = "vsock")]
        if !self.sockets.prepare_to_wait() {
            return;
        }
        #[cfg(feature = "vsock")]
        let deadline = earlier(deadline, self.sockets.next_deadline());
        #[cfg(feature = "shared-memory")]
        let deadline = earlier(deadline, self.shared_memory.next_deadline());
        #[cfg(feature = "shared-memory")]
        let awaits = self.shared_memory.is_awaiting();
        #[cfg(feature = "shared-memory")]
        if self.shared_memory.poll(deadline) || !self.shared_memory.may_sleep() {
            return;
        }
        let now = machine::clock::now();
        self.turns.ends(now);
        let mut deadline = deadline;
        let mut changed = false;
        let mut interfaces = self.interfaces.borrow_mut();
        for (number, Interface { stack, monitor, .. }) in interfaces.iter_mut().enumerate() {
            if !stack.prepare_to_wait() {
                return;
            }
            deadline = earlier(deadline, stack.next_deadline());
            match monitor.look(now, number, stack) {
                Look::Later(then) => deadline = earlier(deadline, Some(then)),
                Look::Same => {}
                Look::Changed => changed = true,
            }
        }
        if changed {
            // Whoever passes it on has work to do before we wait.
            let status = |Interface { mac, monitor, .. }: &Interface| InterfaceStatus {
                mac: *mac,
                addresses: monitor.addresses().to_vec(),
            };
            return self.status.set_interfaces(interfaces.iter().map(status).collect());
        }
        machine::idle::wait(deadline);
        #[cfg(feature = "shared-memory")]
        if awaits {
            self.shared_memory.learn_of_sleep(machine::clock::now().saturating_sub(now));
        }
    }
}

impl Platform for Interfaces {
    type Listener = TcpListener;
    type Connector = TcpConnector;

    fn listen(&self, port: u16, _backlog: usize) -> Result<TcpListener, ListenError> {
        let mut interfaces = self.interfaces.borrow_mut();
        let (first, others) = interfaces
            .split_first_mut()
            .ok_or(ListenError::Other("there is no network card".into()))?;
        let listener = first.stack.listen(port).ok_or(ListenError::InUse)?;
        if others.iter_mut().all(|interface| interface.stack.listen_on(&listener)) {
            Ok(listener)
        } else {
            Err(ListenError::InUse)
        }
    }

    #[cfg(feature = "vsock")]
    fn vsock(&self) -> Option<vsock::VsockNetwork> {
        self.sockets.network()
    }

    #[cfg(feature = "shared-memory")]
    fn listen_at(&self, path: &str, backlog: usize) -> Result<Listeners, ListenError> {
        self.shared_memory.listen(path, backlog)
    }

    #[cfg(feature = "shared-memory")]
    fn with_shared_memory(&self, connectors: Dispatcher) -> Dispatcher {
        self.shared_memory.with_connector(connectors)
    }

    #[cfg(feature = "shared-memory")]
    fn shared_memory_way(&self, path: &str) -> Option<Way> {
        self.shared_memory.way(path)
    }

    #[cfg(feature = "shared-memory")]
    fn shared_memory(&self) -> Option<shared_ring::Rings> {
        self.shared_memory.rings()
    }

    /// Connections go out through the first card.
    fn connector(&self) -> TcpConnector {
        self.interfaces.borrow()[0].stack.connector()
    }

    fn wall_clock(&self) -> Duration {
        machine::clock::wall()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        // No stack starts without a source.
        machine::entropy::fill(bytes).expect("a source of entropy, as at the start");
    }

    fn memory_bytes(&self) -> usize {
        machine::memory::usage().total_bytes
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        let machine::memory::Usage { used_bytes, total_bytes } = machine::memory::usage();
        Some(MemoryUse { used_bytes, total_bytes })
    }

    fn clock(&self) -> Option<fn() -> Duration> {
        Some(machine::clock::now)
    }

    fn profile(&self, hertz: u32) -> Option<Box<dyn Profiling>> {
        crate::profiler::start(hertz)
    }

    fn visit_stacks(&self, visit: &mut dyn FnMut(usize, &Stack)) {
        for (card, interface) in self.interfaces.borrow().iter().enumerate() {
            visit(card, &interface.stack);
        }
    }
}

/// What was found instead of a card, and how to mend that.
fn no_card(found: &[String]) -> String {
    let found = if found.is_empty() { "none at all".into() } else { found.join("; ") };
    format!(
        "no network card that this image can drive, which are virtio-net and Xen's; found: {found}"
    )
}

fn stack(
    card: impl NetDevice + 'static,
    mac: [u8; 6],
    config: &net::Config,
) -> Result<Stack, String> {
    let mut seed = [0; 64];
    machine::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
    let mut address = mac;
    if address == [0; 6] {
        // Locally administered, unicast (IEEE 802, section 8.2).
        address.copy_from_slice(&seed[..6]);
        address[0] = address[0] & 0xfc | 2;
        machine::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
    }
    let mut stack = Stack::new(card, config, address, seed, machine::clock::now());
    stack.catch_panics(machine_runtime::catch_panic);
    Ok(stack)
}
