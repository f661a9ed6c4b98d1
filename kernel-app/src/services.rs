//! One file per service: a protocol of `endpoints`, opened as its section of the configuration says.

pub mod http;
pub mod rpc;
pub mod zmq;
