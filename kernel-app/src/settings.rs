//! Settings: each section of the configuration as the crates that do its work want it, one file per
//! section.
//!
//! A section is taken apart without `..`, so that a key which nobody reads does not compile. Sections
//! of one key (`[tasks]`, `[log]`, `[shutdown]`) are read where they are used, in the same way. What a
//! crate bounds besides, and no key sets, keeps the crate's default.

#[cfg(feature = "admin")]
pub mod admin;
pub mod affinity;
pub mod balance;
#[cfg(feature = "database")]
pub mod database;
pub mod fastcgi;
pub mod gopher;
pub mod http;
pub mod memory;
pub mod names;
pub mod network;
pub mod proxy;
pub mod relay;
pub mod rpc;
pub mod sessions;
#[cfg(feature = "shared-memory")]
pub mod shared_memory;
pub mod site;
#[cfg(feature = "disk")]
pub mod storage;
pub mod tls;
pub mod unix;
#[cfg(feature = "vsock")]
pub mod vsock;
pub mod zmq;
