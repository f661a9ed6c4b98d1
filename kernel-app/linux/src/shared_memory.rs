//! Shared memory between processes: two that meet at a Unix socket have rings in memory that both map ([`shared_ring`]).
//!
//! Whoever is connected to makes the memory, sealed so that it keeps its size, and passes it over the socket that they met
//! by. That socket is also the doorbell, and tells of the other process' death: it closes when the process does.
//!
//! Why no eventfd: its two ends are one file description, whose flags either side may change, so that a hostile peer could
//! have us block. A socket's ends are two, and each call says for itself that it does not wait.

mod busy_poll;
mod connect;
mod doorbell;
mod listen;
mod mapping;
mod meeting;
#[cfg(test)]
mod tests;

pub use connect::SharedMemoryConnector;
pub use listen::SharedMemoryListener;

use crate::sockets::Reactor;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use doorbell::Bell;
use flow::Address;
use flow::time::Timers;
use mapping::Mapping;
use mio::net::UnixStream;
use shared_ring::{BusyPoll, Ring, RingFlow, Rings};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// A flow through memory that is shared with another process.
pub type SharedMemoryFlow = RingFlow<Mapping, Bell>;

/// All flows through shared memory of this process. Clones are the same.
#[derive(Clone)]
pub struct SharedMemory(Rc<Inner>);

struct Inner {
    reactor: Reactor,
    rings: Rings,
    settings: SharedMemorySettings,
    busy_poll: BusyPoll,
    timers: Timers,
    /// Connections of ours that the other process has not accepted.
    meetings: Cell<usize>,
    /// Ends that there were; each has a number.
    ends: Cell<u64>,
}

impl SharedMemory {
    /// None yet; their doorbells are `reactor`'s to look at.
    pub fn new(reactor: &Reactor, settings: SharedMemorySettings, timers: &Timers) -> Self {
        Self(Rc::new(Inner {
            reactor: reactor.clone(),
            rings: Rings::default(),
            busy_poll: busy_poll::of_this_machine(settings.busy_poll),
            settings,
            timers: timers.clone(),
            meetings: Cell::new(0),
            ends: Cell::new(0),
        }))
    }

    /// Wakes the other processes that wait for what was done since the last call: to be called in each turn of the loop.
    pub fn notify(&self) {
        self.0.rings.notify();
    }

    /// Waits by `sleep`, but for at most `timeout`, unless something comes by shared memory before. It polls for a while first:
    /// [`busy_poll`] says for how long.
    ///
    /// # Errors
    /// Those of `sleep`.
    pub fn wait(
        &self,
        timeout: Option<Duration>,
        sleep: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        busy_poll::wait(&self.0.busy_poll, &self.0.rings, timeout, sleep)
    }

    /// What they have together.
    pub fn rings(&self) -> &Rings {
        &self.0.rings
    }

    /// Whether there may be one more, those included that are being made.
    fn has_place(&self) -> bool {
        let taken = self.0.rings.flows() + self.0.meetings.get();
        taken < self.0.settings.connections_max
    }

    /// Whether there may be one more of those that came to one path, of which these are the places: three quarters of all, so
    /// that who may come to one path does not keep others from theirs.
    fn has_place_at(&self, places: &Rc<()>) -> bool {
        let connections_max = self.0.settings.connections_max;
        let at_path = Rc::strong_count(places) - 1;
        self.has_place() && at_path < connections_max - connections_max / 4
    }

    /// A flow of one side of a pair of rings, whose other side is at the socket's other end.
    fn open(
        &self,
        ring: Ring<Mapping>,
        stream: UnixStream,
        place: Option<Rc<()>>,
    ) -> io::Result<SharedMemoryFlow> {
        let (bell, pull) = Bell::new(&self.0.reactor, stream, place)?;
        let number = self.0.ends.get();
        self.0.ends.set(number + 2);
        let [local, peer] = [number, number + 1].map(Address::SharedMemory);
        let flow = self.0.rings.open(ring, bell, local, peer);
        pull.attach(flow.other_side());
        Ok(flow)
    }
}
