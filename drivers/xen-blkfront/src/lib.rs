//! Xen block frontend (Xen, public/io/blkif.h): a disk as a [`storage::BlockDevice`].
//!
//! Up to [`Settings::requests_max`] requests are with the backend at a time, more wait for their turn here. The backend is told
//! of new ones by [`XenBlkfront::flush_requests`], once for each turn of the caller's loop, and events from it are off until
//! [`XenBlkfront::prepare_to_wait`].
//!
//! A [`Frontend`] is the task that talks to the backend through xenstore. In a domain that was restored it connects to the new
//! backend, and what the old one had not answered is asked again. A request that the backend cannot do fails, and no other. A disk
//! whose backend breaks the rules or goes is given up, and all that it was asked for fails: what comes back under its number need
//! not be what it was.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disks;
mod features;
mod frontend;
mod settings;
#[cfg(test)]
mod tests;

pub use disks::{Vbd, list};
pub use frontend::{Frontend, open};
pub use machine::xen::block::Fault;
pub use settings::Settings;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::fmt;
use core::task::{Context, Poll};
use features::Flush;
use flow::sync::Notify;
use machine::xen::DomainId;
use machine::xen::block::{BlockRing, OutOfMemory, Request, RequestError, SECTOR_BYTES};
use machine::xen::event::Port;
use storage::{Ask, BlockDevice, DiskCounters, DiskError, Done, Geometry, Pending, Requests};

/// A disk. Clones are the same one.
#[derive(Clone)]
pub struct XenBlkfront(Rc<Disk>);

struct Disk {
    state: RefCell<State>,
    /// It was given up here, of which its task is told.
    was_given_up: Notify,
}

struct State {
    /// By what the log knows it.
    name: String,
    requests: Requests,
    /// Unless it could not be opened.
    ring: Option<BlockRing>,
    /// While there is a backend.
    port: Option<Port>,
    flush: Flush,
    given_up: Option<Error>,
}

/// Why a disk cannot be used, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// xenstore failed.
    Store(xen_store::Error),
    /// Memory, grants or event channels are short.
    OutOfMemory,
    /// The backend has written something into this node that is no number.
    Malformed(&'static str),
    /// The backend does not say what this node is to say.
    Missing(&'static str),
    /// Blocks are no power of two from 512 to 4096 bytes.
    BlockBytes,
    /// There is no medium in the drive.
    NoMedium,
    /// The backend did not answer in time.
    TimedOut,
    /// The backend has closed, or is gone.
    Closed,
    /// The backend serves somebody already, or did not let go of what it had.
    InUse,
    /// The backend broke the rules.
    Fault(Fault),
    /// After the domain was restored, the disk was another, or can do less.
    Changed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "xenstore: {error}"),
            Self::OutOfMemory => f.write_str("no memory, grants or event channels left"),
            Self::Malformed(node) => write!(f, "the backend's {node} is no number that is allowed"),
            Self::Missing(node) => write!(f, "the backend says no {node}"),
            Self::BlockBytes => {
                f.write_str("sector-size is to be a power of two from 512 to 4096 bytes")
            }
            Self::NoMedium => f.write_str("there is no medium in the drive"),
            Self::TimedOut => f.write_str("the backend does not answer"),
            Self::Closed => f.write_str("the backend has closed, or is gone"),
            Self::InUse => f.write_str("the backend has not let go of an earlier connection"),
            Self::Fault(fault) => write!(f, "the backend broke the rules: {fault}"),
            Self::Changed => f.write_str("the backend has another disk now, or can do less"),
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

impl XenBlkfront {
    /// A disk that is connected to.
    fn new(name: String, geometry: Geometry, flush: Flush, ring: BlockRing, port: Port) -> Self {
        let requests = Requests::new(geometry, ring.slots());
        let (ring, port, given_up) = (Some(ring), Some(port), None);
        let state = State { name, requests, ring, port, flush, given_up };
        Self(Rc::new(Disk { state: RefCell::new(state), was_given_up: Notify::default() }))
    }

    /// In the place of a disk that cannot be used: whoever reads from it is told that it is gone, and the disks after it are
    /// not taken for it.
    pub fn unusable(vbd: &Vbd, reason: Error) -> Self {
        let geometry = Geometry {
            // Something, so that whoever looks at it asks.
            capacity_bytes: 1 << 20,
            block_bytes: SECTOR_BYTES,
            request_bytes_max: 8 * SECTOR_BYTES,
            is_read_only: true,
        };
        let requests = Requests::new(geometry, 1);
        let (ring, port, flush, given_up) = (None, None, Flush::Never, None);
        let mut state = State { name: vbd.folder(), requests, ring, port, flush, given_up };
        state.give_up(reason);
        Self(Rc::new(Disk { state: RefCell::new(state), was_given_up: Notify::default() }))
    }

    /// Takes up what the backend is done with, and wakes whoever asked for it; whether there was anything.
    pub fn poll(&self) -> bool {
        let completed = self.0.state.borrow_mut().complete_all();
        if let Err(fault) = completed {
            self.give_up(Error::Fault(fault));
            return true;
        }
        self.tell()
    }

    /// Gives the backend what it is to be asked for, as far as it has room, with at most one event.
    pub fn flush_requests(&self) {
        self.0.state.borrow_mut().submit_waiting();
    }

    /// Asks for an event when the backend is done with something; false when it is already, or when there is something left to
    /// ask for.
    pub fn prepare_to_wait(&self) -> bool {
        let mut state = self.0.state.borrow_mut();
        if !state.works() {
            return true;
        }
        let State { requests, ring, port, .. } = &mut *state;
        // Whatever it says, the ring is looked at.
        let _ = port.as_ref().is_some_and(Port::take);
        let nothing_is_done = ring.as_mut().is_none_or(BlockRing::arm);
        nothing_is_done && !requests.can_submit()
    }

    /// Why it was given up, if it was.
    pub fn fault(&self) -> Option<Error> {
        self.0.state.borrow().given_up
    }

    /// What it did so far.
    pub fn counters(&self) -> DiskCounters {
        self.0.state.borrow().requests.counters()
    }

    /// Whether requests go over its ring. What stands in the ring of a domain that was restored is not to be looked at.
    fn is_connected(&self) -> bool {
        self.0.state.borrow().works()
    }

    /// Gives it up: what it was asked for fails, and what it will be.
    fn give_up(&self, reason: Error) {
        self.0.state.borrow_mut().give_up(reason);
        self.0.was_given_up.notify();
        self.tell();
    }

    fn poll_given_up(&self, cx: &Context<'_>) -> Poll<()> {
        if self.fault().is_some() {
            return Poll::Ready(());
        }
        self.0.was_given_up.poll_notified(cx)
    }

    /// Tells whoever asked what came of it; they may ask at once.
    fn tell(&self) -> bool {
        let mut done = self.0.state.borrow_mut().requests.take_done();
        let any = !done.is_empty();
        done.drain(..).for_each(Done::tell);
        self.0.state.borrow_mut().requests.put_back(done);
        any
    }
}

impl BlockDevice for XenBlkfront {
    fn driver(&self) -> &'static str {
        "xen-blkfront"
    }

    fn counters(&self) -> DiskCounters {
        self.0.state.borrow().requests.counters()
    }

    fn geometry(&self) -> Geometry {
        self.0.state.borrow().requests.geometry()
    }

    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes> {
        self.0.state.borrow_mut().requests.read(at, bytes)
    }

    fn write(&self, at: u64, data: Bytes) -> Pending<()> {
        self.0.state.borrow_mut().requests.write(at, data)
    }

    fn flush(&self) -> Pending<()> {
        let mut state = self.0.state.borrow_mut();
        match state.flush {
            // A backend that cannot be asked has no cache that it knows of.
            Flush::Never => Box::pin(async { Ok(()) }),
            Flush::Cache | Flush::Barrier => state.requests.flush(),
        }
    }
}

