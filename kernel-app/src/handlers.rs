//! One file per handler.

pub mod site;
