//! Fake device for tests on a host: it has no behaviour of its own, and does to the rings what the
//! test says, right or wrong.

use super::control::Control;
use super::error::Error;
use super::feature;
use super::queue::Addresses;
use super::transport::{Doorbell, Events, Interrupt, Kind, Transport};
use crate::memory::dma::host;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use spinning_top::Spinlock;

/// What a fake device offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What it says it is.
    pub kind: Kind,
    /// Its feature bits.
    pub features: u64,
    /// Its configuration space.
    pub configuration: Vec<u8>,
    /// The longest queue that it takes, for each of its queues.
    pub queue_sizes: Vec<u16>,
}

/// The test's hold on a fake device.
#[derive(Clone)]
pub struct DeviceSide(Arc<Spinlock<State>>);

/// A buffer, or several in a chain, that the driver made available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The descriptor that it starts with.
    pub id: u16,
    /// Address, length, and whether the device may write.
    pub buffers: Vec<(u64, u32, bool)>,
}

/// A device for the driver and the other end of it for the test.
pub fn device(offer: Offer) -> (Control, DeviceSide) {
    let queues = offer.queue_sizes.iter().map(|_| Queue::default()).collect();
    let state = State { offer, accepted: 0, status: 0, queues, events: Events::default() };
    let kind = state.offer.kind;
    let side = DeviceSide(Arc::new(Spinlock::new(state)));
    (Control::new(kind, Box::new(side.clone())), side)
}

impl DeviceSide {
    /// Changes the features on offer.
    pub fn offer(&self, features: u64) {
        self.0.lock().offer.features = features;
    }

    /// The features that the driver accepted.
    pub fn accepted(&self) -> u64 {
        self.0.lock().accepted
    }

    /// The status register (2.1).
    pub fn status(&self) -> u8 {
        self.0.lock().status
    }

    /// Sets bits of the status register.
    pub fn set_status(&self, bits: u8) {
        self.0.lock().status |= bits;
    }

    /// Changes a byte of the configuration and says so.
    pub fn configure(&self, offset: usize, value: u8) {
        let mut state = self.0.lock();
        state.offer.configuration[offset] = value;
        state.events.configuration = true;
    }

    /// Raises the device's interrupt.
    pub fn interrupt(&self) {
        self.0.lock().events.interrupt = true;
    }

    /// How often the driver rang for a queue.
    pub fn doorbells(&self, queue: u16) -> u64 {
        self.queue(queue, |queue| queue.doorbells)
    }

    /// How many descriptors a queue has.
    pub fn size(&self, queue: u16) -> u16 {
        self.queue(queue, |queue| queue.size)
    }

    /// How many buffers the driver has made available since the start.
    pub fn available(&self, queue: u16) -> u16 {
        self.queue(queue, |queue| read_u16(queue.at.driver + 2))
    }

    /// How many of them the device has not taken yet.
    pub fn waiting(&self, queue: u16) -> u16 {
        self.queue(queue, |queue| read_u16(queue.at.driver + 2).wrapping_sub(queue.taken))
    }

    /// The next available chain.
    pub fn take(&self, queue: u16) -> Option<Chain> {
        self.queue(queue, |queue| {
            if read_u16(queue.at.driver + 2) == queue.taken {
                return None;
            }
            let slot = u64::from(queue.taken % queue.size);
            queue.taken = queue.taken.wrapping_add(1);
            Some(chain(queue, read_u16(queue.at.driver + 4 + 2 * slot)))
        })
    }

    /// What the driver wrote to a chain.
    pub fn read(&self, chain: &Chain) -> Vec<u8> {
        let readable = chain.buffers.iter().filter(|(_, _, writable)| !writable);
        readable.flat_map(|&(at, bytes, _)| host::read(at, bytes as usize)).collect()
    }

    /// Writes to what the driver allows of a chain; panics when that is too short.
    pub fn write(&self, chain: &Chain, bytes: &[u8]) {
        let mut rest = bytes;
        for &(at, length, _) in chain.buffers.iter().filter(|(_, _, writable)| *writable) {
            let (now, later) = rest.split_at(rest.len().min(length as usize));
            host::write(at, now);
            rest = later;
        }
        assert!(rest.is_empty(), "the chain is too short");
    }

    /// Returns a buffer. True when the driver wants an interrupt for it (2.7.7, 2.7.10).
    pub fn put(&self, queue: u16, id: u32, bytes: u32) -> bool {
        self.queue(queue, |queue| {
            let slot = u64::from(queue.put % queue.size);
            host::write(queue.at.device + 4 + 8 * slot, &id.to_le_bytes());
            host::write(queue.at.device + 8 + 8 * slot, &bytes.to_le_bytes());
            queue.set_put(queue.put.wrapping_add(1))
        })
    }

