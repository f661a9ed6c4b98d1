//! Requests to a disk, from those who wait for them to its driver and back.
//!
//! A driver has a number of *slots*, each for a request that its device has; more wait for their turn here. It takes requests by
//! [`Requests::submit`], says what came of each by [`Requests::complete`], and wakes who waits with
//! [`Requests::take_done`], when nothing of its own is borrowed any more.

use crate::device::{DiskError, Geometry, Pending};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use flow::sync::OneShot;

/// All requests to one disk.
pub struct Requests {
    geometry: Geometry,
    /// What the device has been asked for, by slot.
    asked: Vec<Option<Asked>>,
    /// What it will be asked for.
    waiting: VecDeque<Asked>,
    /// Room for what it is done with, so that nothing is allocated where nobody is there to fail for it.
    done: Vec<Done>,
    is_given_up: bool,
    counters: DiskCounters,
}

/// What is wanted of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// So many bytes from a byte on.
    Read {
        /// The first byte.
        at: u64,
        /// How many.
        bytes: usize,
    },
    /// Bytes to be written from a byte on.
    Write {
        /// The first byte.
        at: u64,
        /// What.
        data: Bytes,
    },
    /// What was written before is to outlive a loss of power.
    Flush,
}

/// What a disk did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Requests that were made.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Requests that the device has.
    pub in_flight: usize,
    /// The most requests that it had at a time.
    pub depth_max: usize,
}

/// A request, and who waits for it.
struct Asked {
    ask: Ask,
    reply: Rc<Reply>,
}

/// Where whoever asked looks for what comes of it.
type Reply = OneShot<Result<Bytes, DiskError>>;

/// A request that is over.
pub struct Done {
    reply: Rc<Reply>,
    outcome: Result<Bytes, DiskError>,
}

impl Requests {
    /// None yet, for a disk of this kind whose driver has so many slots.
    pub fn new(geometry: Geometry, slots: usize) -> Self {
        Self {
            geometry,
            asked: (0..slots).map(|_| None).collect(),
            waiting: VecDeque::new(),
            done: Vec::with_capacity(slots),
            is_given_up: false,
            counters: DiskCounters::default(),
        }
    }

    /// What the disk is like.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What it did so far.
    pub fn counters(&self) -> DiskCounters {
        DiskCounters { in_flight: self.in_flight(), ..self.counters }
    }

    /// Reads whole blocks.
    pub fn read(&mut self, at: u64, bytes: usize) -> Pending<Bytes> {
        let asked = self.ask(Ask::Read { at, bytes });
        Box::pin(async move { asked?.take().await })
    }

    /// Writes whole blocks.
    pub fn write(&mut self, at: u64, data: Bytes) -> Pending<()> {
        let asked = self.ask(Ask::Write { at, data });
        Box::pin(async move { asked?.take().await.map(drop) })
    }

    /// Has what was written before outlive a loss of power.
    pub fn flush(&mut self) -> Pending<()> {
        let asked = self.ask(Ask::Flush);
        Box::pin(async move { asked?.take().await.map(drop) })
    }

    /// Gives the driver what waits, as long as it finds a free slot for it.
    pub fn submit(&mut self, mut submit: impl FnMut(&Ask) -> Option<usize>) {
        while let Some(asked) = self.waiting.pop_front() {
            // Nobody waits for what was read any more.
            if matches!(asked.ask, Ask::Read { .. }) && Rc::strong_count(&asked.reply) == 1 {
                continue;
            }
            match submit(&asked.ask) {
                Some(slot) => self.asked[slot] = Some(asked),
                None => {
                    self.waiting.push_front(asked);
                    break;
                }
            }
        }
        self.counters.depth_max = self.counters.depth_max.max(self.in_flight());
    }

    /// Whether something waits that there is a slot for.
    pub fn can_submit(&self) -> bool {
        !self.waiting.is_empty() && self.in_flight() < self.asked.len()
    }

    /// The device is done with what was in a slot; what was read is copied.
    pub fn complete(&mut self, slot: usize, outcome: Result<&[u8], DiskError>) {
        if let Some(Asked { reply, ask }) = self.asked.get_mut(slot).and_then(Option::take) {
            match (&outcome, &ask) {
                (Ok(data), Ask::Read { .. }) => self.counters.read_bytes += data.len() as u64,
                (Ok(_), Ask::Write { data, .. }) => {
                    self.counters.written_bytes += data.len() as u64;
                }
                (Ok(_), Ask::Flush) => {}
                (Err(_), _) => self.counters.failed += 1,
            }
            self.done.push(Done { reply, outcome: outcome.and_then(copied) });
        }
    }

    /// The device has forgotten what it was asked for: it is asked again, before all else.
    pub fn ask_again(&mut self) {
        for asked in self.asked.iter_mut().rev().filter_map(Option::take) {
            self.waiting.push_front(asked);
        }
    }

