//! Request/reply services over ZeroMQ with messages in CBOR, and streaming pipelines over flows and ZeroMQ
//! sockets.

mod client;
mod codec;
mod load;
mod scale;
mod server;
mod service;
mod transfer;

pub use client::{CallFailed, Client, make_client};
pub use codec::{BoxedNode, Codec};
pub use pipe::*;
pub use server::{METRICS, Service, make_server, make_server_within};
pub use service::{Compress, ServiceLimits};
pub use transfer::{AsyncSink, FlowSink, FlowSource, Source, ZmqSink, ZmqSource, transfer};

#[cfg(test)]
mod tests;
