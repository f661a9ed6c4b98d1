//! Vchan: byte streams between domains of a Xen host by memory that both share, as libxenvchan sets them up, each a
//! [`flow::Flow`]. The rings are [`shared_ring`]'s.
//!
//! The server grants a control page and the rings to the client's domain, allocates an event channel for it, and writes the
//! numbers of both, `ring-ref` and `event-channel`, below a path of xenstore that the client may read. The client maps the one
//! and binds the other. That is one connection: a program of libxenvchan's can be either side of it.
//!
//! Where many are to come, they ask by a node of their own folder, which nobody else can write: `data/vchan/to/S/NAME-N` of
//! domain C's folder, readable for S alone, asks domain S for a connection by what listens as `NAME` there. The answer is one
//! such path, `data/vchan/NAME/C-N` of S, or below it `refused`. Who listens says so by `data/services/vchan-NAME`, where
//! services are found by name. A list in `data/vchan-from/NAME` of S says who may come; without one, all may.
//!
//! A domain that is destroyed says nothing, and no event tells of it: while there are connections, the other ends of their
//! event channels are looked at twice a second. What a domain was granted is used for something else once Xen says that the
//! domain has let go of it; until then its place is taken.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod channel;
mod connect;
mod listen;
mod meeting;
mod memory;
mod offer;
mod permission;
#[cfg(test)]
mod tests;

pub use channel::Bell;
pub use connect::VchanConnector;
pub use listen::{BadListenPlace, VchanListener};
pub use memory::Memory;

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use channel::Channel;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use flow::Address;
use flow::task::Spawner;
use flow::time::Timers;
use memory::{Kept, Place};
use shared_ring::control::PAGE_BYTES;
use shared_ring::{Ring, RingFlow, Rings};
use xen_store::Store;

/// A flow through memory that is shared with another domain.
pub type VchanFlow = RingFlow<Memory, Bell>;

/// How much of it there may be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Flows at once.
    pub connections_max: usize,
    /// Bytes of the ring in each direction, of those that are served; fewer where grants become few.
    pub ring_bytes: usize,
    /// How long another domain may take to make a connection that is asked for.
    pub connect_timeout: Duration,
}

/// Each has an event channel, and Xen wakes a domain by 128 of them at most, of which networks and disks have some.
const CONNECTIONS_MAX: usize = 64;
/// Pages that others may have at once, of 16,384 that can be granted: cards and disks have theirs, too.
const GRANTS_MAX: usize = 12_288;
/// What a connection may take of those that are left. So the first sixteen have rings of 1 MiB, and sixty-four have one.
const GRANTS_SHARE: usize = 8;
/// How often the other ends of event channels are looked at, and pages that were kept.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// All vchans of this domain. Clones are the same.
#[derive(Clone)]
pub struct Vchans(Rc<Inner>);

struct Inner {
    store: Store,
    spawner: Spawner,
    timers: Timers,
    settings: Settings,
    rings: Rings,
    channels: RefCell<Vec<Weak<Channel>>>,
    /// Pages that other domains have not let go of.
    kept: RefCell<Vec<Kept>>,
    /// Its clones are those of the connections.
    places: Rc<()>,
    /// Pages that are granted to others.
    granted: Rc<Cell<usize>>,
    next_look: Cell<Duration>,
    /// Ends that there were; each has a number.
    ends: Cell<u64>,
    /// Requests that were made to others; each has a number.
    requests: Cell<u64>,
}

impl Vchans {
    /// None yet. What has to be asked of xenstore is done by tasks.
    pub fn new(store: &Store, spawner: &Spawner, timers: &Timers, settings: Settings) -> Self {
        let connections_max = settings.connections_max.min(CONNECTIONS_MAX);
        Self(Rc::new(Inner {
            store: store.clone(),
            spawner: spawner.clone(),
            timers: timers.clone(),
            settings: Settings { connections_max, ..settings },
            rings: Rings::default(),
            channels: RefCell::default(),
            kept: RefCell::default(),
            places: Rc::default(),
            granted: Rc::default(),
            next_look: Cell::default(),
            ends: Cell::default(),
            requests: Cell::default(),
        }))
    }

    /// Takes in what the other sides have told, or that they are gone: to be called at the beginning of each turn of the loop.
    pub fn poll(&self, now: Duration) {
        let is_due = now >= self.0.next_look.get();
        self.0.channels.borrow_mut().retain(|channel| match channel.upgrade() {
            Some(channel) => {
                channel.poll(is_due);
                true
            }
            None => false,
        });
        self.0.kept.borrow_mut().retain_mut(|kept| {
            let has_news = kept.channel.as_ref().is_some_and(|channel| channel.take_news());
            !(is_due || has_news) || !kept.pages.end()
        });
        if is_due {
            self.0.next_look.set(now.saturating_add(LOOK_PERIOD));
        }
    }

    /// Notifies the other sides that wait for what was done since the last call: to be called once tasks have run.
    pub fn notify(&self) {
        self.0.rings.notify();
    }

    /// Asks the other sides to notify this one of what tasks wait for: to be called before the loop sleeps. No, if there is
    /// something by now.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.0.rings.may_sleep()
    }

    /// When [`poll`](Self::poll) is to be called at the latest; none while nothing is shared.
    pub fn next_deadline(&self) -> Option<Duration> {
        let is_idle = self.0.channels.borrow().is_empty() && self.0.kept.borrow().is_empty();
        (!is_idle).then(|| self.0.next_look.get())
    }

    /// What they have together.
    pub fn rings(&self) -> &Rings {
        &self.0.rings
    }

    /// How many connections there may be at once.
    pub fn connections_max(&self) -> usize {
        self.0.settings.connections_max
    }

    /// A place for one more, if there is one. Of those that came to one listener there are three quarters of all at most, so
    /// that who may come there does not keep others from theirs.
    fn take_place(&self, listener: Option<&Rc<()>>) -> Option<Place> {
        let connections_max = self.0.settings.connections_max;
        let at_listener = listener.map_or(0, |places| Rc::strong_count(places) - 1);
        let has_place = Rc::strong_count(&self.0.places) - 1 < connections_max
            && at_listener < (connections_max - connections_max / 4);
        has_place.then(|| Place::new(&self.0.places, listener))
    }

    /// How large the rings of the next connection are that is served.
    fn ring_bytes(&self) -> usize {
        let left = GRANTS_MAX.saturating_sub(self.0.granted.get());
        self.0.settings.ring_bytes.min(left / GRANTS_SHARE / 2 * PAGE_BYTES)
    }

    /// A flow of one side of a pair of rings.
    fn open(&self, ring: Ring<Memory>, channel: &Rc<Channel>) -> VchanFlow {
        let number = self.0.ends.get();
        self.0.ends.set(number + 2);
        let [local, peer] = [number, number + 1].map(Address::SharedMemory);
        let flow = self.0.rings.open(ring, Bell::new(channel.clone()), local, peer);
        channel.attach(flow.other_side());
        flow
    }
}
