//! TCP/IP stack: a demultiplexer and a fast path of its own, and smoltcp for what is rare.
//!
//! A [`Stack`] owns one device and is driven by the platform's loop in phases; what it accepts and
//! opens are [`flow::Flow`]s. Of TCP, this crate has the demultiplexer, the handshakes with SYN cookies,
//! the fast path of connections on which all goes well, zero-copy transmission, and TIME-WAIT. A smoltcp
//! socket takes over a connection that is in trouble or needs large buffers, and has its loss recovery
//! and congestion control. What is not TCP goes to a smoltcp interface of its own.
//!
//! The modules, in the order of a frame's way: [`device`] (network cards, and smoltcp's view of them),
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
