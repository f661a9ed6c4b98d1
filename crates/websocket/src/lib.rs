//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), without I/O.
//!
//! [`handshake`] decides from an HTTP request or response whether a connection becomes a WebSocket, and what is agreed
//! upon. A [`Connection`] is what runs then, on either side: bytes go in by [`handle_input`](Connection::handle_input) and
//! come out by [`poll_transmit`](Connection::poll_transmit), messages by [`poll_event`](Connection::poll_event) and
//! [`send`](Connection::send). Time is an argument.
//!
//! ```
//! use std::time::Duration;
//! use websocket::{Connection, Event, Limits, Message, Role, Session};
//!
//! let now = Duration::ZERO;
//! let session = |role| Session { role, deflate: None, limits: Limits::default() };
//! let mut client = Connection::new(session(Role::Client { mask_seed: [7; 32] }), now);
//! let mut server = Connection::new(session(Role::Server), now);
//!
//! client.send(now, Message::from("hello")).unwrap();
//! let mut wire = [0; 64];
//! let count = client.poll_transmit(now, &mut wire);
//! assert_eq!(server.handle_input(now, &mut wire[..count]), count);
//! let Some(Event::Message(message)) = server.poll_event() else { panic!("no message") };
//! assert_eq!(message, Message::from("hello"));
//! ```
//!
//! **Memory.** An idle connection is 2 KiB with the task that runs it. It holds at most one message that is not whole
//! ([`Limits::message_bytes_max`]), some dozens of small ones that nobody has taken, and what is not sent
//! ([`Limits::unsent_bytes_max`] and one message). Decompressing takes 43 KiB while a message is under way, and
//! compressing 330 KiB that all connections share, unless a side keeps its context from message to message: see
//! [`Deflate`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod close;
mod connection;
mod deflate;
mod error;
mod extension;
mod frame;
pub mod handshake;
mod limits;
mod mask;
mod message;
mod text;

pub use close::{CloseCode, Closure, REASON_BYTES_MAX};
pub use connection::{Connection, ConnectionState, Event, Refused, Role, Session};
pub use deflate::SharedCompressor;
pub use error::Error;
pub use extension::{AgreedDeflate, Deflate};
pub use limits::Limits;
pub use message::Message;
