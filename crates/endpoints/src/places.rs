//! Places of a service: where its replicas are, and which of them the next request goes to. What connects shares one
//! [`Places`] for a service, so that all its requests are counted together.
//!
//! They are written down ([`Places::set`]), or come and go as a registry says ([`Places::follow`]). `balance` decides; this
//! gives it time, chance and probes, and writes into the log what came about.

mod inspection;

pub use balance::{Config, Ejection, NoPlace, Place, PlaceId, Policy, Probes, Retries, hash_key};
pub use inspection::{PLACE_METRICS, PLACES, PlaceRow};

use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use balance::{Balancer, Event, NotAgain, Outcome, Ticket};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Poll;
use core::time::Duration;
use flow::Target;
use flow::registry::{Query, Registry, Service};
use flow::sync::{Notify, Watch};
use flow::task::{Spawner, TaskId, wait_fn};
use flow::time::Timers;

/// Until a registry that gave no answer is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_secs(5);

/// The places of one service. Clones are the same ones.
#[derive(Clone)]
pub struct Places(Rc<Shared>);

struct Shared {
    name: String,
    balancer: RefCell<Balancer<Target>>,
    /// Whether it was said which places there are.
    are_known: Rc<Watch<bool>>,
    /// For each of those that a registry knows, how often any had come or moved when it did so last.
    moves: RefCell<Vec<(Target, u64)>>,
    moves_so_far: Cell<u64>,
    random: Cell<u64>,
    spawner: Spawner,
    timers: Timers,
    /// Something changed that may be due earlier than what the keeper waits for.
    changed: Rc<Notify>,
    /// Those that follow the registry and ask for probes: they end with the places.
    tasks: RefCell<Vec<TaskId>>,
    totals: Totals,
}

/// What was counted since the start.
#[derive(Default)]
struct Totals {
    requests: Cell<u64>,
    failures: Cell<u64>,
    further_tries: Cell<u64>,
    refused_tries: Cell<u64>,
    ejections: Cell<u64>,
}

impl Totals {
    fn count_further_try<T>(&self, allowed: &Result<T, NotAgain>) {
        match allowed {
            Ok(_) => add(&self.further_tries),
            Err(NotAgain::Budget) => add(&self.refused_tries),
            Err(NotAgain::Tries | NotAgain::NoOther) => 0,
        };
    }
}

/// Where a place is. What was connected to it before it moved leads to somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// What it is reached by.
    pub target: Target,
    /// Grows when it moves; 0 for what is not followed.
    pub moves: u64,
}

impl From<&Target> for Location {
    fn from(target: &Target) -> Self {
        Self { target: target.clone(), moves: 0 }
    }
}

/// A request's right to go to a place. Dropping it says that nobody waits for the answer any more.
pub struct Lease {
    places: Rc<Shared>,
    id: PlaceId,
    location: Location,
    /// Taken when it is given back.
    ticket: Option<Ticket<Target>>,
    /// Whether the place has answered.
    is_answered: bool,
}

impl Places {
    /// The places of a service that is called `name` in log and tables; there are none yet. `seed` is a random word, and need
    /// not be secret.
    pub fn new(
        name: impl Into<String>,
        config: Config,
        seed: u64,
        spawner: &Spawner,
        timers: &Timers,
    ) -> Self {
        Self(Rc::new(Shared {
            name: name.into(),
            balancer: RefCell::new(Balancer::new(config)),
            are_known: Watch::new(false),
            moves: RefCell::default(),
            moves_so_far: Cell::new(0),
            random: Cell::new(seed),
            spawner: spawner.clone(),
            timers: timers.clone(),
            changed: Rc::default(),
            tasks: RefCell::default(),
            totals: Totals::default(),
        }))
    }

    /// What they are called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Says which places there are.
    pub fn set(&self, places: &[Place<Target>]) {
        self.0.set(places);
    }

    /// Has the places that a registry knows for `query`, as they come and go: each is known by its host.
    pub fn follow(&self, registry: Rc<dyn Registry>, query: Query) {
        let following = follow(Rc::downgrade(&self.0), registry, query, self.0.timers.clone());
        self.0.spawn("balance registry", following);
    }

