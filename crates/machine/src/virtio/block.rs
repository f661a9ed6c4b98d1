//! Queue of a disk (virtio 1.2, 5.2): requests that the device answers in any order, in buffers of its own.
//!
//! The ring is the crate `virtio-drivers`' one; its driver of disks is not used, since that drops the length that a device
//! reports, without which a read that fell short would pass for a whole one. Each request has a *slot*, which is a header, a
//! status and room for data. What is read is copied out of its slot: the device keeps no way to bytes that others look at.

#[cfg(test)]
mod tests;

use super::bridge::{Bridge, Memory};
use super::control::Control;
use super::error::{Error, Fault};
use super::transport::Kind;
use crate::memory::PAGE_BYTES;
use crate::memory::dma::Arena;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

/// What a device counts in, whatever its blocks are (5.2.4).
const SECTOR_BYTES: usize = 512;

/// A disk that works.
pub struct BlockQueue {
    /// Dropped first: the device is reset before its queue goes.
    bridge: Bridge,
    queue: VirtQueue<Memory, DESCRIPTORS>,
    slots: Vec<Option<InFlight>>,
    memory: Arena,
    geometry: Geometry,
    can_flush: bool,
    /// The device has not been told of all requests.
    is_unpublished: bool,
}

/// What a disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How long it is.
    pub capacity_bytes: u64,
    /// What requests begin and end at multiples of. A power of two.
    pub block_bytes: usize,
    /// The longest request.
    pub request_bytes_max: usize,
    /// It takes no writes.
    pub is_read_only: bool,
}

/// What a disk is asked for. Sectors have 512 bytes each; data is whole blocks of at most
/// [`request_bytes_max`](Geometry::request_bytes_max).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// So many bytes from a sector on.
    Read {
        /// The first sector.
        sector: u64,
        /// How much.
        bytes: usize,
    },
    /// Bytes to be written from a sector on.
    Write {
        /// The first sector.
        sector: u64,
        /// What.
        data: &'a [u8],
    },
    /// What was written before is to outlive a loss of power.
    Flush,
}

/// Why a request failed. The others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The device could not do it.
    Failed,
    /// The device cannot do such a thing.
    Unsupported,
    /// The device gave less than was asked for.
    Short,
}

/// A request that the device has.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    token: u16,
    shape: Shape,
}

/// Which parts of a slot are the device's to read and to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Read { bytes: usize },
    Write { bytes: usize },
    Flush,
}

impl BlockQueue {
    /// Negotiates with a disk and starts it, with `slots` requests at a time at most, of `request_bytes_max` each.
    ///
    /// # Errors
    /// The device is no disk, has sectors of a size that is none, or memory is short.
    pub fn open(
        mut control: Control,
        slots: usize,
        request_bytes_max: usize,
    ) -> Result<Self, Error> {
        if control.kind() != Kind::Block {
            return Err(Error::Unsupported("a disk's work"));
        }
        let wanted = READ_ONLY | BLOCK_SIZE | FLUSH | SEGMENT_SIZE_MAX;
        let features = control.negotiate(wanted, |features, _| features)?;
        let geometry = geometry(&control, features, request_bytes_max)?;
        let slots = slots.clamp(1, DESCRIPTORS / DESCRIPTORS_OF_ONE);
        let memory = Arena::allocate(slots * slot_bytes(&geometry)).ok_or(Error::OutOfMemory)?;
        let mut bridge = Bridge::new(control)?;
        let queue = VirtQueue::new(&mut bridge, QUEUE, false, false).map_err(of_crate)?;
        bridge.check()?;
        bridge.control().start();
        let can_flush = features & FLUSH != 0;
        let slots = alloc::vec![None; slots];
        Ok(Self { bridge, queue, slots, memory, geometry, can_flush, is_unpublished: false })
    }