    /// The disk is given up: all that was asked for fails, and all that will be.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
        let asked = self.asked.iter_mut().filter_map(Option::take);
        for Asked { reply, .. } in asked.chain(self.waiting.drain(..)) {
            self.counters.failed += 1;
            self.done.push(Done { reply, outcome: Err(DiskError::Gone) });
        }
    }

    /// What is over since this was last called. Each is to be told to who waits for it, who may ask at once; the room is to be
    /// given back by [`put_back`](Self::put_back).
    pub fn take_done(&mut self) -> Vec<Done> {
        core::mem::take(&mut self.done)
    }

    /// Gives back the room that [`take_done`](Self::take_done) took.
    pub fn put_back(&mut self, room: Vec<Done>) {
        if self.done.is_empty() {
            self.done = room;
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<Rc<Reply>, DiskError> {
        self.check(&ask)?;
        let reply = Rc::<Reply>::default();
        self.counters.requests += 1;
        self.waiting.push_back(Asked { ask, reply: reply.clone() });
        Ok(reply)
    }

    fn check(&self, ask: &Ask) -> Result<(), DiskError> {
        if self.is_given_up {
            return Err(DiskError::Gone);
        }
        match ask {
            Ask::Read { at, bytes } => self.geometry.check(*at, *bytes),
            Ask::Write { .. } if self.geometry.is_read_only => Err(DiskError::ReadOnly),
            Ask::Write { at, data } => self.geometry.check(*at, data.len()),
            Ask::Flush => Ok(()),
        }
    }

    fn in_flight(&self) -> usize {
        self.asked.iter().flatten().count()
    }
}

impl Done {
    /// Tells who waits for it.
    pub fn tell(self) {
        self.reply.set(self.outcome);
    }
}

/// What the device read, in memory of its own.
fn copied(bytes: &[u8]) -> Result<Bytes, DiskError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| DiskError::OutOfMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};
    use std::vec;

    fn requests() -> Requests {
        let (capacity_bytes, block_bytes, request_bytes_max) = (8192, 512, 4096);
        let is_read_only = false;
        Requests::new(Geometry { capacity_bytes, block_bytes, request_bytes_max, is_read_only }, 2)
    }

    /// What a driver with that many free slots is asked for: where each begins.
    fn submit(requests: &mut Requests, free: &[usize]) -> Vec<u64> {
        let (mut free, mut asked) = (free.iter().copied(), Vec::new());
        requests.submit(|ask| {
            let slot = free.next()?;
            asked.push(match ask {
                Ask::Read { at, .. } | Ask::Write { at, .. } => *at,
                Ask::Flush => u64::MAX,
            });
            Some(slot)
        });
        asked
    }

    fn tell(requests: &mut Requests) {
        let mut done = requests.take_done();
        done.drain(..).for_each(Done::tell);
        requests.put_back(done);
    }

    fn poll<T>(pending: &mut Pending<T>) -> Poll<Result<T, DiskError>> {
        Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_the_device_forgot_is_asked_again_before_all_else() {
        let mut requests = requests();
        let mut reads: Vec<_> = (0..4).map(|nth| requests.read(nth * 512, 512)).collect();
        assert_eq!(submit(&mut requests, &[0, 1]), [0, 512]);
        assert!(!requests.can_submit());
        requests.complete(0, Ok(&[7; 512]));
        tell(&mut requests);
        assert_eq!(poll(&mut reads[0]), Poll::Ready(Ok(vec![7; 512].into())));
        assert_eq!(submit(&mut requests, &[0]), [1024]);
        requests.ask_again();
        assert!(requests.can_submit());
        assert_eq!(submit(&mut requests, &[1, 0]), [1024, 512]);
        // A late answer to what was there before the device forgot is for none of them.
        requests.complete(5, Ok(&[0; 512]));
        requests.complete(0, Err(DiskError::Failed));
        requests.complete(0, Ok(&[0; 512]));
        tell(&mut requests);
        assert_eq!(poll(&mut reads[1]), Poll::Ready(Err(DiskError::Failed)));
        assert!(poll(&mut reads[2]).is_pending() && poll(&mut reads[3]).is_pending());
        let counters = DiskCounters {
            requests: 4,
            failed: 1,
            read_bytes: 512,
            written_bytes: 0,
            in_flight: 1,
            depth_max: 2,
        };
        assert_eq!(requests.counters(), counters);
    }

    #[test]
    fn what_is_read_and_written_is_counted_when_it_is_done() {
        let mut requests = requests();
        let _read = requests.read(0, 1024);
        let _write = requests.write(0, vec![0; 512].into());
        let _flush = requests.flush();
        submit(&mut requests, &[0, 1]);
        let seen = |requests: &Requests| {
            let DiskCounters { read_bytes, written_bytes, in_flight, .. } = requests.counters();
            (read_bytes, written_bytes, in_flight)
        };
        assert_eq!(seen(&requests), (0, 0, 2));
        requests.complete(0, Ok(&[7; 1024]));
        assert_eq!(seen(&requests), (1024, 0, 1));
        requests.complete(1, Ok(&[]));
        assert_eq!(seen(&requests), (1024, 512, 0));
    }

    #[test]
    fn a_disk_that_is_given_up_leaves_nobody_waiting() {
        let mut requests = requests();
        let (mut read, mut write) = (requests.read(0, 512), requests.write(0, vec![0; 512].into()));
        let mut flush = requests.flush();
        assert_eq!(submit(&mut requests, &[1]), [0]);
        requests.give_up();
        tell(&mut requests);
        assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Gone)));
        assert_eq!(poll(&mut write), Poll::Ready(Err(DiskError::Gone)));
        assert_eq!(poll(&mut flush), Poll::Ready(Err(DiskError::Gone)));
        assert_eq!(poll(&mut requests.read(0, 512)), Poll::Ready(Err(DiskError::Gone)));
        assert_eq!((requests.counters().failed, requests.can_submit()), (3, false));
    }

    #[test]
    fn a_read_that_nobody_waits_for_is_not_made_and_a_write_is() {
        let mut requests = requests();
        drop(requests.read(0, 512));
        drop(requests.write(512, vec![0; 512].into()));
        assert_eq!(submit(&mut requests, &[0, 1]), [512]);
        requests.ask_again();
        assert_eq!(submit(&mut requests, &[0, 1]), [512]);
    }
}