    /// Has the places asked whether they are well, as often as their configuration says: `probe` does it, and has `timeout`
    /// for it.
    pub fn probe_with<P: Future<Output = bool> + 'static>(
        &self,
        timeout: Duration,
        probe: impl Fn(Location) -> P + 'static,
    ) {
        let shared = Rc::downgrade(&self.0);
        let (timers, changed) = (self.0.timers.clone(), self.0.changed.clone());
        self.0.spawn("balance probes", keep(shared, timers, changed, timeout, probe));
    }

    /// The place for a new request, once it was said which there are. `key` is a hash of what requests have in common that
    /// are to go to the same place, for [`Policy::ConsistentHash`].
    ///
    /// # Errors
    /// There is no place, or all drain.
    pub async fn lease(&self, key: Option<u64>) -> Result<Lease, NoPlace> {
        let mut known = self.0.are_known.watch();
        while !self.0.are_known.get() {
            known.changed().await;
        }
        let (now, random) = (self.0.timers.now(), self.0.random());
        let ticket = self.0.balancer.borrow_mut().choose(now, random, key);
        self.0.settle();
        let ticket = ticket?;
        add(&self.0.totals.requests);
        Ok(self.leased(ticket))
    }

    /// Another place for a request that failed at those of `tried`, or is slow there, within the budget; none if it has to be
    /// left at that.
    pub fn lease_again(&self, key: Option<u64>, tried: &[PlaceId]) -> Option<Lease> {
        let (now, random) = (self.0.timers.now(), self.0.random());
        let ticket = self.0.balancer.borrow_mut().choose_again(now, random, key, tried);
        self.0.settle();
        self.0.totals.count_further_try(&ticket);
        Some(self.leased(ticket.ok()?))
    }

    /// Whether a request that was tried at those of `tried` may be repeated at the last of them, within the budget.
    pub fn may_repeat(&self, tried: &[PlaceId]) -> bool {
        let repeated = self.0.balancer.borrow_mut().repeat(self.0.timers.now(), tried);
        self.0.totals.count_further_try(&repeated);
        repeated.is_ok()
    }

    /// How long a request that may be repeated is waited for before it is sent to a second place, too; none is for ever.
    pub fn hedge_after(&self) -> Option<Duration> {
        self.0.balancer.borrow_mut().hedge_after(self.0.timers.now())
    }

    fn leased(&self, ticket: Ticket<Target>) -> Lease {
        let (id, location) = (ticket.id(), self.0.location(ticket.target()));
        Lease { places: self.0.clone(), id, location, ticket: Some(ticket), is_answered: false }
    }
}

impl Lease {
    /// Which place it is.
    pub fn id(&self) -> PlaceId {
        self.id
    }

    /// What the place is reached by.
    pub fn target(&self) -> &Target {
        &self.location.target
    }

    /// Where the place is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The place answers: it is well, unless what follows of its answer fails. It is busy until this is dropped.
    pub fn answered(&mut self) {
        self.is_answered = true;
        if let Some(ticket) = &mut self.ticket {
            ticket.note_answer(self.places.timers.now());
        }
    }

    /// The place could not be reached, or failed to answer.
    pub fn failed(mut self) {
        self.give_back(Outcome::Failure);
    }

    fn give_back(&mut self, outcome: Outcome) {
        let Some(ticket) = self.ticket.take() else { return };
        self.places.balancer.borrow_mut().finish(self.places.timers.now(), ticket, outcome);
        self.places.settle();
        if outcome == Outcome::Failure {
            add(&self.places.totals.failures);
            self.places.changed.notify();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(if self.is_answered { Outcome::Success } else { Outcome::Cancelled });
    }
}

impl Shared {
    fn location(&self, target: &Target) -> Location {
        let moves = self.moves.borrow();
        let moves = moves.iter().find(|(own, _)| own == target).map_or(0, |(_, moves)| *moves);
        Location { target: target.clone(), moves }
    }

    /// Takes note of which services have come, or have other ways than before.
    fn note_moves(&self, before: &[Service], services: &[Service]) {
        let known = self.moves.take();
        let moves = services.iter().map(|service| {
            let is_same = |other: &&Service| other.host == service.host;
            let stayed = before.iter().find(is_same).is_some_and(|it| it.ways == service.ways);
            let target = place(service).target;
            let known = known.iter().find(|(own, _)| stayed && *own == target);
            let moves = known.map(|(_, moves)| *moves);
            (target, moves.unwrap_or_else(|| add(&self.moves_so_far)))
        });
        let moves = moves.collect();
        self.moves.replace(moves);
    }

