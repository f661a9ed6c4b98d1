//! One file per handler.

pub mod rpc;
pub mod site;
pub mod transform;
