//! The machine's network cards, each with a stack of its own, as one platform.

use crate::guest::Guest;
use crate::trials;
use crate::virtio_card::VirtioCard;
use crate::watch::Watch;
use crate::xen_card::XenCard;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use aqueduct::network;
use aqueduct::platform::{Driver, ListenError, Platform};
use config::Config;
use core::cell::RefCell;
use core::time::Duration;
use endpoints::http::Routes;
use flow::task::Spawner;
use flow::time::earlier;
use machine::virtio::{self, Kind};
use machine::xen::store::Store;
use net::{Card, Stack, TcpConnector, TcpListener};
use virtio_net::{Settings, VirtioNet};

/// All interfaces. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Interfaces {
    stacks: Rc<RefCell<Vec<Stack>>>,
    watches: Rc<RefCell<Vec<Watch>>>,
    /// xenstore moves with the network, where there is one.
    store: Option<Store>,
}

impl Interfaces {
    /// Finds the cards and starts a stack on each.
    pub(crate) fn open(config: &Config, guest: Option<&mut Guest>) -> Result<Self, String> {
        let ram_bytes = machine::memory::usage().total_bytes as u64;
        let settings = Settings::for_ram(ram_bytes);
        let network = network::stack_config(config);
        let mut stacks = Vec::new();
        for device in virtio::devices(Kind::Network) {
            match VirtioNet::open(device, &settings) {
                Ok(card) => {
                    let mac = card.mac();
                    stacks.push(start(VirtioCard::new(card), mac, &network)?);
                }
                Err(error) => log::error!("a network card cannot be used: {error:?}"),
            }
        }
        let store = guest.as_ref().map(|guest| guest.store().clone());
        if let Some(guest) = guest {
            for card in guest.cards(&xen_netfront::Settings::for_ram(ram_bytes)) {
                let mac = card.mac();
                stacks.push(start(XenCard(card), mac, &network)?);
            }
        }
        if stacks.is_empty() {
            return Err("no network card that this image can drive".into());
        }
        let watches = stacks.iter().map(|_| Watch::default()).collect();
        let (stacks, watches) = (Rc::new(RefCell::new(stacks)), Rc::new(RefCell::new(watches)));
        Ok(Self { stacks, watches, store })
    }
}

impl Driver for Interfaces {
    fn now(&self) -> Duration {
        machine::clock::now()
    }

    fn ingress(&mut self, now: Duration) -> bool {
        machine::console::pump_sometimes(now);
        let mut more = self.store.as_ref().is_some_and(Store::poll);
        for stack in self.stacks.borrow_mut().iter_mut() {
            more |= stack.ingress(now);
        }
        more
    }

    fn egress(&mut self, now: Duration) {
        for stack in self.stacks.borrow_mut().iter_mut() {
            stack.egress(now);
        }
    }

    fn undelivered(&self) -> usize {
        self.stacks.borrow().iter().map(Stack::undelivered).sum()
    }

    fn stop_requested(&mut self) -> bool {
        machine::power::stop_requested()
    }

    fn wait(&mut self, deadline: Option<Duration>) {
        let now = machine::clock::now();
        let mut deadline = deadline;
        let mut watches = self.watches.borrow_mut();
        let mut stacks = self.stacks.borrow_mut();
        for (number, (stack, watch)) in stacks.iter_mut().zip(watches.iter_mut()).enumerate() {
            if !stack.prepare_to_wait() {
                return;
            }
            deadline = earlier(deadline, stack.next_deadline());
            deadline = earlier(deadline, watch.look(now, number, stack));
        }
        machine::interrupt::wait(deadline);
    }
}

impl Platform for Interfaces {
    type Listener = TcpListener;
    type Connector = TcpConnector;

    fn listen(&self, port: u16, _backlog: usize) -> Result<TcpListener, ListenError> {
        let mut stacks = self.stacks.borrow_mut();
        let (first, others) =
            stacks.split_first_mut().ok_or(ListenError::Other("there is no network card"))?;
        let listener = first.listen(port).ok_or(ListenError::InUse)?;
        if others.iter_mut().all(|stack| stack.listen_on(&listener)) {
            Ok(listener)
        } else {
            Err(ListenError::InUse)
        }
    }

    /// Connections go out through the first card.
    fn connector(&self) -> TcpConnector {
        self.stacks.borrow()[0].connector()
    }

    fn wall_clock(&self) -> Duration {
        machine::clock::wall()
    }

    fn test_routes(&self, routes: Routes, spawner: &Spawner) -> Routes {
        trials::routes(routes, spawner)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        // No stack starts without a source.
        machine::entropy::fill(bytes).expect("a source of entropy, as at the start");
    }

    fn probes(&self) -> Vec<net::Probe> {
        self.stacks.borrow().iter().map(Stack::probe).collect()
    }
}

fn start(card: impl Card + 'static, mac: [u8; 6], config: &net::Config) -> Result<Stack, String> {
    let mut seed = [0; 64];
    machine::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
    let mut address = mac;
    if address == [0; 6] {
        // Locally administered, unicast (IEEE 802, section 8.2).
        address.copy_from_slice(&seed[..6]);
        address[0] = address[0] & 0xfc | 2;
        machine::entropy::fill(&mut seed).map_err(|error| error.to_string())?;
    }
    Ok(Stack::new(card, config, address, seed, machine::clock::now()))
}
