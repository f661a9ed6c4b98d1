//! Handlers: what answers requests and calls, one file each.

pub mod rpc;
pub mod samples;
pub mod site;
pub mod transform;
