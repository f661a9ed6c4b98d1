//! vsock: streams between a virtual machine and its host (virtio 1.3 section 5.10), without a device.
//!
//! A [`VsockNetwork`] is all sockets of one machine. Tasks see flows, listeners and a connector; whoever drives a device
//! gives it packets ([`VsockNetwork::handle_input`]), takes those that are to leave ([`VsockNetwork::poll_transmit`]) and
//! says what time it is. Nothing here does I/O.
//!
//! The transport below loses nothing and keeps the order, so that a stream is a connection handshake, credit in both
//! directions, and an end of each. What is not acknowledged is not kept: a packet that the device has is sent.
//!
//! What peers make a machine hold is bounded by [`Limits`]: sockets, and bytes in each. A peer that breaks the rules (more
//! bytes than it has credit for, lengths that lie, packets out of turn) loses its connection, and no other is affected.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
mod counters;
mod credit;
mod flow;
mod inspection;
mod keep_alive;
mod listener;
mod network;
mod packet;
mod receive_buffer;
mod send_queue;
mod share;
mod socket;
#[cfg(test)]
mod tests;

pub use counters::{COUNTER_METRICS, Counts};
pub use flow::VsockFlow;
pub use inspection::{CONNECTIONS, ConnectionRow, GAUGE_METRICS};
pub use listener::VsockListener;
pub use network::{HELD_MAX, Limits, VsockNetwork};
pub use packet::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Packet};