    fn set(&self, places: &[Place<Target>]) {
        self.balancer.borrow_mut().set_places(self.timers.now(), places);
        self.are_known.set(true);
        self.changed.notify();
    }

    /// Writes into the log what came about; the places that are to be asked whether they are well.
    fn settle(&self) -> Vec<(PlaceId, Target)> {
        let mut probes = Vec::new();
        let name = &self.name;
        while let Some(event) = self.poll_event() {
            match event {
                Event::Probe(id, target) => probes.push((id, target)),
                Event::Ejected(target, time) => {
                    add(&self.totals.ejections);
                    log::warn!("{name}: {target} fails and is left out for {} s", time.as_secs());
                }
                Event::Returned(target) => log::info!("{name}: {target} is used again, on trial"),
                Event::Probed { target, is_well: true } => log::info!("{name}: {target} is well"),
                Event::Probed { target, is_well: false } => log::warn!("{name}: {target} is ill"),
            }
        }
        probes
    }

    fn poll_event(&self) -> Option<Event<Target>> {
        self.balancer.borrow_mut().poll_event()
    }

    /// SplitMix64 (Steele, Lea and Flood 2014): it decides among equals, and keeps no secret.
    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let word = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let id = self.spawner.spawn(name, task);
        self.tasks.borrow_mut().push(id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in self.tasks.take() {
            self.spawner.cancel(task);
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({})", self.0.name)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.location.target)
    }
}

/// Has the places that the registry knows, until nobody has them any more.
async fn follow(places: Weak<Shared>, registry: Rc<dyn Registry>, query: Query, timers: Timers) {
    let mut known = Vec::new();
    let mut is_first = true;
    loop {
        let answer = if is_first {
            registry.look_up(&query).await
        } else {
            registry.watch(&query, &known).await
        };
        let Some(places) = places.upgrade() else { return };
        match answer {
            Ok(services) => {
                is_first = false;
                places.note_moves(&known, &services);
                places.set(&services.iter().map(place).collect::<Vec<_>>());
                known = services;
            }
            Err(error) => {
                log::warn!("{}: it is not known where {query} is: {error}", places.name);
                // Who waits is told that there is none.
                places.are_known.set(true);
                drop(places);
                timers.sleep(REGISTRY_PAUSE).await;
            }
        }
    }
}

/// A service as a place: by its host, so that it is found anew for each connection.
fn place(service: &Service) -> Place<Target> {
    let query = Query { name: service.name.clone(), host: Some(service.host.clone()) };
    let place = Place::new(query.target(), service.weight.into()).with_priority(service.priority);
    if service.is_draining { place.draining() } else { place }
}

/// Asks the places whether they are well, until nobody has them any more.
async fn keep<P: Future<Output = bool> + 'static>(
    places: Weak<Shared>,
    timers: Timers,
    changed: Rc<Notify>,
    timeout: Duration,
    probe: impl Fn(Location) -> P,
) {
    let mut timer = timers.timer();
    loop {
        let deadline = {
            let Some(places) = places.upgrade() else { return };
            places.balancer.borrow_mut().handle_timeout(timers.now());
            for (id, target) in places.settle() {
                let location = places.location(&target);
                let asking =
                    ask(Rc::downgrade(&places), id, timers.clone(), timeout, probe(location));
                places.spawner.spawn("balance probe", asking);
            }
            places.balancer.borrow().next_deadline()
        };
        timer.set(deadline);
        wait_fn(|cx| match changed.poll_notified(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.poll_expired(cx),
        })
        .await;
    }
}

async fn ask(
    places: Weak<Shared>,
    id: PlaceId,
    timers: Timers,
    timeout: Duration,
    probe: impl Future<Output = bool>,
) {
    let is_well = timers.before(timers.now() + timeout, probe).await.unwrap_or(false);
    let Some(places) = places.upgrade() else { return };
    let (now, random) = (timers.now(), places.random());
    places.balancer.borrow_mut().handle_probe(now, random, id, is_well);
    places.settle();
    places.changed.notify();
}

/// Counts one more; says how many there are.
fn add(count: &Cell<u64>) -> u64 {
    count.set(count.get() + 1);
    count.get()
}

#[cfg(test)]
pub(crate) mod tests;