    /// Sets the count of returned buffers without returning any. True as for [`DeviceSide::put`].
    pub fn set_put(&self, queue: u16, count: u16) -> bool {
        self.queue(queue, |queue| queue.set_put(count))
    }

    /// Writes `bytes` at `offset` of the used ring, whatever that breaks.
    pub fn scribble(&self, queue: u16, offset: u64, bytes: &[u8]) {
        self.queue(queue, |queue| host::write(queue.at.device + offset, bytes));
    }

    /// Asks for a doorbell once the driver has made more than `count` buffers available.
    pub fn want_doorbell_after(&self, queue: u16, count: u16) {
        self.queue(queue, |queue| {
            let at = queue.at.device + 4 + 8 * u64::from(queue.size);
            host::write(at, &count.to_le_bytes());
        });
    }

    /// Says by flag whether doorbells are wanted, for drivers without event index.
    pub fn want_doorbells(&self, queue: u16, wanted: bool) {
        let flags = u16::from(!wanted).to_le_bytes();
        self.queue(queue, |queue| host::write(queue.at.device, &flags));
    }

    fn queue<R>(&self, queue: u16, with: impl FnOnce(&mut Queue) -> R) -> R {
        let mut state = self.0.lock();
        let event_index = state.accepted & feature::EVENT_IDX != 0;
        let queue = &mut state.queues[usize::from(queue)];
        queue.event_index = event_index;
        with(queue)
    }
}

struct State {
    offer: Offer,
    accepted: u64,
    status: u8,
    queues: Vec<Queue>,
    events: Events,
}

#[derive(Default)]
struct Queue {
    size: u16,
    at: Addresses,
    event_index: bool,
    taken: u16,
    put: u16,
    doorbells: u64,
}

impl Queue {
    fn set_put(&mut self, count: u16) -> bool {
        let before = core::mem::replace(&mut self.put, count);
        host::write(self.at.device + 2, &count.to_le_bytes());
        if self.event_index {
            let event = read_u16(self.at.driver + 4 + 2 * u64::from(self.size));
            count.wrapping_sub(event).wrapping_sub(1) < count.wrapping_sub(before)
        } else {
            read_u16(self.at.driver) & 1 == 0
        }
    }
}

fn chain(queue: &Queue, id: u16) -> Chain {
    let (mut buffers, mut at) = (Vec::new(), id);
    loop {
        assert!(at < queue.size && buffers.len() < queue.size.into(), "descriptor {at}");
        let descriptor = host::read(queue.at.descriptors + 16 * u64::from(at), 16);
        let number = |from, to| {
            descriptor[from..to].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        };
        let flags = number(12, 14);
        buffers.push((number(0, 8), number(8, 12) as u32, flags & 2 != 0));
        if flags & 1 == 0 {
            return Chain { id, buffers };
        }
        at = number(14, 16) as u16;
    }
}

fn read_u16(physical: u64) -> u16 {
    let bytes = host::read(physical, 2);
    u16::from_le_bytes([bytes[0], bytes[1]])
}

#[derive(Debug)]
struct Bell {
    device: DeviceSide,
    queue: u16,
}

impl Doorbell for Bell {
    fn ring(&self) {
        self.device.queue(self.queue, |queue| queue.doorbells += 1);
    }
}

impl fmt::Debug for DeviceSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSide")
    }
}

impl Transport for DeviceSide {
    fn offered(&mut self) -> u64 {
        self.0.lock().offer.features
    }

    fn accept(&mut self, features: u64) {
        self.0.lock().accepted = features;
    }

    fn status(&self) -> u8 {
        self.0.lock().status
    }

    fn set_status(&mut self, status: u8) {
        self.0.lock().status = status;
    }

    fn attach_configuration(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn queue_size_max(&mut self, queue: u16) -> u32 {
        let state = self.0.lock();
        state.offer.queue_sizes.get(usize::from(queue)).copied().unwrap_or(0).into()
    }

    fn pair_interrupt(&mut self, _pair: u16) -> Result<Interrupt, Error> {
        Ok(Interrupt::Shared)
    }

    fn start_queue(
        &mut self,
        queue: u16,
        _pair: u16,
        size: u16,
        at: Addresses,
    ) -> Result<Box<dyn Doorbell>, Error> {
        self.queue(queue, |queue| *queue = Queue { size, at, ..Queue::default() });
        Ok(Box::new(Bell { device: self.clone(), queue }))
    }

    fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.0.lock().events)
    }

    fn configuration(&self, offset: usize) -> Option<u8> {
        self.0.lock().offer.configuration.get(offset).copied()
    }
}
