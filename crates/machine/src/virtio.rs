//! virtio devices (virtio 1.2): found, negotiated with, and reached through rings that own their
//! buffers.
//!
//! Registers are reached through a [`Bus`], in memory at a fixed place or behind PCI; queues own their
//! memory ([`ReceiveRing`], [`TransmitRing`]). All that a device writes is checked where it is read, so
//! that a driver above needs no unsafe code and a hostile device can stop its own traffic and nothing
//! else.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod mmio;
mod pci;
mod queue;
mod receive;
pub mod rng;
mod transmit;

pub use receive::ReceiveRing;
pub use transmit::TransmitRing;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use queue::{Addresses, SIZE_MAX};

/// Feature bits of every kind of device (virtio 1.2, section 6).
pub mod feature {
    /// Doorbells and interrupts by ring position.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// Not the legacy interface. Always negotiated.
    pub const VERSION_1: u64 = 1 << 32;
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card.
    Network,
    /// A source of random bytes.
    Entropy,
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Memory is short: ask for less.
    OutOfMemory,
    /// All interrupt lines are taken.
    OutOfInterrupts,
    /// The device lacks what its driver needs, which is named.
    Unsupported(&'static str),
    /// The device broke the rules: it must not be used further.
    Broken(Fault),
}

/// What a device did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It returned more buffers than it had.
    UsedIndex,
    /// It returned a buffer that was not next.
    UsedId,
    /// It claims to have filled a buffer beyond its end, or not at all.
    UsedLength,
    /// It spread a frame over no buffers, or over more than there are.
    Merged,
    /// It asks to be reset.
    NeedsReset,
}

/// A device before and while a driver uses it. It is reset when dropped.
pub struct Device {
    kind: Kind,
    bus: Box<dyn Bus>,
    event_index: bool,
}

/// What happened at a device since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// It raised an interrupt.
    pub interrupt: bool,
    /// Its configuration (link, for example) changed.
    pub configuration: bool,
}

/// All devices of a kind, in the order in which the machine lists them. Call once for each kind: a
/// device has one driver.
pub fn devices(kind: Kind) -> Vec<Device> {
    let mut found = mmio::devices(kind);
    found.extend(pci::devices(kind));
    found
}

