//! One file per handler.

pub mod debug;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod site;
#[cfg(feature = "zmq")]
pub mod transform;
