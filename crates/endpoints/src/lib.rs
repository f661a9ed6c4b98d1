//! Endpoints, where protocol cores meet flows: one module per protocol, each with its way to serve and its way
//! to connect. It re-exports what an application writer needs of the cores.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// The examples of the page on pipelines are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/pipelines.md")]
struct Pipelines;

pub mod drive;
pub mod fastcgi;
pub mod gopher;
pub mod http;
/// Generated from `schema/network.capnp` by `cargo xtask codegen`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod network_capnp;
pub mod pipe;
pub mod places;
pub mod postgres;
pub mod rpc;
pub mod server;
mod supervise;
#[cfg(feature = "tls")]
pub mod tls;
pub mod websocket;
pub mod zmq;
