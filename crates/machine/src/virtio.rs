//! virtio devices (virtio 1.2): found, negotiated with, and reached through rings that own their
//! buffers.
//!
//! A device is its [`Control`] side and the [`QueuePair`]s that this sets up, of which one is for one CPU.
//! Registers are reached through a transport, in memory at a fixed place or behind PCI; queues own their
//! memory ([`ReceiveRing`], [`TransmitRing`], [`BlockQueue`], of which the last has a ring of the crate
//! `virtio-drivers`). All that a device writes is checked where it is read, so that a driver above needs no
//! unsafe code and a hostile device can stop its own traffic and nothing else.

mod block;
mod bridge;
mod control;
mod discovery;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod feature;
mod mmio;
mod pci;
mod queue;
mod receive;
pub mod rng;
mod transmit;
mod transport;

pub use block::{BlockQueue, Geometry, Request, RequestError};
pub use control::{Control, PairSettings, QueuePair};
pub use discovery::{devices, unusable_cards};
pub use error::{Error, Fault};
pub use receive::ReceiveRing;
pub use transmit::TransmitRing;
pub use transport::{Events, Interrupt, Kind, OwnInterrupt};
