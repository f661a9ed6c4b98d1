//! Split virtqueue whose buffers come back in the order in which they went (virtio 1.2, 2.7).
//!
//! The k-th buffer always sits in descriptor and available slot `k % size`, so the available ring is
//! written once and for all, and adding, returning and checking a buffer are a few plain loads and
//! stores each. They are inlined into the drivers, which are compiled for speed while this crate is
//! compiled for size. The `virtio-drivers` crate's queue, which disks have, publishes and frees buffer
//! by buffer.
//!
//! Where buffers may have two parts, half of the descriptors are for second parts: the k-th buffer's
//! is half of the table behind its first.
//!
//! Devices for which order is free (2.7.9) could in theory return buffers in another order; network
//! devices and those of sockets (QEMU, vhost) do not. One that does is taken for broken.

use super::error::Fault;
use crate::memory::dma::Coherent;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// Largest queue, in buffers, that is asked of a device.
pub(crate) const SIZE_MAX: u16 = 1024;

/// The driver's half of a queue. Counts run freely and wrap at 2^16, as the ring's own do.
#[derive(Debug)]
pub(crate) struct Queue {
    rings: Rings,
    addresses: Addresses,
    /// One less than the numbers of descriptors, and of buffers.
    ring_mask: u16,
    mask: u16,
    event_index: bool,
    /// Buffers added since the start.
    added: u16,
    /// Those of them that the device may see.
    published: u16,
    /// Those of them that were known when a doorbell was last considered.
    considered: u16,
    /// Buffers that the driver has taken back since the start.
    returned: u16,
    /// The device's own count of used buffers, when last read.
    used: u16,
    armed: bool,
}

/// Where the device finds the parts of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) descriptors: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
}

/// Who writes a buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Writer {
    Driver,
    Device,
}

impl Queue {
    /// A queue of `size` buffers (a power of two up to [`SIZE_MAX`]) with interrupts off; `None`
    /// when memory is short.
    pub(crate) fn new(size: u16, event_index: bool) -> Option<Self> {
        Self::with(size, size, event_index)
    }

    /// As [`Queue::new`], with a table of twice that size, so that buffers may have two parts.
    pub(crate) fn in_parts(size: u16, event_index: bool) -> Option<Self> {
        Self::with(size, 2 * size, event_index)
    }

    fn with(size: u16, descriptors: u16, event_index: bool) -> Option<Self> {
        assert!(size.is_power_of_two() && descriptors <= SIZE_MAX);
        let (rings, addresses) = Rings::allocate(descriptors.into(), size)?;
        let mut queue = Self {
            rings,
            addresses,
            ring_mask: descriptors - 1,
            mask: size - 1,
            event_index,
            added: 0,
            published: 0,
            considered: 0,
            returned: 0,
            used: 0,
            armed: true,
        };
        queue.disarm();
        Some(queue)
    }

