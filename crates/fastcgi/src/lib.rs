//! FastCGI 1.0 (fastcgi.com, "FastCGI Specification", 29 April 1996) without I/O: the responder's side, which a web
//! server in front asks.
//!
//! A [`Connection`] is a [`ServerCore`](web::server::ServerCore): it makes a [`web::RequestHead`] of a request's CGI
//! variables (RFC 3875 section 4), and a CGI response (section 6) of a [`web::Response`].
//!
//! * The web server is trusted: who asks is whom it names (`REMOTE_ADDR`), and `HTTPS` is its word. So only it should
//!   reach the port.
//! * One request is open on a connection (`FCGI_MPXS_CONNS` is 0); a second one is refused with `FCGI_CANT_MPX_CONN`.
//! * Content is not copied on its way in: events say where it is in the caller's buffer.
//! * Whatever a peer can make grow has a bound in [`Limits`].
//!
//! ```
//! use fastcgi::{Connection, Shared};
//! use flow::Address;
//! use std::rc::Rc;
//! use std::time::Duration;
//! use web::Response;
//! use web::server::{Event, ServerCore};
//!
//! let now = Duration::ZERO;
//! let mut connection = Connection::new(Rc::new(Shared::default()), Address::Memory(0), now);
//!
//! // BEGIN_REQUEST as responder; PARAMS and their end; the end of STDIN.
//! let mut input = b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0".to_vec();
//! let params = b"\x0e\x03REQUEST_METHODGET\x0b\x06REQUEST_URI/hello";
//! input.extend_from_slice(&[1, 4, 0, 1, 0, params.len() as u8, 0, 0]);
//! input.extend_from_slice(params);
//! input.extend_from_slice(b"\x01\x04\0\x01\0\0\0\0\x01\x05\0\x01\0\0\0\0");
//! assert_eq!(connection.handle_input(now, &input), input.len());
//! let Some(Event::Request(request)) = connection.poll_event() else { panic!("a whole request") };
//! assert_eq!(request.path(), b"/hello");
//!
//! connection.respond(now, Response::ok("text/plain", "hello, world\n")).expect("a request is open");
//! let mut out = [0; 512];
//! let count = connection.poll_transmit(now, &mut out);
//! // One STDOUT record, the end of STDOUT, END_REQUEST.
//! assert!(out[8..].starts_with(b"Status: 200 OK\r\n"));
//! assert_eq!(out[count - 16..count], *b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0");
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod connection;
mod error;
mod limits;
mod pairs;
mod params;
mod record;
mod sender;

pub use connection::{Config, Connection, Shared};
pub use error::Error;
pub use limits::Limits;
