//! Sans-I/O Cap'n Proto RPC.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod call;
mod connection;
mod exception;
mod framing;
mod inbound;
mod limits;
mod node;
mod outbound;
mod payload;
pub mod slot;
mod sturdy;
mod table;
pub mod typed;
mod vat;
mod wire;

/// The protocol's messages, generated from `schema/rpc.capnp` by `cargo run -p rpc --example codegen`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod rpc_capnp;

pub use connection::TableSizes;
pub use exception::{Exception, Kind};
pub use limits::Limits;
pub use payload::Payload;
pub use sturdy::{Fingerprint, ParseSturdyRefError, SERVICE_BYTES_MAX, SturdyRef};
pub use typed::{Resolver, Restorer, ServiceTable, System};
pub use vat::{CallId, Cap, ConnId, Event, ObjectId, Vat};
