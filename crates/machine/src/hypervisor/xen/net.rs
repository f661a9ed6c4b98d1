//! Network rings: the two of a Xen interface's queue and the pages behind them (Xen, public/io/netif.h).
//!
//! Receive pages are granted while the backend may fill them, and taken back before anybody looks:
//! what is lent to the stack is ordinary private memory. Transmit pages stay granted, read-only.
//! Taking back and granting anew are stores to the grant table; neither asks the hypervisor.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod protocol;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

pub use super::ring::OutOfMemory;
pub use protocol::{FRAME_BYTES_MAX, Fault, Refusals};
pub use receive::{Frame, ReceiveRing};
pub use transmit::{Offload, TransmitRing};
