//! Transmit ring: buffers that a driver fills and a device reads.

use super::error::{Error, Fault};
use super::queue::{Addresses, Queue, Writer};
use super::transport::Doorbell;
use crate::memory::dma::{Arena, SharedBytes};
use alloc::boxed::Box;
use alloc::vec;
use bytes::Bytes;

/// A queue whose buffers are carved from one region, in order, and freed in that order. Behind a
/// buffer the device may find bytes that stay where they are.
#[derive(Debug)]
pub struct TransmitRing {
    queue: Queue,
    memory: Arena,
    /// Longest buffer that will be asked for, in bytes.
    buffer_bytes_max: usize,
    /// Where each slot's buffer starts.
    starts: Box<[u32]>,
    /// What the device reads behind each slot's buffer; how many there are of them.
    tails: Box<[Option<SharedBytes>]>,
    tails_held: usize,
    /// The free bytes that the next buffer can have: from `next` up to `limit`. None while all slots
    /// of the queue are taken.
    next: usize,
    limit: usize,
    /// Once the device has the queue.
    doorbell: Option<Box<dyn Doorbell>>,
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
        let queue = Queue::in_parts(buffers, event_index).ok_or(Error::OutOfMemory)?;
        let wanted = memory_bytes.max(buffer_bytes_max);
        let memory = Arena::allocate(wanted).ok_or(Error::OutOfMemory)?;
        let starts = vec![0; buffers.into()].into_boxed_slice();
        let tails = (0..buffers).map(|_| None).collect();
        let limit = memory.bytes();
        let (tails_held, next, doorbell) = (0, 0, None);
        Ok(Self {
            queue,
            memory,
            buffer_bytes_max,
            starts,
            tails,
            tails_held,
            next,
            limit,
            doorbell,
        })
    }

    /// Makes it as new, for a device that has been reset.
    pub(crate) fn restart(&mut self) -> Addresses {
        self.queue.restart();
        self.tails.fill_with(|| None);
        self.tails_held = 0;
        self.find_room();
        self.addresses()
    }

    /// The device has the queue, and is told of news there.
    pub(crate) fn set_doorbell(&mut self, doorbell: Box<dyn Doorbell>) {
        self.doorbell = Some(doorbell);
    }

    /// Frees what the device has used, and says whether a buffer of the largest length fits now.
    #[inline]
    pub fn reclaim(&mut self) -> Result<bool, Fault> {
        let oldest = self.queue.oldest_slot();
        let count = self.queue.take_back_all()?;
        if self.tails_held > 0 {
            self.release(oldest, count.into());
        }
        self.find_room();
        Ok(self.has_room())
    }

    /// Whether a buffer of the largest length fits, as far as is known.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.limit - self.next >= self.buffer_bytes_max
    }

    /// Has `fill` fill a buffer of `bytes`, in which it finds what an earlier one left, and adds it to
    /// the queue; the device sees it after [`TransmitRing::publish`]. Panics without
    /// [`TransmitRing::has_room`] or beyond the largest length.
    #[inline]
    pub fn send<R>(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let (at, result) = self.build(bytes, fill);
        self.queue.add(at, bytes as u32, Writer::Driver);
        self.advance(bytes);
        result
    }

    /// As [`TransmitRing::send`], for a buffer that goes on with `tail`, which the device reads where it lies, and
    /// which is held on to until it is done with that.
    #[inline]
    pub fn send_with_tail<R>(
        &mut self,
        bytes: usize,
        tail: Bytes,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if tail.is_empty() {
            return self.send(bytes, fill);
        }
        let (at, result) = self.build(bytes, fill);
        let shared = SharedBytes::new(tail);
        let slot = self.queue.next_slot();
        self.queue.add_in_parts([(at, bytes as u32), (shared.physical(), shared.bytes() as u32)]);
        self.tails[slot] = Some(shared);
        self.tails_held += 1;
        self.advance(bytes);
        result
    }

    /// Has `fill` fill the next buffer, of that length; where it is.
    #[inline]
    fn build<R>(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> (u64, R) {
        assert!(bytes <= self.buffer_bytes_max && self.has_room(), "no room was promised");
        // SAFETY: what lies between `next` and `limit` is in no buffer in flight.
        let buffer = unsafe { self.memory.slice_mut(self.next, bytes) };
        let result = fill(buffer);
        self.starts[self.queue.next_slot()] = self.next as u32;
        (self.memory.physical(self.next), result)
    }

    /// A buffer of that length was added.
    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.next += bytes.next_multiple_of(BUFFER_ALIGN);
        if self.queue.in_flight() == self.queue.size() {
            self.limit = self.next;
        }
    }

    /// Lets go of what the device has read behind so many buffers, from this slot on.
    fn release(&mut self, oldest: usize, count: usize) {
        for nth in oldest..oldest + count {
            let slot = nth % self.tails.len();
            self.tails_held -= usize::from(self.tails[slot].take().is_some());
        }
    }

    /// Lets the device see what was sent; whether it wants to be told.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.queue.publish();
        self.queue.wants_doorbell()
    }

    /// Tells the device of what was published.
    #[inline]
    pub fn ring_doorbell(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
    }

    /// Nothing was sent that the device does not see.
    #[inline]
    pub fn is_published(&self) -> bool {
        self.queue.is_published()
    }

    /// Asks for an interrupt when half of the buffers in flight are used. False when they are.
    #[inline]
    pub fn arm(&mut self) -> bool {
        self.queue.arm(self.queue.in_flight() / 2)
    }

    /// Asks for no interrupts.
    #[inline]
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    /// How many descriptors the queue has: two for each buffer that can be in flight.
    pub(crate) fn descriptors(&self) -> u16 {
        self.queue.descriptors()
    }

    /// Buffers that the device has not been seen to have used.
    pub fn in_flight(&self) -> u16 {
        self.queue.in_flight()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.queue.addresses()
    }

    /// Looks where the next buffer can go, now that others may have been freed.
    #[inline]
    fn find_room(&mut self) {
        if self.queue.in_flight() == 0 {
            // One place of warm memory serves again and again while traffic is light.
            (self.next, self.limit) = (0, self.memory.bytes());
            return;
        }
        if self.queue.in_flight() == self.queue.size() {
            return;
        }
        let oldest = self.starts[self.queue.oldest_slot()] as usize;
        if self.next <= oldest {
            // Buffers in flight reach round the end.
            self.limit = oldest;
        } else if self.memory.bytes() - self.next < self.buffer_bytes_max
            && oldest >= self.buffer_bytes_max
        {
            (self.next, self.limit) = (0, oldest);
        } else {
            self.limit = self.memory.bytes();
        }
    }
}

/// Buffers start on cache lines, and so end the free bytes before them.
const BUFFER_ALIGN: usize = 64;
