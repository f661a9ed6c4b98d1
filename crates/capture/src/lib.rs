//! Packet capture without I/O: which frames are wanted, the file that they are written to, and the graph of a connection.
//!
//! A [`Filter`] is a text in a subset of pcap-filter(7), compiled once and asked for each frame. [`pcapng`] writes the blocks of a
//! capture file one after another, so that it can be sent while it grows. A [`Segment`] is what a frame says of a TCP connection,
//! and [`xplot`] draws tcptrace's time-sequence graph of them:
//!
//! ```
//! use capture::{Filter, pcapng};
//!
//! let filter: Filter = "tcp port 80 or 443".parse()?;
//! let mut file = Vec::new();
//! pcapng::section(&mut file, "aqueduct");
//! pcapng::interface(&mut file, "net0", 96);
//! # let frame = [0; 60];
//! if filter.matches(&frame, frame.len()) {
//!     let packet = pcapng::Packet {
//!         interface: 0,
//!         unix_nanoseconds: 1_800_000_000_000_000_000,
//!         is_outbound: false,
//!         frame_bytes: frame.len(),
//!         dropped_before: 0,
//!     };
//!     pcapng::packet(&mut file, &packet, &[&frame]);
//! }
//! # Ok::<(), capture::FilterError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod filter;
mod frame;
mod parser;
pub mod pcapng;
mod segment;
pub mod xplot;

pub use filter::{FILTER_BYTES_MAX, Filter, FilterError, TERMS_MAX};
pub use segment::{SACK_BLOCKS_MAX, Segment, TcpFlags};