    /// Makes it as new, for a device that has been reset.
    pub(crate) fn restart(&mut self) {
        self.rings.available_index.store(0, Ordering::Relaxed);
        self.rings.used_index.store(0, Ordering::Relaxed);
        self.rings.used_flags.store(0, Ordering::Relaxed);
        self.rings.available_event.store(0, Ordering::Relaxed);
        (self.added, self.published, self.considered) = (0, 0, 0);
        (self.returned, self.used, self.armed) = (0, 0, true);
        self.disarm();
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// How many buffers there can be at a time.
    pub(crate) fn size(&self) -> u16 {
        self.mask + 1
    }

    /// How many descriptors there are: what devices know as the queue's size.
    pub(crate) fn descriptors(&self) -> u16 {
        self.ring_mask + 1
    }

    /// Buffers added and not taken back.
    #[inline]
    pub(crate) fn in_flight(&self) -> u16 {
        self.added.wrapping_sub(self.returned)
    }

    /// The device may see every buffer that was added.
    #[inline]
    pub(crate) fn is_published(&self) -> bool {
        self.added == self.published
    }

    /// The slot of the next buffer to be added.
    pub(crate) fn next_slot(&self) -> usize {
        usize::from(self.added & self.mask)
    }

    /// The slot of the oldest buffer in flight.
    pub(crate) fn oldest_slot(&self) -> usize {
        usize::from(self.returned & self.mask)
    }

    /// Adds a buffer, for which the queue must have a slot; the device sees it after
    /// [`Queue::publish`].
    pub(crate) fn add(&mut self, address: u64, bytes: u32, writer: Writer) {
        let slot = self.next_slot();
        let flags = if writer == Writer::Device { DESCRIPTOR_WRITE } else { 0 };
        self.rings.descriptors[2 * slot].store(address, Ordering::Relaxed);
        self.rings.descriptors[2 * slot + 1].store(u64::from(bytes) | flags, Ordering::Relaxed);
        self.add_again(1);
    }

    /// Adds a buffer of two parts for the device to read, of which each has an address and a length.
    pub(crate) fn add_in_parts(&mut self, [head, tail]: [(u64, u32); 2]) {
        let slot = self.next_slot();
        let behind = slot + usize::from(self.size());
        let words = &self.rings.descriptors;
        words[2 * behind].store(tail.0, Ordering::Relaxed);
        words[2 * behind + 1].store(u64::from(tail.1), Ordering::Relaxed);
        let next = DESCRIPTOR_NEXT | (behind as u64) << 48;
        words[2 * slot].store(head.0, Ordering::Relaxed);
        words[2 * slot + 1].store(u64::from(head.1) | next, Ordering::Relaxed);
        self.add_again(1);
    }

    /// Adds the buffers that the next `count` slots had before.
    #[inline]
    pub(crate) fn add_again(&mut self, count: u16) {
        debug_assert!(count <= self.size() - self.in_flight());
        self.added = self.added.wrapping_add(count);
    }

    /// Lets the device see what was added.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published != self.added {
            self.published = self.added;
            self.rings.available_index.store(self.added, Ordering::Release);
        }
    }

    /// Whether the device wants to be told of what was published since this was last asked
    /// (2.7.13 and 2.7.10).
    #[inline]
    pub(crate) fn wants_doorbell(&mut self) -> bool {
        let (before, now) = (self.considered, self.published);
        if before == now {
            return false;
        }
        self.considered = now;
        // The device must see the index before what it wants is read: it does the reverse.
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = self.rings.available_event.load(Ordering::Relaxed);
            now.wrapping_sub(event).wrapping_sub(1) < now.wrapping_sub(before)
        } else {
            self.rings.used_flags.load(Ordering::Relaxed) & NO_NOTIFY == 0
        }
    }

    /// How many buffers the device has used and the driver has not taken back, looking at the ring
    /// only when fewer than `enough` are known of.
    #[inline]
    pub(crate) fn used(&mut self, enough: u16) -> Result<u16, Fault> {
        let known = self.used.wrapping_sub(self.returned);
        if known >= enough {
            return Ok(known);
        }
        let used = self.rings.used_index.load(Ordering::Acquire);
        // It never goes back, and never beyond what the device was given.
        let outstanding = self.published.wrapping_sub(self.used);
        if used.wrapping_sub(self.used) > outstanding {
            return Err(Fault::UsedIndex);
        }
        self.used = used;
        Ok(used.wrapping_sub(self.returned))
    }

    /// The length that the device reports for the `nth` used buffer not taken back, which must be
    /// below [`Queue::used`].
    #[inline]
    pub(crate) fn used_length(&self, nth: u16) -> Result<u32, Fault> {
        let count = self.returned.wrapping_add(nth);
        self.check_id(count)?;
        let slot = usize::from(count & self.ring_mask);
        Ok(self.rings.used[2 * slot + 1].load(Ordering::Relaxed))
    }

    /// Takes back all used buffers, whatever the device says of their length; how many.
    #[inline]
    pub(crate) fn take_back_all(&mut self) -> Result<u16, Fault> {
        let used = self.used(u16::MAX)?;
        for _ in 0..used {
            self.check_id(self.returned)?;
            self.returned = self.returned.wrapping_add(1);
        }
        Ok(used)
    }

    /// Takes back the oldest `count` buffers, which must be used.
    #[inline]
    pub(crate) fn take_back(&mut self, count: u16) {
        debug_assert!(count <= self.used.wrapping_sub(self.returned));
        self.returned = self.returned.wrapping_add(count);
    }

    /// The k-th buffer used must be the k-th added.
    #[inline]
    fn check_id(&self, count: u16) -> Result<(), Fault> {
        let slot = usize::from(count & self.ring_mask);
        let id = self.rings.used[2 * slot].load(Ordering::Relaxed);
        if id == u32::from(count & self.mask) { Ok(()) } else { Err(Fault::UsedId) }
    }

    /// Asks for an interrupt when more than `beyond` buffers not taken back are used. False when
    /// that is so already: no interrupt may come then.
    #[inline]
    pub(crate) fn arm(&mut self, beyond: u16) -> bool {
        self.armed = true;
        if self.event_index {
            let event = self.returned.wrapping_add(beyond);
            self.rings.used_event.store(event, Ordering::Relaxed);
        } else {
            self.rings.available_flags.store(0, Ordering::Relaxed);
        }
        // The device must see the wish before the ring is looked at: it does the reverse.
        fence(Ordering::SeqCst);
        let used = self.rings.used_index.load(Ordering::Relaxed);
        used.wrapping_sub(self.returned) <= beyond
    }

    /// Asks for no interrupt. With event index one may come after 65,535 more buffers.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if !self.armed {
            return;
        }
        self.armed = false;
        if self.event_index {
            let passed = self.returned.wrapping_sub(1);
            self.rings.used_event.store(passed, Ordering::Relaxed);
        } else {
            self.rings.available_flags.store(NO_INTERRUPT, Ordering::Relaxed);
        }
    }
}

