//! TCP/IP on smoltcp with an O(1) demultiplexer.
//!
//! A [`Stack`] owns one device and is driven by the platform's loop in phases; what it accepts and
//! opens are [`flow::Flow`]s. smoltcp does TCP's inner work, one socket at a time: this crate finds
//! the socket for a frame, does the handshakes, and keeps what smoltcp has no compact form for.
//!
//! The wings, in the order of a frame's way: [`device`] (network cards, and smoltcp's view of them),
//! [`wire`] (frames and segments as bytes), [`tcp`] (the demultiplexer, the table of connections, opens,
//! ends, and [`tcp::connection`]), [`link`] (all that is not TCP), and [`stack`], which puts them together.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod counters;
pub mod device;
mod link;
mod stack;
mod tcp;
mod time;
mod wire;

pub use config::{Config, CongestionControl, Limits};
pub use counters::Counter;
pub use stack::Stack;
pub use stack::diagnostics::{ConnectionInfo, Gauges, StackView, TcpState};
pub use tcp::connector::TcpConnector;
pub use tcp::flow::TcpFlow;
pub use tcp::listener::TcpListener;
