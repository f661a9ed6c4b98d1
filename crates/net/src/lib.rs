//! TCP/IP on smoltcp with an O(1) demultiplexer.
//!
//! A [`Stack`] owns one device and is driven by the platform's loop in phases; what it accepts and
//! opens are [`flow::Flow`]s. smoltcp does TCP's inner work, one socket at a time: this crate finds
//! the socket for a frame, does the handshakes, and keeps what smoltcp has no compact form for.
//! ARCHITECTURE, in the order of a frame's way: `port` (device), `demux` (whose frame), `services`
//! (all that is not TCP), `handshake` with `half_open` and `sequence` (opens), `connection` with
//! `calm` and `lent` (data while all goes well), or else `establish` (sockets that are already connected),
//! `rings` and `recovery`; `time_wait` (ends).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod basin;
mod body;
mod calm;
mod config;
mod connection;
mod connector;
mod demux;
mod dialing;
mod establish;
mod exchange;
mod guard;
mod half_open;
mod handshake;
mod lent;
mod listener;
mod moment;
mod names;
mod neighbours;
mod packet;
mod path_mtu;
mod port;
mod probe;
mod recovery;
mod rings;
mod segment;
mod sequence;
mod services;
mod shared;
mod stack;
mod stream;
mod table;
mod tally;
mod time_wait;
mod tuple;

pub use config::{Config, Limits};
pub use connector::TcpConnector;
pub use listener::TcpListener;
pub use port::Card;
pub use probe::{ConnectionInfo, Gauges, Probe, TcpState};
pub use stack::Stack;
pub use stream::TcpFlow;
pub use tally::Count;