/// In the second half of a descriptor: length, flags << 32, next << 48.
const DESCRIPTOR_NEXT: u64 = 1 << 32;
const DESCRIPTOR_WRITE: u64 = 2 << 32;
const NO_INTERRUPT: u16 = 1;
const NO_NOTIFY: u16 = 1;

/// The memory of a queue (2.7.5, 2.7.6, 2.7.8), little-endian as the CPU is.
#[derive(Debug)]
struct Rings {
    /// Two words for each buffer: address; length, flags and next.
    descriptors: &'static [AtomicU64],
    available_flags: &'static AtomicU16,
    available_index: &'static AtomicU16,
    used_event: &'static AtomicU16,
    used_flags: &'static AtomicU16,
    used_index: &'static AtomicU16,
    /// Two words for each buffer: id, length.
    used: &'static [AtomicU32],
    available_event: &'static AtomicU16,
}

impl Rings {
    /// With `size` descriptors, for so many buffers at a time.
    fn allocate(size: usize, buffers: u16) -> Option<(Self, Addresses)> {
        let descriptor_bytes = 16 * size;
        let available_bytes = 6 + 2 * size;
        let used_bytes = 6 + 8 * size;
        let gaps = 2 * PART_ALIGN;
        let mut memory =
            Coherent::allocate(descriptor_bytes + available_bytes + used_bytes + gaps)?;
        let descriptors_at = memory.align(PART_ALIGN);
        let descriptors = memory.take_u64(2 * size);
        let addresses =
            Addresses { descriptors: descriptors_at, driver: memory.align(PART_ALIGN), device: 0 };
        let [available_flags, available_index] = memory.take_u16(2) else { return None };
        for (slot, word) in memory.take_u16(size).iter().enumerate() {
            word.store(slot as u16 % buffers, Ordering::Relaxed);
        }
        let [used_event] = memory.take_u16(1) else { return None };
        let addresses = Addresses { device: memory.align(PART_ALIGN), ..addresses };
        let [used_flags, used_index] = memory.take_u16(2) else { return None };
        let used = memory.take_u32(2 * size);
        let [available_event] = memory.take_u16(1) else { return None };
        let rings = Self {
            descriptors,
            available_flags,
            available_index,
            used_event,
            used_flags,
            used_index,
            used,
            available_event,
        };
        Some((rings, addresses))
    }
}

/// More than 2.7 asks for: what the two sides write shares no cache line.
const PART_ALIGN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// virtio 1.2, 2.7: 16 bytes for each descriptor, then 6 and 2 for each slot, then 6 and 8.
    #[test]
    fn the_parts_of_a_queue_of_any_size_lie_one_behind_the_other() {
        for size in (0..=10).map(|exponent| 1 << exponent) {
            let queue = Queue::new(size, true).unwrap();
            let Addresses { descriptors, driver, device } = queue.addresses();
            assert!(driver >= descriptors + 16 * u64::from(size), "{size}");
            assert!(device >= driver + 6 + 2 * u64::from(size), "{size}");
            assert!([descriptors, driver, device].iter().all(|at| at.is_multiple_of(64)));
            assert_eq!((queue.size(), queue.descriptors()), (size, size));
        }
        let queue = Queue::in_parts(512, false).unwrap();
        assert_eq!((queue.size(), queue.descriptors()), (512, 1024));
    }
}
