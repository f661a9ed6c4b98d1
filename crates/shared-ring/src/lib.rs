//! Shared rings: a byte stream in each direction through memory that two sides share, without I/O.
//!
//! The layout is that of Xen's libxenvchan (`xen/include/public/io/libxenvchan.h`): a [control page](Geometry) with a
//! producer's and a consumer's counter for each ring, and the rings themselves. The server makes the memory and lays it
//! out; the client finds what it needs in the control page. [`Ring`] is one side of it, over whatever [`SharedMemory`] is
//! there; [`Rings`] makes flows of such sides. How the two sides meet, and by what a [`Doorbell`] rings, is a transport's.
//!
//! Notifications are few: a side asks for one, by a bit, when it finds nothing to read or no room, and the other side
//! notifies when it has done what was asked for, once in each turn of its loop.
//!
//! **The other side is hostile.** Each of its counters is read once and checked; what it writes is copied before anybody
//! sees it; our own counters are never read back. A counter that cannot be true ends the flow, and nothing else.
//!
//! # Ends
//! libxenvchan knows one end, that of both directions: a side's liveness byte becomes 0. Half-close is an extension in bits
//! that libxenvchan leaves alone, those of the notification byte in which a side asks: [`control::TELLS_ENDS`] from the
//! start, and [`control::FINISHED`] once it has written all. A side that tells its ends and is gone without having finished
//! was cut off. One that does not tell, a program of libxenvchan's, has no other way to finish than to go.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod busy_poll;
pub mod control;
mod counters;
mod flow;
mod geometry;
mod inspection;
mod memory;
mod ring;
mod rings;
#[cfg(test)]
mod tests;
mod watch;

pub use crate::flow::RingFlow;
pub use busy_poll::BusyPoll;
pub use counters::{COUNTER_METRICS, Counts};
pub use geometry::{BadGeometry, Geometry};
pub use inspection::{FLOWS, FlowInfo, FlowRow};
pub use memory::SharedMemory;
pub use ring::{Fill, Readable, Ring, Role, Violation, Waits};
pub use rings::{Doorbell, GAUGE_METRICS, Peer, Rings};
pub use watch::Watcher;
