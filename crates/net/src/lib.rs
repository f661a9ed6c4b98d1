//! TCP/IP stack: what marries the TCP engine (the crate [`tcp`](::tcp)) to network devices, and smoltcp for what
//! is not TCP.
//!
//! A [`Stack`] owns one device and is driven by the platform's loop in phases; what it accepts and
//! opens are [`flow::Flow`]s. Of TCP, this crate has the demultiplexer, handshakes of passive opens with SYN cookies,
//! listeners, TIME-WAIT, the frames, and the memory of paths; what happens in a connection is the engine's. What is not
//! TCP goes to a smoltcp interface.
//!
//! The modules, in the order of a frame's way: [`device`] (network cards, and smoltcp's view of them),
//! [`wire`] (frames and segments as bytes), [`tcp`] (the demultiplexer, the table of connections, opens,
//! ends, and [`tcp::connection`]), [`link`] (all that is not TCP), and [`stack`], which puts them together. [`service_records`]
//! stands by itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod counters;
mod datagrams;
pub mod device;
mod link;
mod request;
pub mod service_records;
mod stack;
mod tcp;
mod time;
mod wire;

pub use config::{Config, CongestionControl, Limits};
pub use counters::{COUNTER_METRICS, Counter, Counts};
pub use datagrams::DatagramError;
pub use stack::Stack;
pub use stack::diagnostics::{ConnectionInfo, Gauges, StackView, TcpState};
pub use stack::inspection::{
    Addresses, CARD_METRICS, CARDS, CONNECTIONS, CardRow, ConnectionId, ConnectionRow,
    GAUGE_METRICS, HardwareAddress, LISTENERS, ListenerRow,
};
pub use tcp::connector::TcpConnector;
pub use tcp::flow::TcpFlow;
pub use tcp::listener::TcpListener;
