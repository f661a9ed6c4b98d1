//! Xen network frontend (Xen, public/io/netif.h): an interface as a [`net::device::NetDevice`].
//!
//! Received frames are lent to the stack where the backend put them, up to 64 KiB in one piece; sent
//! ones are built where the backend reads them, up to 64 KiB for it or the receiver to cut into
//! segments. Events for the backend wait for [`flush`](net::device::NetDevice::flush), once for each turn
//! of the caller's loop, and events from it are off until
//! [`prepare_to_wait`](net::device::NetDevice::prepare_to_wait). Frames are always
//! copied to where they are built: what the backend is to read elsewhere would have to be granted to it
//! page by page, which costs more.
//!
//! The interface comes and goes with its backend: a [`Frontend`] is the task that talks to it through
//! xenstore, and hands the rings to the device when they are in use. A backend that breaks the rules
//! is disconnected, and the next one starts afresh.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod features;
mod frontend;
mod interfaces;
mod mailbox;
mod pair;
mod receive;
mod settings;
#[cfg(test)]
mod tests;
mod transmit;

pub use frontend::{Frontend, open};
pub use interfaces::{Interface, Interfaces};
pub use machine::xen::net::{Fault, Refusals};
pub use net::device::Counters;
pub use settings::Settings;

use core::fmt;
use core::time::Duration;
use features::Features;
use machine::xen::net::OutOfMemory;
use mailbox::Mailbox;
use net::device::Discard;
use pair::Pair;

/// How long the last frames may take to leave.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);

/// A network interface.
#[derive(Debug)]
pub struct XenNetfront {
    /// While there is a backend.
    pair: Option<Pair>,
    mailbox: Mailbox,
    mac: [u8; 6],
    features: Features,
    /// What its rings did until it was given back; it goes on counting when it comes again.
    before: Counters,
    /// Frames thrown away because there was no pair.
    lost: Discard,
    stopped: Option<Fault>,
}

/// Why an interface cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// xenstore failed, or lacks what it should have.
    Store(xen_store::Error),
    /// Memory, grants or event channels are short.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "xenstore: {error}"),
            Self::OutOfMemory => f.write_str("no memory, grants or event channels left"),
        }
    }
}

impl core::error::Error for Error {}

impl From<xen_store::Error> for Error {
    fn from(error: xen_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl XenNetfront {
    /// The interface's address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// What the backend did wrong, if the interface was stopped for it.
    pub fn fault(&self) -> Option<Fault> {
        self.stopped
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        let counters = self.pair.as_ref().map_or(self.before, Pair::counters);
        Counters { sent_dropped: counters.sent_dropped + self.lost.frames, ..counters }
    }

    /// Whether frames pass over the pair. What stands in the rings of a domain that was restored is not to be looked at:
    /// they were saved while the backend wrote, page by page, and nobody says in which order.
    fn works(&self) -> bool {
        self.stopped.is_none() && self.pair.as_ref().is_some_and(Pair::is_open)
    }

    fn working_pair(&mut self) -> Option<&mut Pair> {
        if self.works() { self.pair.as_mut() } else { None }
    }

    /// Takes a pair of rings into use, or gives it back, as the frontend's task wants it.
    fn obey(&mut self) {
        match self.mailbox.take_order() {
            Some(mailbox::Order::Up(pair)) => {
                self.features.mtu_bytes = pair.mtu_bytes;
                self.pair = Some(*pair);
                self.stopped = None;
            }
            Some(mailbox::Order::Down) => {
                let pair = self.pair.take();
                self.before = pair.as_ref().map_or(self.before, Pair::counters);
                self.mailbox.give_back(pair);
            }
            None => {}
        }
    }

    fn stop(&mut self, fault: Fault) {
        self.stopped = Some(fault);
        self.mailbox.report_fault();
    }
}

impl Drop for XenNetfront {
    /// Waits until the backend has taken what was sent: it copies in its own time, and a domain
    /// that ends takes its pages with it.
    fn drop(&mut self) {
        if let Some(pair) = self.working_pair() {
            pair.drain(machine::clock::now() + DRAIN_TIME_MAX);
        }
    }
}
