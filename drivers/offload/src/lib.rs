//! What network cards leave to their drivers and take off them: checksums, and the header by which a
//! virtio card or a TAP says which.
//!
//! A driver finds the TCP or UDP packet in a frame with [`Transport`], and leaves its checksum to the
//! card or checks it itself.
#![no_std]
#![forbid(unsafe_code)]

mod checksum;
pub mod header;

pub use checksum::Transport;

/// Bytes of an Ethernet header.
pub const ETHERNET_BYTES: usize = 14;
