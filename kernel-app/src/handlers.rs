//! One file per handler.

pub mod debug;
pub mod rpc;
pub mod site;
pub mod zmq;
