//! One file per handler.

#[cfg(not(all(feature = "rpc", feature = "zmq")))]
pub mod absent;
pub mod debug;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod site;
#[cfg(feature = "zmq")]
pub mod zmq;
