//! The appliance itself: which port speaks which protocol to which handler, and the loop that
//! drives it, over any [`Platform`].
//!
//! [`app`] holds the table; a handler is one file in [`handlers`]. Nothing here knows whether it
//! runs in a Linux process or on a bare machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod app;
pub mod handlers;
pub mod log_ring;
pub mod network;
pub mod platform;
pub mod runtime;

pub use platform::Platform;
