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
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::fmt;
use flow::sync::OneShot;
use machine::virtio::{BlockQueue, Control, Request, RequestError};
use storage::{BlockDevice, DiskError, Geometry, Pending};

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

/// What a disk did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were made.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// The most requests that the device had at a time.
    pub depth_max: usize,
}

struct State {
    queue: BlockQueue,
    geometry: Geometry,
    /// What the device has been asked for, by slot.
    asked: Vec<Option<Reply>>,
    /// What it will be asked for.
    waiting: VecDeque<(Ask, Reply)>,
    /// Room for what it is done with, so that nothing is allocated where nobody is there to fail for it.
    done: Vec<Done>,
    stopped: Option<Fault>,
    counters: Counters,
}

/// Where whoever asked looks for what comes of it.
type Reply = Rc<OneShot<Result<Bytes, DiskError>>>;

/// What came of a request.
type Done = (Reply, Result<Bytes, DiskError>);

enum Ask {
    Read { at: u64, bytes: usize },
    Write { at: u64, data: Bytes },
    Flush,
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
        let asked = (0..queue.slots()).map(|_| None).collect();
        let done = Vec::with_capacity(queue.slots());
        let (waiting, counters) = (VecDeque::new(), Counters::default());
        Ok(Self(Rc::new(RefCell::new(State {
            queue,
            geometry,
            asked,
            waiting,
            done,
            stopped: None,
            counters,
        }))))
    }

    /// Takes up what the device is done with, and wakes whoever asked for it; whether there was anything.
    pub fn poll(&self) -> bool {
        let mut done = self.0.borrow_mut().take_done();
        let any = !done.is_empty();
        // Whoever is woken may ask at once.
        for (reply, outcome) in done.drain(..) {
            reply.set(outcome);
        }
        self.0.borrow_mut().done = done;
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
            drop(state);
            self.stop(Fault::NeedsReset);
            return false;
        }
        let can_submit = !state.waiting.is_empty() && state.queue.in_flight() < state.asked.len();
        !can_submit && state.queue.arm()
    }

    /// Why the disk was stopped, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.0.borrow().stopped
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        self.0.borrow().counters
    }

    fn stop(&self, fault: Fault) {
        let lost = self.0.borrow_mut().stop(fault);
        for reply in lost {
            reply.set(Err(DiskError::Gone));
        }
    }

    fn ask(&self, ask: Ask) -> Result<Reply, DiskError> {
        let mut state = self.0.borrow_mut();
        state.check(&ask)?;
        let reply = Reply::default();
        state.counters.requests += 1;
        state.waiting.push_back((ask, reply.clone()));
        Ok(reply)
    }
}

impl BlockDevice for VirtioBlk {
    fn geometry(&self) -> Geometry {
        self.0.borrow().geometry
    }

    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes> {
        let asked = self.ask(Ask::Read { at, bytes });
        Box::pin(async move { asked?.take().await })
    }

    fn write(&self, at: u64, data: Bytes) -> Pending<()> {
        let asked = self.ask(Ask::Write { at, data });
        Box::pin(async move { asked?.take().await.map(drop) })
    }

    fn flush(&self) -> Pending<()> {
        // A device that cannot be asked has what was written for good at once (5.2.6.2).
        let can_flush = self.0.borrow().queue.can_flush();
        let asked = can_flush.then(|| self.ask(Ask::Flush));
        Box::pin(async move {
            match asked {
                Some(asked) => asked?.take().await.map(drop),
                None => Ok(()),
            }
        })
    }
}

impl State {
    fn check(&self, ask: &Ask) -> Result<(), DiskError> {
        if self.stopped.is_some() {
            return Err(DiskError::Gone);
        }
        match ask {
            Ask::Read { at, bytes } => self.geometry.check(*at, *bytes),
            Ask::Write { .. } if self.geometry.is_read_only => Err(DiskError::ReadOnly),
            Ask::Write { at, data } => self.geometry.check(*at, data.len()),
            Ask::Flush => Ok(()),
        }
    }

    fn submit_waiting(&mut self) {
        while self.stopped.is_none()
            && let Some((ask, reply)) = self.waiting.pop_front()
        {
            // Nobody waits for what was read any more.
            if matches!(ask, Ask::Read { .. }) && Rc::strong_count(&reply) == 1 {
                continue;
            }
            match self.queue.submit(request(&ask)) {
                Some(slot) => self.asked[slot] = Some(reply),
                None => {
                    self.waiting.push_front((ask, reply));
                    break;
                }
            }
        }
        self.counters.depth_max = self.counters.depth_max.max(self.queue.in_flight());
        self.queue.publish();
    }

    /// What the device is done with, and for whom. When it breaks the rules, that is all that it was asked for.
    fn take_done(&mut self) -> Vec<Done> {
        let mut done = core::mem::take(&mut self.done);
        if self.stopped.is_some() {
            return done;
        }
        self.queue.disarm();
        loop {
            let asked = &mut self.asked;
            let taken = self.queue.complete(|slot, outcome| {
                if let Some(reply) = asked[slot].take() {
                    done.push((reply, outcome.map_err(of_request).and_then(copied)));
                }
            });
            match taken {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    let lost = self.stop(fault);
                    done.extend(lost.into_iter().map(|reply| (reply, Err(DiskError::Gone))));
                    break;
                }
            }
        }
        let failed = done.iter().filter(|(_, outcome)| outcome.is_err()).count();
        self.counters.failed += failed as u64;
        done
    }

    /// Gives the device up, and says who waits in vain.
    fn stop(&mut self, fault: Fault) -> Vec<Reply> {
        log::error!("the disk was stopped: {fault:?}; nothing is read from it any more");
        self.stopped = Some(fault);
        self.queue.stop();
        let waiting = self.waiting.drain(..).map(|(_, reply)| reply);
        self.asked.iter_mut().filter_map(Option::take).chain(waiting).collect()
    }
}

impl fmt::Debug for VirtioBlk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtioBlk").field(&self.0.borrow().geometry).finish()
    }
}

fn request(ask: &Ask) -> Request<'_> {
    match ask {
        Ask::Read { at, bytes } => Request::Read { sector: at / SECTOR_BYTES, bytes: *bytes },
        Ask::Write { at, data } => Request::Write { sector: at / SECTOR_BYTES, data },
        Ask::Flush => Request::Flush,
    }
}

/// What the device read, in memory of its own.
fn copied(bytes: &[u8]) -> Result<Bytes, DiskError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| DiskError::OutOfMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into())
}

fn of_request(error: RequestError) -> DiskError {
    match error {
        RequestError::Failed | RequestError::Unsupported => DiskError::Failed,
        RequestError::Short => DiskError::Short,
    }
}

/// What the device counts in (5.2.4).
const SECTOR_BYTES: u64 = 512;
