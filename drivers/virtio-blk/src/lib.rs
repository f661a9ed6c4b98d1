//! Virtio block driver (virtio 1.2, 5.2): a disk as a [`storage::BlockDevice`].
//!
//! Up to [`Settings::requests_max`] requests are with the device at a time, more wait for their turn here. The device is
//! told of new ones by [`VirtioBlk::flush_requests`], once for each turn of the caller's loop, and interrupts are off until
//! [`VirtioBlk::prepare_to_wait`].
//!
//! A request that the device cannot do fails, and no other. A device that breaks the rules is stopped, and all that it was
//! asked for fails.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
mod tests;

pub use machine::virtio::{Error, Fault};

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::fmt;
use machine::virtio::{BlockQueue, Control, Request, RequestError};
use storage::{Ask, BlockDevice, DiskCounters, DiskError, Done, Geometry, Pending, Requests};

/// How large the driver's memory is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests that the device has at a time, at most 21.
    pub requests_max: usize,
    /// The longest of them: each has so much memory of its own.
    pub request_bytes_max: usize,
}

impl Settings {
    /// What suits a machine with so much memory: depth enough for a queue on the host's side to be worth it, in at most a
    /// sixteenth of the memory.
    pub fn for_ram(ram_bytes: u64) -> Self {
        let request_bytes_max = if ram_bytes < 64 << 20 { 16 << 10 } else { 64 << 10 };
        Self { requests_max: if ram_bytes < 16 << 20 { 8 } else { 16 }, request_bytes_max }
    }
}

/// A running disk. Clones are the same one.
#[derive(Clone)]
pub struct VirtioBlk(Rc<RefCell<State>>);

struct State {
    queue: BlockQueue,
    requests: Requests,
    stopped: Option<Fault>,
}

impl VirtioBlk {
    /// Negotiates with a device and starts it.
    ///
    /// # Errors
    /// The device cannot be used.
    pub fn open(control: Control, settings: &Settings) -> Result<Self, Error> {
        let queue = BlockQueue::open(control, settings.requests_max, settings.request_bytes_max)?;
        let machine::virtio::Geometry {
            capacity_bytes,
            block_bytes,
            request_bytes_max,
            is_read_only,
        } = queue.geometry();
        let geometry = Geometry { capacity_bytes, block_bytes, request_bytes_max, is_read_only };
        let mode = if is_read_only { ", read-only" } else { "" };
        log::info!("disk of {} KiB{mode}", capacity_bytes >> 10);
        let requests = Requests::new(geometry, queue.slots());
        Ok(Self(Rc::new(RefCell::new(State { queue, requests, stopped: None }))))
    }

    /// Takes up what the device is done with, and wakes whoever asked for it; whether there was anything.
    pub fn poll(&self) -> bool {
        let mut done = self.0.borrow_mut().take_done();
        let any = !done.is_empty();
        // Whoever is woken may ask at once.
        done.drain(..).for_each(Done::tell);
        self.0.borrow_mut().requests.put_back(done);
        any
    }

    /// Gives the device what it is to be asked for, as far as it has room, with one doorbell.
    pub fn flush_requests(&self) {
        self.0.borrow_mut().submit_waiting();
    }

    /// Asks for an interrupt when the device is done with something; false when it is already, or when there is something
    /// left to ask for.
    pub fn prepare_to_wait(&self) -> bool {
        let mut state = self.0.borrow_mut();
        if state.stopped.is_some() {
            return true;
        }
        if state.queue.needs_reset() {
            state.stop(Fault::NeedsReset);
            drop(state);
            self.poll();
            return false;
        }
        !state.requests.can_submit() && state.queue.arm()
    }

    /// Why the disk was stopped, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.0.borrow().stopped
    }

    /// What it did so far.
    pub fn counters(&self) -> DiskCounters {
        self.0.borrow().requests.counters()
    }
}

impl BlockDevice for VirtioBlk {
    fn driver(&self) -> &'static str {
        "virtio-blk"
    }

    fn counters(&self) -> DiskCounters {
        self.counters()
    }

    fn geometry(&self) -> Geometry {
        self.0.borrow().requests.geometry()
    }

    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes> {
        self.0.borrow_mut().requests.read(at, bytes)
    }

    fn write(&self, at: u64, data: Bytes) -> Pending<()> {
        self.0.borrow_mut().requests.write(at, data)
    }

    fn flush(&self) -> Pending<()> {
        let mut state = self.0.borrow_mut();
        if state.queue.can_flush() {
            state.requests.flush()
        } else {
            // A device that cannot be asked has what was written for good at once (5.2.6.2).
            Box::pin(async { Ok(()) })
        }
    }
}

impl State {
    fn submit_waiting(&mut self) {
        if self.stopped.is_none() {
            self.requests.submit(|ask| self.queue.submit(request(ask)));
            self.queue.publish();
        }
    }

    /// What the device is done with. When it breaks the rules, that is all that it was asked for.
    fn take_done(&mut self) -> Vec<Done> {
        if self.stopped.is_none() {
            self.queue.disarm();
            if let Err(fault) = self.complete_all() {
                self.stop(fault);
            }
        }
        self.requests.take_done()
    }

    fn complete_all(&mut self) -> Result<(), Fault> {
        let Self { queue, requests, .. } = self;
        while queue
            .complete(|slot, outcome| requests.complete(slot, outcome.map_err(of_request)))?
        {
        }
        Ok(())
    }

    /// Gives the device up.
    fn stop(&mut self, fault: Fault) {
        log::error!("the disk was stopped: {fault:?}; nothing is read from it any more");
        self.stopped = Some(fault);
        self.queue.stop();
        self.requests.give_up();
    }
}

impl fmt::Debug for VirtioBlk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtioBlk").field(&self.geometry()).finish()
    }
}

fn request(ask: &Ask) -> Request<'_> {
    match ask {
        Ask::Read { at, bytes } => Request::Read { sector: at / SECTOR_BYTES, bytes: *bytes },
        Ask::Write { at, data } => Request::Write { sector: at / SECTOR_BYTES, data },
        Ask::Flush => Request::Flush,
    }
}

fn of_request(error: RequestError) -> DiskError {
    match error {
        RequestError::Failed | RequestError::Unsupported => DiskError::Failed,
        RequestError::Short => DiskError::Short,
    }
}

/// What the device counts in (5.2.4).
const SECTOR_BYTES: u64 = 512;
