//! Demo service: what RPC peers of several languages serve and call, by `demo.capnp`.
#![forbid(unsafe_code)]

extern crate alloc;

pub mod demo;
#[allow(missing_docs, unused, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
pub mod demo_capnp;
