//! Services, one file each: a protocol of `endpoints`, opened as its section of the configuration says.

#[cfg(feature = "admin")]
pub mod admin;
pub mod fastcgi;
pub mod gopher;
pub mod http;
#[cfg(feature = "https")]
pub mod https;
#[cfg(feature = "rpc")]
pub mod rpc;
#[cfg(feature = "rpc-websocket")]
pub(crate) mod rpc_websocket;
#[cfg(feature = "vats")]
pub mod vats;
mod web_service;
pub mod websocket;
pub mod zmq;
