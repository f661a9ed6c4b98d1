//! Handlers: what answers requests and calls, one file each.

pub mod folder_menus;
pub mod rpc;
pub mod samples;
pub mod site;
pub mod transform;
