//! Buffers that a driver fills and a device reads.

use super::queue::{Addresses, Queue, Writer};
use super::{Error, Fault};
use crate::dma::Arena;
use alloc::boxed::Box;
use alloc::vec;

/// A queue whose buffers are carved from one region, in order, and freed in that order.
#[derive(Debug)]
pub struct TransmitRing {
    queue: Queue,
    memory: Arena,
    /// Longest buffer that will be asked for, in bytes.
    buffer_bytes_max: usize,
    /// Where each slot's buffer starts.
    starts: Box<[u32]>,
    /// Where the next buffer starts. At or before the oldest in flight once buffers have wrapped.
    next: usize,
}

impl TransmitRing {
    /// Up to `buffers` (a power of two) in flight, in at least `memory_bytes`, each at most
    /// `buffer_bytes_max` long.
    pub(crate) fn new(
        buffers: u16,
        memory_bytes: usize,
        buffer_bytes_max: usize,
        event_index: bool,
    ) -> Result<Self, Error> {
        let queue = Queue::new(buffers, event_index).ok_or(Error::OutOfMemory)?;
        let wanted = memory_bytes.max(buffer_bytes_max);
        let memory = Arena::allocate(wanted).ok_or(Error::OutOfMemory)?;
        let starts = vec![0; buffers.into()].into_boxed_slice();
        Ok(Self { queue, memory, buffer_bytes_max, starts, next: 0 })
    }

    /// Frees what the device has used, and says whether a buffer of the largest length fits now.
    pub fn ready(&mut self) -> Result<bool, Fault> {
        let used = self.queue.used(u16::MAX)?;
        for nth in 0..used {
            self.queue.used_length(nth)?;
        }
        self.queue.take_back(used);
        Ok(self.make_room())
    }

    /// Whether a buffer of the largest length fits, as far as is known.
    pub fn has_room(&self) -> bool {
        self.room() >= self.buffer_bytes_max
    }

    /// A buffer of `bytes` to fill, with what an earlier frame left in it; panics beyond the
    /// largest length or when [`TransmitRing::ready`] did not say there is room.
    pub fn buffer(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= self.buffer_bytes_max && self.room() >= bytes, "no room was promised");
        // SAFETY: `room` counts only what lies outside all buffers in flight.
        unsafe { self.memory.slice_mut(self.next, bytes) }
    }

    /// Adds the `bytes` last filled to the queue; panics as [`TransmitRing::buffer`] does. The
    /// device sees them after [`TransmitRing::publish`].
    pub fn send(&mut self, bytes: usize) {
        assert!(bytes <= self.buffer_bytes_max && self.room() >= bytes, "no room was promised");
        self.starts[self.queue.next_slot()] = self.next as u32;
        let address = self.memory.physical(self.next);
        self.queue.add(address, bytes as u32, Writer::Driver);
        self.next += bytes.next_multiple_of(BUFFER_ALIGN);
    }

    /// Lets the device see what was sent; whether it wants to be told.
    pub fn publish(&mut self) -> bool {
        self.queue.publish();
        self.queue.wants_doorbell()
    }

    /// Asks for an interrupt when half of the buffers in flight are used. False when they are.
    pub fn arm(&mut self) -> bool {
        self.queue.arm(self.queue.in_flight() / 2)
    }

    /// Asks for no interrupts.
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    /// Buffers that the device has not been seen to have used.
    pub fn in_flight(&self) -> u16 {
        self.queue.in_flight()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.queue.addresses()
    }

    /// Moves `next` to where a buffer of the largest length fits, if there is such a place.
    fn make_room(&mut self) -> bool {
        if self.queue.in_flight() == 0 {
            // The same, warm memory serves again and again while traffic is light.
            self.next = 0;
        }
        if self.has_room() {
            return true;
        }
        let oldest = self.oldest();
        let wraps = self.next > oldest && oldest >= self.buffer_bytes_max;
        if wraps && self.queue.in_flight() < self.queue.size() {
            self.next = 0;
            return true;
        }
        false
    }

    /// Free bytes from `next` on.
    fn room(&self) -> usize {
        if self.queue.in_flight() == 0 {
            self.memory.bytes() - self.next
        } else if self.queue.in_flight() == self.queue.size() {
            0
        } else if self.next > self.oldest() {
            self.memory.bytes().saturating_sub(self.next)
        } else {
            self.oldest() - self.next
        }
    }

    fn oldest(&self) -> usize {
        self.starts[self.queue.oldest_slot()] as usize
    }
}

/// Buffers start on cache lines.
const BUFFER_ALIGN: usize = 64;
