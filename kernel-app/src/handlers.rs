//! One file per handler.

pub mod debug;
pub mod site;
