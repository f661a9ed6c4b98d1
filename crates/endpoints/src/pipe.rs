//! Request/reply services over ZeroMQ with messages in CBOR, and streaming pipelines over flows and ZeroMQ
//! sockets.

mod client;
mod codec;
mod load;
mod scale;
mod server;
mod service;
mod through;
mod transfer;

pub use client::{CallFailed, Client, make_client, make_client_with};
pub use codec::{BoxedNode, Codec};
pub use pipe::*;
pub use server::{METRICS, Service, make_server, make_server_with, make_server_within};
pub use service::{Compress, ServiceLimits};
pub use through::ZmqThrough;
pub use transfer::{AsyncSink, FlowSink, FlowSource, Source, ZmqSink, ZmqSource, transfer};

#[cfg(test)]
mod tests;
