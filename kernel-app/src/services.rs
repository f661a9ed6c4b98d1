//! Services, one file each: a protocol of `endpoints`, opened as its section of the configuration says.

pub mod http;
pub mod rpc;
pub mod websocket;
pub mod zmq;
