//! Handlers: what answers requests and calls, one file each.

pub(crate) mod access;
pub mod folder_menus;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod samples;
pub mod site;
#[cfg(feature = "https")]
pub(crate) mod to_https;
pub mod transform;
