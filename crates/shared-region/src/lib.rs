//! Shared region: flows between several peers that have one region of memory in common, as guests of QEMU have by its
//! `ivshmem-doorbell` device, without I/O.
//!
//! Memory that is all zeros is an empty region: nobody has to lay it out. The first peer to come says its version and how
//! large its rings are, and all others follow. In it are
//!
//! - a table of **peers**, who claim an entry each by the number of their [incarnation](Region), by which all else knows them;
//! - a table of **names** at which peers listen;
//! - a table of **slots**, each with room for a pair of rings in the layout of [`shared_ring`]. Whoever connects claims a slot,
//!   lays the rings out and asks the peer who listens, who accepts or refuses.
//!
//! Everything is claimed by one compare-and-swap of the number in it. A number that no entry of the table of peers has is that
//! of a peer who is gone, and what it held is free: nothing has to be cleaned up after a crash.
//!
//! # Liveness
//! Nobody but the host learns that a guest is gone. A peer who has a flow, or wants one, **asks** the other side every
//! second: it raises a counter in the other's entry and rings; the other copies it beside. Who has not answered for
//! [`SILENCE_MAX`] is struck from the table, and all flows with it end, on each side. A heartbeat would wake idle peers for
//! ever; a question wakes those that somebody waits for. A peer that was only paused finds its entry gone, ends its
//! flows, and comes again under another number.
//!
//! # Who is trusted
//! Nobody with what they say: each word is read once and checked, bytes are copied before they are looked at, and what cannot
//! be is taken for nothing, or ends the flow. But **each peer can read and write all of the region**: one that means ill can
//! read, change and cut every flow in it. Peers that do not trust each other want regions of their own, or TLS.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod connect;
mod layout;
mod listen;
mod liveness;
mod memory;
mod region;
mod slot;
mod table;
#[cfg(test)]
mod tests;

pub use connect::RegionConnector;
pub use listen::RegionListener;
pub use liveness::SILENCE_MAX;
pub use memory::RegionMemory;
pub use region::{Limits, Region};
pub use slot::{Slot, SlotBell};

/// A flow in a region.
pub type RegionFlow<M> = shared_ring::RingFlow<Slot<M>, SlotBell<M>>;
