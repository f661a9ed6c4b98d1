//! The appliance itself: which port speaks which protocol to which handler, and the loop that
//! drives it, over any [`Platform`].
//!
//! [`app`] holds the table; a service is one file in [`services`], a handler one in [`handlers`].
//! Nothing here knows whether it runs in a Linux process or on a bare machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// The examples of the page are tests.
#[cfg(all(doctest, feature = "database"))]
#[doc = include_str!("../../docs/examples.md")]
struct Examples;

pub mod app;
#[cfg(feature = "http-client")]
pub mod balanced;
#[cfg(feature = "http-client")]
mod carry;
/// Generated from `schema/appliance.capnp` by `cargo xtask codegen`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod appliance_capnp;
pub mod context;
#[cfg(feature = "database")]
pub mod databases;
#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "http-client")]
mod group;
pub mod handlers;
#[cfg(feature = "inspection")]
mod inspection;
#[cfg_attr(not(feature = "rpc"), allow(dead_code, reason = "nobody is there to change it"))]
mod live_settings;
#[cfg_attr(not(feature = "rpc"), allow(dead_code, reason = "nobody is there to change it"))]
mod live_site;
mod local_port;
mod log_limit;
#[cfg(feature = "admin")]
pub mod log_modules;
pub mod log_ring;
#[cfg(feature = "vats")]
mod names;
pub mod panics;
pub mod platform;
pub mod profile;
mod reason;
pub mod registry;
pub mod runtime;
pub mod service;
mod service_records;
pub mod services;
pub mod settings;
pub mod standard;
#[cfg(feature = "syslog")]
mod syslog;
#[cfg(feature = "https")]
mod tls_server;
#[cfg(any(feature = "https", feature = "database"))]
mod trust;
pub mod turn_watch;
#[cfg(feature = "rpc")]
pub mod vat;

/// The appliance's version: what it says of itself first, and where it is asked.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use platform::Platform;

/// Whether the appliance knows the media type of a file of this name, without being told by its bundle.
pub fn knows_media_type(path: &str) -> bool {
    web::media_type::is_known(path)
}
