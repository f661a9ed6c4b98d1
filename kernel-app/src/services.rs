//! One file per service: a protocol of `endpoints`, opened as its section of the configuration says.

pub mod http;
#[cfg(feature = "rpc")]
pub mod rpc;
#[cfg(feature = "zmq")]
pub mod zmq;