    /// What it is like.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Requests at a time at most.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Requests that the device has.
    pub fn in_flight(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Gives the device a request, which it sees at the latest with [`publish`](Self::publish). Its number among those at
    /// work, or `None` if there are as many as there can be.
    ///
    /// # Panics
    /// The request is longer than the longest, or has no whole blocks.
    pub fn submit(&mut self, request: Request<'_>) -> Option<usize> {
        let slot = self.slots.iter().position(Option::is_none)?;
        let shape = self.prepare(slot, request);
        let slot_bytes = slot_bytes(&self.geometry);
        // SAFETY: no request is in this slot, so that the device has no part of it.
        let memory = unsafe { self.memory.slice_mut(slot * slot_bytes, slot_bytes) };
        let added = with_parts(memory, shape, |readable, writable| {
            // SAFETY: the slot's memory is there as long as the device, and is left alone until `complete` has taken the
            // request off the queue.
            unsafe { self.queue.add(readable, writable) }
        });
        // There are as many descriptors as all slots need; a queue that says otherwise is full.
        let token = added.ok()?;
        self.slots[slot] = Some(InFlight { token, shape });
        self.is_unpublished = true;
        Some(slot)
    }

    /// Tells the device of requests that it has not seen.
    pub fn publish(&mut self) {
        if !core::mem::take(&mut self.is_unpublished) {
            return;
        }
        // 2.7.13.4.1: what was made available is to be seen before the device's wish is read.
        fence(Ordering::SeqCst);
        if self.queue.should_notify() {
            self.bridge.notify(QUEUE);
        }
    }

    /// Takes up a request that the device is done with, if there is one: `done` is told its number and what came of it, with
    /// what was read. False if there is none.
    ///
    /// # Errors
    /// The device broke the rules: it answered what it was not asked, or says that it wrote more than it could. It is to be
    /// [stopped](Self::stop).
    pub fn complete(
        &mut self,
        done: impl FnOnce(usize, Result<&[u8], RequestError>),
    ) -> Result<bool, Fault> {
        let Some(token) = self.queue.peek_used() else { return Ok(false) };
        let is_it = |one: &Option<InFlight>| one.is_some_and(|one| one.token == token);
        let slot = self.slots.iter().position(is_it).ok_or(Fault::UsedId)?;
        let Some(InFlight { shape, .. }) = self.slots[slot] else { return Err(Fault::UsedId) };
        let slot_bytes = slot_bytes(&self.geometry);
        // SAFETY: nobody else looks at the slot, and the device has said that it is done with it.
        let memory = unsafe { self.memory.slice_mut(slot * slot_bytes, slot_bytes) };
        let popped = with_parts(memory, shape, |readable, writable| {
            // SAFETY: the same parts as in `submit`.
            unsafe { self.queue.pop_used(token, readable, writable) }
        });
        let written = popped.map_err(|_| Fault::UsedId)? as usize;
        self.slots[slot] = None;
        done(slot, outcome(memory, shape, written)?);
        Ok(true)
    }

    /// Asks for an interrupt; false when there is something to take up.
    pub fn arm(&mut self) -> bool {
        self.queue.set_dev_notify(true);
        // 2.7.7.1: what was asked for is to be seen before the ring is looked at.
        fence(Ordering::SeqCst);
        !self.queue.can_pop()
    }

    /// Wants no interrupts for now.
    pub fn disarm(&mut self) {
        self.queue.set_dev_notify(false);
    }

    /// Takes the device's interrupts; whether it says that it cannot go on.
    pub fn needs_reset(&mut self) -> bool {
        self.bridge.take_events().configuration && self.bridge.control().needs_reset()
    }

    /// Gives the device up for broken: it is reset, and answers nothing any more.
    pub fn stop(&mut self) {
        self.bridge.control().stop();
    }

    /// Writes a request's header, and what it is to write.
    fn prepare(&mut self, slot: usize, request: Request<'_>) -> Shape {
        let Geometry { block_bytes, request_bytes_max, .. } = self.geometry;
        let whole = |bytes: usize| {
            let is_whole = bytes > 0 && bytes.is_multiple_of(block_bytes);
            assert!(is_whole && bytes <= request_bytes_max, "a request is some whole blocks");
        };
        let slot_bytes = slot_bytes(&self.geometry);
        // SAFETY: no request is in this slot, so that the device has no part of it.
        let memory = unsafe { self.memory.slice_mut(slot * slot_bytes, slot_bytes) };
        let (kind, sector, shape) = match request {
            Request::Read { sector, bytes } => {
                whole(bytes);
                (IN, sector, Shape::Read { bytes })
            }
            Request::Write { sector, data } => {
                whole(data.len());
                memory[DATA_AT..DATA_AT + data.len()].copy_from_slice(data);
                (OUT, sector, Shape::Write { bytes: data.len() })
            }
            Request::Flush => (FLUSH_REQUEST, 0, Shape::Flush),
        };
        memory[..8].copy_from_slice(&u64::from(kind).to_le_bytes());
        memory[8..HEADER_BYTES].copy_from_slice(&sector.to_le_bytes());
        memory[STATUS_AT] = STATUS_UNWRITTEN;
        shape
    }

    /// Whether what was written can be made to outlive a loss of power; else it does so at once.
    pub fn can_flush(&self) -> bool {
        self.can_flush
    }
}

impl fmt::Debug for BlockQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockQueue").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

/// What came of a request whose slot the device has returned.
fn outcome(
    memory: &[u8],
    shape: Shape,
    written: usize,
) -> Result<Result<&[u8], RequestError>, Fault> {
    let bytes = match shape {
        Shape::Read { bytes } => bytes,
        Shape::Write { .. } | Shape::Flush => 0,
    };
    if written > bytes + 1 {
        return Err(Fault::UsedLength);
    }
    Ok(match memory[STATUS_AT] {
        // Some devices do not count the status.
        STATUS_OK if written >= bytes => Ok(&memory[DATA_AT..DATA_AT + bytes]),
        STATUS_OK => Err(RequestError::Short),
        STATUS_UNSUPPORTED => Err(RequestError::Unsupported),
        _ => Err(RequestError::Failed),
    })
}

/// A slot's parts, first those that the device reads (5.2.6): header, data, status.
fn with_parts<R>(
    slot: &mut [u8],
    shape: Shape,
    with: impl for<'a> FnOnce(&'a [&'a [u8]], &'a mut [&'a mut [u8]]) -> R,
) -> R {
    let (head, data) = slot.split_at_mut(DATA_AT);
    let (header, status) = head.split_at_mut(STATUS_AT);
    let (header, status) = (&header[..HEADER_BYTES], &mut status[..1]);
    match shape {
        Shape::Read { bytes } => with(&[header], &mut [&mut data[..bytes], status]),
        Shape::Write { bytes } => with(&[header, &data[..bytes]], &mut [status]),
        Shape::Flush => with(&[header], &mut [status]),
    }
}

fn geometry(control: &Control, features: u64, request_bytes_max: usize) -> Result<Geometry, Error> {
    let block_bytes = match features & BLOCK_SIZE {
        0 => SECTOR_BYTES,
        _ => control.configuration_u32(CONFIGURATION_BLOCK_SIZE) as usize,
    };
    if !block_bytes.is_power_of_two() || !(SECTOR_BYTES..=PAGE_BYTES).contains(&block_bytes) {
        return Err(Error::Unsupported("blocks of 512 to 4096 bytes"));
    }
    let segment_bytes_max = match features & SEGMENT_SIZE_MAX {
        0 => usize::MAX,
        _ => control.configuration_u32(CONFIGURATION_SEGMENT_SIZE_MAX) as usize,
    };
    let request_bytes_max = request_bytes_max.min(segment_bytes_max) & !(block_bytes - 1);
    if request_bytes_max == 0 {
        return Err(Error::Unsupported("requests of a block"));
    }
    let sectors = control.configuration_u64(CONFIGURATION_CAPACITY);
    let capacity_bytes = sectors.saturating_mul(SECTOR_BYTES as u64) & !(block_bytes as u64 - 1);
    Ok(Geometry {
        capacity_bytes,
        block_bytes,
        request_bytes_max,
        is_read_only: features & READ_ONLY != 0,
    })
}

fn slot_bytes(geometry: &Geometry) -> usize {
    DATA_AT + geometry.request_bytes_max.next_multiple_of(PAGE_BYTES)
}

/// What the crate says of a queue that cannot be set up.
fn of_crate(error: virtio_drivers::Error) -> Error {
    match error {
        virtio_drivers::Error::DmaError => Error::OutOfMemory,
        _ => Error::Unsupported("a queue of 64 descriptors"),
    }
}

const QUEUE: u16 = 0;
const DESCRIPTORS: usize = 64;
/// Header, data and status.
const DESCRIPTORS_OF_ONE: usize = 3;

/// Where the parts of a slot are. Data has pages of its own, as hosts want it that read past their cache.
const HEADER_BYTES: usize = 16;
const STATUS_AT: usize = HEADER_BYTES;
const DATA_AT: usize = PAGE_BYTES;

/// Feature bits (5.2.3).
const SEGMENT_SIZE_MAX: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 5;
const BLOCK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;

/// Places in the configuration (5.2.4).
const CONFIGURATION_CAPACITY: usize = 0;
const CONFIGURATION_SEGMENT_SIZE_MAX: usize = 8;
const CONFIGURATION_BLOCK_SIZE: usize = 20;

/// Kinds of request, and what a device says of one (5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH_REQUEST: u32 = 4;
const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
const STATUS_UNWRITTEN: u8 = 0xff;
