//! Transports (virtio 1.2, chapter 4): how a device's registers and interrupts are reached.

use super::error::Error;
use super::queue::Addresses;
use crate::interrupt::Line;
use alloc::boxed::Box;
use core::fmt;

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card.
    Network,
    /// A disk.
    Block,
    /// A source of random bytes.
    Entropy,
    /// Sockets between machines and their host.
    Socket,
}

/// What happened at a device, besides interrupts of queue pairs that have one of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// It raised the interrupt that all its queues share.
    pub interrupt: bool,
    /// Its configuration (link, for example) changed.
    pub configuration: bool,
}

impl Events {
    /// What the interrupt status says (4.1.4.5 and 4.2.2), whose reading or writing ended the
    /// interrupt.
    pub(super) fn of_status(status: u8) -> Self {
        Self { interrupt: true, configuration: status & 2 != 0 }
    }
}

/// The interrupt of a queue pair.
#[derive(Debug)]
pub enum Interrupt {
    /// Its own, which the device raises for nothing else.
    Own(OwnInterrupt),
    /// That of the whole device, which [`Control::take_events`](super::Control::take_events) tells of.
    Shared,
}

/// A message that a queue pair's device sends for it alone.
#[derive(Debug)]
pub struct OwnInterrupt(pub(super) Line);

impl Interrupt {
    /// Whether the pair's own was raised since this was last asked.
    pub fn take(&self) -> bool {
        match self {
            Self::Own(OwnInterrupt(line)) => line.take(),
            Self::Shared => false,
        }
    }
}

/// Where a device is told that one of its queues has news for it.
pub(crate) trait Doorbell: Send + fmt::Debug {
    fn ring(&self);
}

/// A device's registers and interrupts, wherever they are.
pub(crate) trait Transport: Send {
    /// The features that the device has.
    fn offered(&mut self) -> u64;
    /// Chooses among them.
    fn accept(&mut self, features: u64);
    fn status(&self) -> u8;
    fn set_status(&mut self, status: u8);
    /// Has changes of the configuration interrupt, which a reset undid.
    fn attach_configuration(&mut self) -> Result<(), Error>;
    /// The interrupt of a queue pair, on this CPU.
    fn pair_interrupt(&mut self, pair: u16) -> Result<Interrupt, Error>;
    /// The longest that a queue may be; 0 when it does not exist.
    fn queue_size_max(&mut self, queue: u16) -> u32;
    /// Gives the device a queue of a pair.
    fn start_queue(
        &mut self,
        queue: u16,
        pair: u16,
        size: u16,
        at: Addresses,
    ) -> Result<Box<dyn Doorbell>, Error>;
    /// As [`Control::take_events`](super::Control::take_events).
    fn take_events(&mut self) -> Events;
    /// A byte of the configuration, which may be shorter.
    fn configuration(&self, offset: usize) -> Option<u8>;
}

/// What a device's number says that it is for (section 5).
pub(super) fn kind_of(number: u32) -> Option<Kind> {
    match number {
        1 => Some(Kind::Network),
        2 => Some(Kind::Block),
        4 => Some(Kind::Entropy),
        19 => Some(Kind::Socket),
        _ => None,
    }
}
