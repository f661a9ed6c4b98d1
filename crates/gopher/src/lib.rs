//! Gopher (RFC 1436) without I/O: the server's side, for the same handlers as HTTP.
//!
//! A [`Connection`] is a [`ServerCore`](web::server::ServerCore). A selector is a request target: `/folder/text.txt`, or
//! without the slash; bytes that no target has are percent-encoded for it. What is searched for is the query's `q`. There
//! are no fields, so that a session is found by its path, its query or its peer, never by a cookie
//! ([`web::session::Mapper`]).
//!
//! What is sent follows from the response's media type: a text and a [menu](web::menu) as lines that end with a dot,
//! all else as it is. A response that is no success is a menu with one item of type 3, or with a link to where it leads.
//!
//! ```
//! use flow::Address;
//! use gopher::{Connection, Shared};
//! use std::rc::Rc;
//! use std::time::Duration;
//! use web::Response;
//! use web::server::{Event, ServerCore};
//!
//! let now = Duration::ZERO;
//! let mut connection = Connection::new(Rc::new(Shared::default()), Address::Memory(0), now);
//! assert_eq!(connection.handle_input(now, b"hello\r\n"), 7);
//! let Some(Event::Request(request)) = connection.poll_event() else { panic!("a request") };
//! assert_eq!(request.path(), b"/hello");
//!
//! connection.respond(now, Response::ok("text/plain", "hello, world\n")).expect("a request is open");
//! let mut out = [0; 512];
//! let count = connection.poll_transmit(now, &mut out);
//! assert_eq!(out[..count], *b"hello, world\r\n.\r\n");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod connection;
mod error;
mod limits;
mod lines;
mod selector;

pub use connection::{Config, Connection, Shared};
pub use error::Error;
pub use limits::Limits;
