//! Sans-I/O Cap'n Proto RPC: a complete vat of level 1, and level 2's services by name, as
//! `schema/rpc.capnp` describes them. It knows no socket, clock or executor.
//!
//! A message's way in: [`Vat::handle_input`] (`connection`) gives bytes to the connection's `stream`,
//! where `framing` cuts them into messages, unpacked by `packing` if need be. `wire::decode` makes a
//! plain value of each, and one function for each in `inbound` acts on it. What a capability is and
//! in which order calls reach it is in `node`; the life of a call is in `call`, its contents are a
//! `payload`. [`Vat::poll_event`] tells the application.
//!
//! And out: `outbound` says things to the peer, in the bytes that `wire::encode` appends to the
//! `stream` and [`Vat::poll_transmit`] hands out.
//!
//! [`typed`] puts the `capnp` crate's clients and servers on top, for code that the standard
//! `capnpc` plugin generates: a [`System`] is a vat with typed objects and running handlers.
//!
//! What a peer can make a vat hold is bounded by [`Limits`]: its calls wait in the stream or are refused where there
//! is no room (`admission`), and a peer that exceeds what cannot wait, or breaks the protocol, gets an abort with the
//! reason. Calls fail with an [`Exception`] of four kinds.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod admission;
mod bounds;
mod call;
mod connection;
mod exception;
mod framing;
mod inbound;
mod limits;
mod node;
mod outbound;
mod packing;
mod payload;
mod received;
pub mod slot;
mod stream;
mod sturdy;
mod table;
pub mod typed;
mod vat;
mod wire;

/// The protocol's messages, generated from `schema/rpc.capnp` by `cargo run -p aqueduct-rpc --example codegen`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod rpc_capnp;

/// What persistent objects answer, generated likewise from `schema/persistent.capnp`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod persistent_capnp;

pub use bounds::MessageBounds;
pub use connection::TableSizes;
pub use exception::{Exception, Kind};
pub use limits::Limits;
pub use payload::Payload;
pub use stream::Encoding;
pub use sturdy::{
    Fingerprint, ParseSturdyRefError, SERVICE_BYTES_MAX, SOCKET_PATH_BYTES_MAX, SturdyRef, VatPlace,
};
pub use typed::{Grants, Resolver, Restorer, ServiceTable, System};
pub use vat::{CallId, Cap, ConnId, Event, ObjectId, Vat};