impl Device {
    fn new(kind: Kind, bus: Box<dyn Bus>) -> Self {
        Self { kind, bus, event_index: false }
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Resets the device and agrees on features (3.1.1): those of `wanted` that it offers and that
    /// `choose` leaves. [`feature::VERSION_1`] is always among them.
    pub fn negotiate(
        &mut self,
        wanted: u64,
        choose: impl FnOnce(u64) -> u64,
    ) -> Result<u64, Error> {
        self.reset()?;
        self.bus.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = self.bus.offered();
        if offered & feature::VERSION_1 == 0 {
            return Err(Error::Unsupported("modern virtio"));
        }
        let agreed = choose(offered & wanted) & offered & wanted | feature::VERSION_1;
        self.bus.accept(agreed);
        self.bus.set_status(status::FEATURES_CHOSEN);
        if self.bus.status() & status::FEATURES_OK == 0 {
            return Err(Error::Unsupported("the chosen features"));
        }
        self.event_index = agreed & feature::EVENT_IDX != 0;
        self.bus.attach_configuration()?;
        Ok(agreed)
    }

    /// Sets queue `index` up to receive into `buffers` of `buffer_bytes` each. Both are rounded:
    /// the number to a power of two that the device can take, the bytes so that they fill pages.
    pub fn receive_ring(
        &mut self,
        index: u16,
        buffers: u16,
        buffer_bytes: usize,
    ) -> Result<ReceiveRing, Error> {
        let size = self.queue_size(index, buffers)?;
        let align = crate::memory::PAGE_BYTES / usize::from(size).min(64);
        let bytes = buffer_bytes.next_multiple_of(align);
        let ring = ReceiveRing::new(size, bytes, self.event_index)?;
        self.start_queue(index, size, ring.addresses())?;
        Ok(ring)
    }

    /// Sets queue `index` up to send up to `buffers` at a time (rounded as for
    /// [`Device::receive_ring`], and half as many as the device has descriptors for) from `memory_bytes`, each at most `buffer_bytes_max` long.
    pub fn transmit_ring(
        &mut self,
        index: u16,
        buffers: u16,
        memory_bytes: usize,
        buffer_bytes_max: usize,
    ) -> Result<TransmitRing, Error> {
        let descriptors = self.queue_size(index, buffers.saturating_mul(2))?;
        let buffers = descriptors / 2;
        if buffers == 0 {
            return Err(Error::Unsupported("buffers in two parts"));
        }
        let ring = TransmitRing::new(buffers, memory_bytes, buffer_bytes_max, self.event_index)?;
        self.start_queue(index, descriptors, ring.addresses())?;
        Ok(ring)
    }

    /// Sets queue `index` up anew after [`Device::negotiate`] has reset the device, on a ring that
    /// an earlier negotiation of the same features made. What was in it is lost.
    pub fn restart_receive_ring(
        &mut self,
        index: u16,
        ring: &mut ReceiveRing,
    ) -> Result<(), Error> {
        self.check_size(index, ring.buffers())?;
        ring.restart();
        self.start_queue(index, ring.buffers(), ring.addresses())
    }

    /// As [`Device::restart_receive_ring`], for sending.
    pub fn restart_transmit_ring(
        &mut self,
        index: u16,
        ring: &mut TransmitRing,
    ) -> Result<(), Error> {
        self.check_size(index, ring.descriptors())?;
        ring.restart();
        self.start_queue(index, ring.descriptors(), ring.addresses())
    }

    /// Tells the device to go (3.1.1, step 8).
    pub fn start(&mut self) {
        self.bus.set_status(status::FEATURES_CHOSEN | status::DRIVER_OK);
    }

    /// Gives the device up for broken: it is reset, and stays so.
    pub fn stop(&mut self) {
        self.bus.set_status(status::FAILED);
        self.bus.set_status(status::RESET);
    }

    /// Tells the device that a queue has news for it.
    pub fn ring_doorbell(&mut self, queue: u16) {
        self.bus.ring_doorbell(queue);
    }

    /// What happened since this was last asked. An interrupt pin is low afterwards, so that the next
    /// event raises it anew: ask before waiting.
    pub fn take_events(&mut self) -> Events {
        self.bus.take_events()
    }

    /// Whether the device says that it cannot go on (2.1.2).
    pub fn needs_reset(&self) -> bool {
        self.bus.status() & status::NEEDS_RESET != 0
    }

    /// A byte of the device's configuration; 0 when it is not that long.
    pub fn configuration(&self, offset: usize) -> u8 {
        self.bus.configuration(offset).unwrap_or(0)
    }

    /// Two consecutive bytes of it, as one number.
    pub fn configuration_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.configuration(offset), self.configuration(offset + 1)])
    }

    fn reset(&mut self) -> Result<(), Error> {
        const POLLS_MAX: u32 = 1_000_000;
        self.bus.set_status(status::RESET);
        let done = (0..POLLS_MAX).any(|_| self.bus.status() == status::RESET);
        if done { Ok(()) } else { Err(Error::Broken(Fault::NeedsReset)) }
    }

    fn queue_size(&mut self, index: u16, wanted: u16) -> Result<u16, Error> {
        let offered = self.bus.queue_size_max(index).min(SIZE_MAX.into()) as u16;
        match wanted.min(offered).checked_ilog2() {
            Some(exponent) => Ok(1 << exponent),
            None => Err(Error::Unsupported("enough queues")),
        }
    }

    fn check_size(&mut self, index: u16, size: u16) -> Result<(), Error> {
        let same = self.queue_size(index, size)? == size;
        if same { Ok(()) } else { Err(Error::Unsupported("what it offered before")) }
    }

    fn start_queue(&mut self, index: u16, size: u16, at: Addresses) -> Result<(), Error> {
        self.bus.start_queue(index, size, at)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.bus.set_status(status::RESET);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The status register's values (2.1).
mod status {
    /// Nothing yet: writing it resets the device.
    pub(super) const RESET: u8 = 0;
    pub(super) const ACKNOWLEDGE: u8 = 1;
    pub(super) const DRIVER: u8 = 1 << 1;
    pub(super) const DRIVER_OK: u8 = 1 << 2;
    pub(super) const FEATURES_OK: u8 = 1 << 3;
    pub(super) const NEEDS_RESET: u8 = 1 << 6;
    pub(super) const FAILED: u8 = 1 << 7;
    pub(super) const FEATURES_CHOSEN: u8 = ACKNOWLEDGE | DRIVER | FEATURES_OK;
}

/// A device's registers and interrupts, wherever they are.
trait Bus: Send {
    /// The features that the device has.
    fn offered(&mut self) -> u64;
    /// Chooses among them.
    fn accept(&mut self, features: u64);
    fn status(&self) -> u8;
    fn set_status(&mut self, status: u8);
    /// Has changes of the configuration interrupt, which a reset undid.
    fn attach_configuration(&mut self) -> Result<(), Error>;
    /// The longest that a queue may be; 0 when it does not exist.
    fn queue_size_max(&mut self, queue: u16) -> u32;
    /// Gives the device a queue.
    fn start_queue(&mut self, queue: u16, size: u16, at: Addresses) -> Result<(), Error>;
    fn ring_doorbell(&self, queue: u16);
    /// As [`Device::take_events`].
    fn take_events(&mut self) -> Events;
    /// A byte of the configuration, which may be shorter.
    fn configuration(&self, offset: usize) -> Option<u8>;
}

impl Events {
    /// What the interrupt status says (4.1.4.5 and 4.2.2), whose reading or writing ended the
    /// interrupt.
    fn of_status(status: u8) -> Self {
        Self { interrupt: true, configuration: status & 2 != 0 }
    }
}

/// What a device's number says that it is for (section 5).
fn kind_of(number: u32) -> Option<Kind> {
    match number {
        1 => Some(Kind::Network),
        4 => Some(Kind::Entropy),
        _ => None,
    }
}
