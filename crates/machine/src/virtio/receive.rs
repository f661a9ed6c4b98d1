//! Receive ring: buffers that a device fills, shown to the driver in place.

use super::error::{Error, Fault};
use super::queue::{Addresses, Queue, Writer};
use super::transport::Doorbell;
use crate::memory::dma::Mirror;
use alloc::boxed::Box;

/// A queue of equal buffers, all slices of one mirrored ring and always posted in address order, so
/// that what a device spreads over consecutive full buffers is one slice here.
#[derive(Debug)]
pub struct ReceiveRing {
    queue: Queue,
    memory: Mirror,
    buffer_bytes: usize,
    /// Used buffers whose contents the driver may see.
    accepted: u16,
    /// Used buffers that are of no use until there are more.
    short: u16,
    /// Once the device has the queue.
    doorbell: Option<Box<dyn Doorbell>>,
}

impl ReceiveRing {
    /// Posts `buffers` (a power of two) of `buffer_bytes` each; together they fill whole pages.
    pub(crate) fn new(buffers: u16, buffer_bytes: usize, event_index: bool) -> Result<Self, Error> {
        let queue = Queue::new(buffers, event_index).ok_or(Error::OutOfMemory)?;
        let bytes = usize::from(buffers) * buffer_bytes;
        let memory = Mirror::allocate(bytes).ok_or(Error::OutOfMemory)?;
        if memory.bytes() != bytes {
            return Err(Error::Unsupported("receive buffers do not fill whole pages"));
        }
        let mut ring = Self { queue, memory, buffer_bytes, accepted: 0, short: 0, doorbell: None };
        ring.post_all();
        Ok(ring)
    }

    /// Makes it as new, for a device that has been reset.
    pub(crate) fn restart(&mut self) -> Addresses {
        self.queue.restart();
        (self.accepted, self.short) = (0, 0);
        self.post_all();
        self.addresses()
    }

    /// The device has the queue, and is told of news there.
    pub(crate) fn set_doorbell(&mut self, doorbell: Box<dyn Doorbell>) {
        self.doorbell = Some(doorbell);
    }

    fn post_all(&mut self) {
        for buffer in 0..usize::from(self.buffers()) {
            let address = self.memory.physical(buffer * self.buffer_bytes);
            self.queue.add(address, self.buffer_bytes as u32, Writer::Device);
        }
        self.queue.publish();
    }

    /// Bytes in each buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// How many buffers there are.
    pub fn buffers(&self) -> u16 {
        self.queue.size()
    }

    /// How many used buffers wait to be accepted, looking at the ring when fewer than `enough` are
    /// known of.
    #[inline]
    pub fn waiting(&mut self, enough: u16) -> Result<u16, Fault> {
        Ok(self.queue.used(self.accepted + enough)? - self.accepted)
    }

    /// Accepts the next waiting buffer and says how many bytes of it are filled: 1 to
    /// [`ReceiveRing::buffer_bytes`]. `None` when no buffer waits.
    #[inline]
    pub fn accept(&mut self) -> Result<Option<usize>, Fault> {
        if self.waiting(1)? == 0 {
            return Ok(None);
        }
        let filled = self.queue.used_length(self.accepted)? as usize;
        if filled == 0 || filled > self.buffer_bytes {
            return Err(Fault::UsedLength);
        }
        self.accepted += 1;
        self.short = 0;
        Ok(Some(filled))
    }

    /// The first `bytes` of the accepted buffers, oldest first, as one slice; panics when they are
    /// shorter than that.
    #[inline]
    pub fn bytes(&self, bytes: usize) -> &[u8] {
        assert!(bytes <= usize::from(self.accepted) * self.buffer_bytes);
        let offset = self.queue.oldest_slot() * self.buffer_bytes;
        // SAFETY: the range lies in accepted buffers, which the device has returned and which are
        // posted again only by `recycle`, which needs `self` alone.
        unsafe { self.memory.slice(offset, bytes) }
    }

    /// As [`bytes`](Self::bytes), to be changed in place.
    #[inline]
    pub fn bytes_mut(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= usize::from(self.accepted) * self.buffer_bytes);
        let offset = self.queue.oldest_slot() * self.buffer_bytes;
        // SAFETY: as in `bytes`: the device has returned the range, and `recycle` alone posts it again.
        unsafe { self.memory.slice_mut(offset, bytes) }
    }

    /// Gives all accepted buffers back to the device.
    #[inline]
    pub fn recycle(&mut self) {
        if self.accepted > 0 {
            self.queue.take_back(self.accepted);
            self.queue.add_again(self.accepted);
            self.queue.publish();
            self.accepted = 0;
        }
    }

    /// Has all accepted buffers wait again, because what they hold needs more buffers than the
    /// device has returned.
    pub fn put_back(&mut self) {
        self.accepted = 0;
        self.short = self.queue.used(0).unwrap_or(0);
    }

    /// Whether the device wants to be told of recycled buffers.
    #[inline]
    pub fn wants_doorbell(&mut self) -> bool {
        self.queue.wants_doorbell()
    }

    /// Tells the device of recycled buffers.
    #[inline]
    pub fn ring_doorbell(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
    }

    /// Asks for an interrupt at the next buffer that makes a difference. False when there is one.
    #[inline]
    pub fn arm(&mut self) -> bool {
        self.queue.arm(self.accepted.max(self.short))
    }

    /// Asks for no interrupts.
    #[inline]
    pub fn disarm(&mut self) {
        self.queue.disarm();
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.queue.addresses()
    }
}
