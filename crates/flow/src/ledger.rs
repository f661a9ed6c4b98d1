//! Ledger: weighs what peers make us hold, in bytes really held, for each peer, each service and the machine.
//!
//! There is one [`Ledger`] in a machine, a [`ServiceLedger`] for each service, and an [`Account`] for each peer. What is
//! weighed is said in two ways: a protocol core says what it holds ([`Account::set`]), and what is handed to somebody
//! else carries its [`Weight`], whose drop gives it back. Each of the three has a limit, and the same marks below it:
//!
//! | held | what follows |
//! |---|---|
//! | half of the limit | reading pauses for peers that hold more than an [even share](SHARE), but for one at a time |
//! | seven eighths | these wait; what is new is refused to all others, and for who is refused, the peer that holds most has to [make room](ServiceLedger::make_room) |
//! | more than the limit | the peer that holds most is told to end |
//!
//! So small requests are answered beside hogs, and of those that fill the memory together one can always go on until
//! its message is whole. A change costs a few instructions, and none of them depends on the number of peers: accounts
//! above an even share are the only ones that are ever searched, and there is no room for many of them.

mod account;
mod scope;
#[cfg(test)]
mod tests;

pub use account::{Account, Holder, Overload, Pressure, Weight};
pub use scope::SHARE;

use crate::sync::WakerKey;
use account::Entry;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use inspect::Metric;
use scope::Scope;

/// What all peers of a machine make it hold. Clones are the same one.
#[derive(Clone)]
pub struct Ledger(Rc<Machine>);

/// What the peers of one service make it hold. Clones are the same one.
#[derive(Clone)]
pub struct ServiceLedger(Rc<Service>);

/// Memory that is no peer's, and still leaves the others less. Nothing in the appliance is weighed so yet: TCP's buffers
/// have a budget of their own.
pub struct Reserve {
    machine: Rc<Machine>,
    bytes: Cell<usize>,
}

struct Machine {
    scope: Scope,
    /// It is above its first mark.
    is_tense: Cell<bool>,
    services: RefCell<Vec<Weak<Service>>>,
}

pub(super) struct Service {
    name: &'static str,
    scope: Scope,
    /// It, or the machine, is above its first mark.
    is_tense: Cell<bool>,
    peer_limit_bytes: usize,
    machine: Rc<Machine>,
    /// Accounts above an even share of the service, or of the machine.
    large: RefCell<Vec<Weak<Entry>>>,
    /// Accounts that were told to end since the start.
    ended: Cell<u64>,
}

impl Ledger {
    /// With so many bytes for all that peers make us hold.
    pub fn new(limit_bytes: usize) -> Self {
        Self(Rc::new(Machine {
            scope: Scope::new(limit_bytes),
            is_tense: Cell::new(false),
            services: RefCell::default(),
        }))
    }

    /// Without a bound, for tests and tools.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX)
    }

    /// The ledger of a service, by its name: so many bytes for all its peers, and for each of them. If there is one
    /// already, it keeps its limits.
    pub fn service(
        &self,
        name: &'static str,
        limit_bytes: usize,
        peer_limit_bytes: usize,
    ) -> ServiceLedger {
        let mut services = self.0.services.borrow_mut();
        services.retain(|service| service.strong_count() > 0);
        let same = services.iter().filter_map(Weak::upgrade).find(|service| service.name == name);
        if let Some(service) = same {
            return ServiceLedger(service);
        }
        let service = Rc::new(Service {
            name,
            scope: Scope::new(limit_bytes),
            is_tense: Cell::new(self.0.is_tense.get()),
            peer_limit_bytes,
            machine: self.0.clone(),
            large: RefCell::new(Vec::with_capacity(2 * SHARE)),
            ended: Cell::new(0),
        });
        services.push(Rc::downgrade(&service));
        ServiceLedger(service)
    }

    /// A part for what is weighed elsewhere; see [`Reserve`].
    pub fn reserve(&self) -> Reserve {
        Reserve { machine: self.0.clone(), bytes: Cell::new(0) }
    }

    /// The ledgers of all services that there are.
    pub fn services(&self) -> Vec<ServiceLedger> {
        self.0.services.borrow().iter().filter_map(Weak::upgrade).map(ServiceLedger).collect()
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> usize {
        self.0.scope.held()
    }

    /// Bytes that may be held.
    pub fn limit_bytes(&self) -> usize {
        self.0.scope.limit()
    }
}

/// The metrics of what peers make a machine hold.
pub static METRICS: &[Metric<Ledger>] = &[
    Metric::byte_gauge("peers_held", "Bytes that peers make the appliance hold.", |ledger| {
        ledger.held_bytes() as u64
    }),
    Metric::byte_gauge("peers_held_limit", "Bytes that peers may make it hold.", |ledger| {
        ledger.limit_bytes() as u64
    }),
];

/// The metrics of what the peers of one service make it hold.
pub static SERVICE_METRICS: &[Metric<ServiceLedger>] = &[
    Metric::byte_gauge("service_held", "Bytes that peers make a service hold.", |ledger| {
        ledger.held_bytes() as u64
    }),
    Metric::byte_gauge("service_held_limit", "Bytes that they may make it hold.", |ledger| {
        ledger.limit_bytes() as u64
    }),
    Metric::counter("overloads", "Peers that were cut off for what they held.", |ledger| {
        ledger.ended()
    }),
];

