//! HTTP/1.1 (RFC 9112) without I/O, server and client from one core.
//!
//! The core knows no socket, clock or executor. A [`server::Connection`] or [`client::Connection`] is fed
//! what arrived (`handle_input`), says what came of it (`poll_event`), is asked for what is to be sent
//! (`poll_transmit`), and told the time, which
//! is a [`Duration`](core::time::Duration) since an epoch of the caller's choice (`next_deadline`,
//! `handle_timeout`). What RFC 9110 says about the meaning of messages is in [`web`].
//!
//! * Content is not copied: events say where it is in the caller's ring. A head is copied once.
//! * Anything that two parsers could read in two ways is refused where it is parsed, and the
//!   connection ends with it. Each rule is cited where it is enforced and has a test of its name.
//! * Whatever a peer can make grow has a bound in [`Limits`].
//!
//! ```
//! use http::server::{Connection, Event, Shared};
//! use http::ConnectionState;
//! use std::rc::Rc;
//! use std::time::Duration;
//! use web::{Method, Response, Status};
//!
//! let now = Duration::ZERO;
//! let mut connection = Connection::new(Rc::new(Shared::default()), now);
//!
//! // From the receive ring; what is not consumed stays there.
//! let ring = b"GET /hello HTTP/1.1\r\nHost: a.example\r\n\r\n";
//! let consumed = connection.handle_input(now, ring);
//! assert_eq!(consumed, ring.len());
//! let Some(Event::Request(request)) = connection.poll_event() else { panic!("a whole request") };
//!
//! let response = match (request.method(), request.path()) {
//!     (Method::Get, b"/hello") => Response::ok("text/plain", "hello, world\n"),
//!     _ => Response::plain(Status::NOT_FOUND),
//! };
//! connection.respond(now, response).expect("a request is open");
//!
//! // Into the transmit ring.
//! let mut out = [0; 512];
//! let count = connection.poll_transmit(now, &mut out);
//! assert!(out[..count].ends_with(b"\r\n\r\nhello, world\n"));
//! assert_eq!(connection.state(), ConnectionState::Open);
//! // Until then the next request may take its time.
//! assert_eq!(connection.next_deadline(), Some(now + Duration::from_secs(75)));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod body;
pub mod client;
mod error;
mod events;
mod head;
mod limits;
mod request;
mod send;
pub mod server;

pub use error::Error;
pub use limits::Limits;
pub use web::server::{ConnectionState, OutOfTurn};
