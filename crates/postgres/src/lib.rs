//! Sans-I/O client of PostgreSQL's protocol 3.0, and 3.2 where the server has it, with values in binary both ways.
//!
//! [`Connection`] is one conversation with a server (PostgreSQL documentation, chapter "Frontend/Backend Protocol"):
//! bytes in, [`Event`]s and bytes out. It has no socket, no clock and no random source: time is a
//! [`core::time::Duration`] since an epoch of the caller's choice, and the nonce is an argument.
//!
//! Requests are *steps*: [`parse`](Connection::parse), [`describe`](Connection::describe),
//! [`execute`](Connection::execute), [`close_statement`](Connection::close_statement), and
//! [`sync`](Connection::sync) behind them. Any number may be under way; events come in the order of the steps. An error ends
//! what follows it up to the next `sync`, which is always answered by [`Event::Ready`].
//!
//! A server is not trusted: each length is compared with a field of [`Limits`] before anything is held, and a message that
//! has no place in the present state ends the connection with an [`Error`] that names it.
//!
//! ```
//! use postgres::{Connection, Limits, Settings};
//!
//! let settings = Settings::new("alice").password("secret").database("shop");
//! let mut connection = Connection::new(settings, Limits::default(), [7; 18]);
//! let mut packet = [0; 256];
//! let count = connection.poll_transmit(core::time::Duration::ZERO, &mut packet);
//! assert_eq!(packet[4..8], [0, 3, 0, 2]);
//! assert!(packet[..count].ends_with(b"DateStyle\0ISO\0\0"));
//! ```
//!
//! Published crates of the protocol (`postgres-protocol`, `postgres-types`, `scram`, `sqlstate`, `stringprep`) need `std`.
//! Of others' this uses *ring* for SHA-256 and HMAC, `md-5`, `base64ct`, `unicode-normalization`, `uuid` and `serde_json`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod authentication;
mod cancel;
mod connection;
mod error;
mod frontend;
mod limits;
mod message;
mod rows;
mod saslprep;
mod scram;
mod server_error;
mod settings;
mod sqlstate;
mod types;

pub use bytes::Bytes;
pub use cancel::{CancelKey, SSL_REQUEST};
pub use connection::{Completion, Connection, Event, Notification, TransactionStatus};
pub use error::{Error, SendError, ValueError};
pub use limits::Limits;
pub use rows::{Column, Columns, Format, IntoRows, Row, Rows};
pub use server_error::{ServerError, Severity};
pub use settings::{ChannelBinding, Methods, Settings};
pub use sqlstate::SqlState;
pub use types::{Date, FromSql, Json, Numeric, Oid, ParseNumericError, Time, Timestamp, ToSql};
pub use uuid::Uuid;