impl ServiceLedger {
    /// An account for a peer, which holds nothing yet.
    pub fn account(&self) -> Account {
        Account::new(&self.0)
    }

    /// What it is called in the log.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Bytes that its peers make us hold now.
    pub fn held_bytes(&self) -> usize {
        self.0.scope.held()
    }

    /// Bytes that they may make us hold.
    pub fn limit_bytes(&self) -> usize {
        self.0.scope.limit()
    }

    /// Shows the accounts above an [even share](SHARE), in no order: who would be woken for each, and what it holds. The
    /// others are not listed anywhere.
    pub fn visit_large(&self, visit: &mut dyn FnMut(WakerKey, usize)) {
        for entry in self.0.large.borrow().iter().filter_map(Weak::upgrade) {
            if let Some(waker) = entry.waker() {
                visit(waker, entry.held());
            }
        }
    }

    /// Peers that were told to end since the start.
    pub fn ended(&self) -> u64 {
        self.0.ended.get()
    }

    /// Longest message that is to be taken of a peer, if it has to be held whole: with what it costs to hold it, it
    /// becomes whole before the peer is paused for what it holds.
    pub fn message_bytes_max(&self) -> usize {
        self.0.peer_limit_bytes / 8 * 3
    }

    /// Something new was refused: those that hold most end, until it can be had when it is asked for again. Nobody ends
    /// who holds no more than an even share.
    pub fn make_room(&self) {
        self.0.make_room();
    }

    /// So much is held, here or in the whole machine, that new connections and requests are refused.
    pub fn refuses(&self) -> bool {
        self.0.refuses()
    }
}

impl Reserve {
    /// So many bytes from now on.
    pub fn set(&self, bytes: usize) {
        let before = self.bytes.replace(bytes);
        self.machine.change(before, bytes);
        if bytes > before {
            self.machine.end_greediest(None);
        } else {
            self.machine.resume();
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Machine {
    /// Somebody held `before` and holds `after` now.
    fn change(&self, before: usize, after: usize) {
        self.scope.change(before, after);
        let is_tense = self.scope.pauses();
        if self.is_tense.replace(is_tense) != is_tense {
            for service in self.services.borrow().iter().filter_map(Weak::upgrade) {
                service.look();
            }
        }
    }

    /// Has the greediest peers of all end while too much is held: the largest, or, where none is above an even share,
    /// the one that `asks` for more.
    fn end_greediest(&self, asks: Option<&Entry>) {
        while self.scope.is_over() {
            match self.largest() {
                Some(entry) => entry.end(Overload::Machine),
                None => return asks.into_iter().for_each(|entry| entry.end(Overload::Machine)),
            }
        }
    }

    /// The account that holds most of those above an even share that are not about to end.
    fn largest(&self) -> Option<Rc<Entry>> {
        let services = self.services.borrow();
        let largest = services.iter().filter_map(|service| service.upgrade()?.largest());
        largest.max_by_key(|entry| entry.held())
    }

    /// Wakes those that wait, if there is room again.
    fn resume(&self) {
        if self.scope.resumes() {
            for service in self.services.borrow().iter().filter_map(Weak::upgrade) {
                service.wake_paused();
            }
        }
    }
}

impl Service {
    /// One of its peers held `before` and holds `after` now.
    fn change(&self, before: usize, after: usize) {
        self.scope.change(before, after);
        self.machine.change(before, after);
        self.look();
    }

    fn look(&self) {
        self.is_tense.set(self.scope.pauses() || self.machine.is_tense.get());
    }

    /// Has the greediest peers end while too much is held.
    fn end_greediest(&self, asks: &Entry) {
        while self.scope.is_over() {
            match self.largest() {
                Some(entry) => entry.end(Overload::Service),
                None => {
                    asks.end(Overload::Service);
                    break;
                }
            }
        }
        self.machine.end_greediest(Some(asks));
    }

    fn make_room(&self) {
        while self.scope.is_crowded()
            && let Some(entry) = self.largest()
        {
            entry.end(Overload::Service);
        }
        while self.machine.scope.is_crowded()
            && let Some(entry) = self.machine.largest()
        {
            entry.end(Overload::Machine);
        }
    }

    /// Wakes those that wait, if there is room again.
    fn resume(&self) {
        if self.scope.resumes() {
            self.wake_paused();
        }
        self.machine.resume();
    }

    /// The account that holds most of those above an even share that are not about to end.
    fn largest(&self) -> Option<Rc<Entry>> {
        let large = self.large.borrow();
        let staying = large.iter().filter_map(Weak::upgrade).filter(|entry| !entry.is_ending());
        staying.max_by_key(|entry| entry.held())
    }

    fn wake_paused(&self) {
        let large = self.large.borrow();
        let waiting = large.iter().filter_map(Weak::upgrade).filter(|entry| entry.is_waiting());
        waiting.for_each(|entry| entry.wake());
    }

    fn refuses(&self) -> bool {
        self.scope.refuses() || self.machine.scope.refuses()
    }

    /// What an account may hold without being paused for the sake of others.
    fn share(&self) -> usize {
        self.scope.share().min(self.machine.scope.share())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({} of {} bytes)", self.held_bytes(), self.limit_bytes())
    }
}

impl fmt::Debug for ServiceLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ServiceLedger({}: {} of {} bytes)",
            self.name(),
            self.held_bytes(),
            self.0.scope.limit()
        )
    }
}
