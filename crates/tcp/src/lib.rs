//! TCP engine without I/O: segments and calls in, segments and events out.
//!
//! It implements RFC 9293 with RFC 5961 (blind attacks), 7323 (window scale, timestamps, PAWS), 2018 and 2883
//! (SACK, D-SACK), 3168 (ECN), 6298 (RTO), 8985 (RACK-TLP), 9937 (PRR), 3522, 4015 and 5682 (undo), 6582 (without
//! SACK), 9438 with 9406 (CUBIC with HyStart++), 5681 with 3465 (Reno), and BBR. There is no clock, no device, no
//! executor, no wire format but that of options, and no unsafe code. Everything is a function of
//! `(state, segment or call, now)`.
//!
//! # How to drive it
//!
//! One [`Shared`] holds the settings, the budget of buffer memory and the counters of all connections, and is
//! passed to each call. A [`Connection`] is made in one of three ways: [`connect`](Connection::connect),
//! [`accept`](Connection::accept) of a SYN, or [`from_handshake`](Connection::from_handshake) when a SYN queue or a
//! cookie has done it already. Then:
//!
//! ```text
//!  a segment arrived   handle_segment(shared, now, &segment, payload)  ┐
//!  the user calls      room/filled, write, share, close, consume, ..   ├─> poll_event until None
//!  the time has come   handle_timeout(shared, now)                     ┘   poll_transmit until None
//!                                                                          next_deadline into the timer heap
//! ```
//!
//! - **After each call, and after all calls of a turn**, [`poll_transmit`](Connection::poll_transmit) until it says
//!   `None`: an answer then leaves together with the acknowledgement of its question. What is sent is described,
//!   not copied: [`payload`](Connection::payload) gives the slices to copy or to
//!   [hold on to](Slice::shared), at most one long shared one, at the end. A [`Transmit`] may be larger than a
//!   segment ([`Transmit::mss`] is the size for segmentation offload); [`Transmit::segments`] cuts it for a device
//!   that does not. What was described counts as sent. A device that is full is not asked, not told afterwards.
//! - [`next_deadline`](Connection::next_deadline) changes with every call. Timers are lazy: a deadline that moved
//!   later need not be told before the old one comes.
//! - **Reading** is in place: [`received_mut`](Connection::received_mut) and [`consume`](Connection::consume). Bytes
//!   of a device that gives its [pages](Payload::of_page) away stay where it put them.
//! - **Writing** is in place too: [`room`](Connection::room) and [`filled`](Connection::filled), or
//!   [`share`](Connection::share) of bytes that stay where they are, in any order.
//! - **The end.** [`Event::TimeWait`]: after the last transmission, keep [`Connection::time_wait`] instead and go on
//!   with [`TimeWait::handle_segment`]. [`Event::Closed`]: nothing is left but bytes to be read. Call
//!   [`release`](Connection::release) before a connection is dropped: its buffers are counted.
//!
//! # What is left to who drives it
//!
//! Wire format, checksums, ports and the demultiplexer; initial sequence numbers (RFC 6528) and timestamp offsets;
//! listeners, SYN queue and cookies ([`listen`] says what a segment without a connection is answered,
//! [`Config::syn_options`] what a SYN-ACK offers); the table of TIME-WAIT; what the path is known to take
//! ([`handle_path_mss`](Connection::handle_path_mss) for "fragmentation needed", [`Event::PathMss`] to remember);
//! the ECN bits of the IP header ([`Segment::ecn`](segment::Segment::ecn)).
//!
//! # The files
//!
//! `connection/` is the textbook: `open`, `syn`, `input` with `expected` (header prediction), `acknowledge`,
//! `output` with `schedule`, `window`, `timers`, `close`, `path`. Beside it: `state` (the diagram), `scoreboard`,
//! `recovery/`, `congestion/`, `rtt`, `send_buffer`, `receive_buffer` with `reassembly`, `memory`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod congestion;
mod connection;
mod counters;
pub mod listen;
mod memory;
pub mod options;
mod queue;
mod reassembly;
mod receive_buffer;
mod recovery;
mod rtt;
mod scoreboard;
pub mod segment;
mod send_buffer;
mod sequence;
mod state;
mod time;
pub mod time_wait;

pub use config::{Config, Shared};
pub use congestion::Algorithm;
pub use connection::{CloseReason, Connection, Event, Events, Handshake, Info, Open, Transmit};
pub use counters::Counters;
pub use memory::{Buffer, Memory, PAGE_BYTES};
pub use options::Options;
pub use receive_buffer::Payload;
pub use segment::{Ecn, Flags, Segment};
pub use send_buffer::{Slice, Slices};
pub use sequence::SeqNumber;
pub use state::State;
pub use time::{Duration, Instant};
pub use time_wait::TimeWait;