impl State {
    fn works(&self) -> bool {
        self.port.as_ref().is_some_and(Port::is_open)
    }

    fn submit_waiting(&mut self) {
        if !self.works() {
            return;
        }
        let Self { requests, ring: Some(ring), port: Some(port), flush, .. } = self else { return };
        requests.submit(|ask| ring.submit(request(ask, *flush)));
        if ring.publish() {
            port.notify();
        }
    }

    fn complete_all(&mut self) -> Result<(), Fault> {
        if !self.works() {
            return Ok(());
        }
        let Self { requests, ring: Some(ring), .. } = self else { return Ok(()) };
        while ring.complete(|slot, outcome| requests.complete(slot, outcome.map_err(of_request)))? {
        }
        Ok(())
    }

    /// There is another backend, which has been asked for nothing.
    fn forget_backend(&mut self) {
        self.disconnect();
        self.requests.ask_again();
    }

    /// Readies the ring for another backend, which finds it by these pages.
    fn reset(&mut self, domain: DomainId) -> Result<Vec<u32>, Error> {
        let ring = self.ring.as_mut().ok_or(Error::Closed)?;
        ring.reset(domain).map_err(|_| Error::InUse)?;
        Ok(ring.references().collect())
    }

    /// Takes all from the backend, as far as it lets go.
    fn disconnect(&mut self) {
        self.port = None;
        if let Some(Err(_)) = self.ring.as_mut().map(BlockRing::end) {
            log::debug!("{}: the backend still has pages", self.name);
        }
    }

    fn give_up(&mut self, reason: Error) {
        if self.given_up.is_none() {
            log::error!("{}: {reason}; the disk is given up until the next start", self.name);
            self.given_up = Some(reason);
        }
        self.disconnect();
        self.requests.give_up();
    }
}

impl fmt::Debug for XenBlkfront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("XenBlkfront").field(&self.geometry()).finish()
    }
}

fn request(ask: &Ask, flush: Flush) -> Request<'_> {
    let sector = |at: &u64| at / SECTOR_BYTES as u64;
    match ask {
        Ask::Read { at, bytes } => Request::Read { sector: sector(at), bytes: *bytes },
        Ask::Write { at, data } => Request::Write { sector: sector(at), data },
        Ask::Flush if flush == Flush::Barrier => Request::Barrier,
        Ask::Flush => Request::Flush,
    }
}

fn of_request(error: RequestError) -> DiskError {
    match error {
        RequestError::Failed | RequestError::Unsupported => DiskError::Failed,
    }
}
