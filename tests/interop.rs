//! Against real peers: HTTP, RPC and ZeroMQ. `cargo xtask test interop`.

pub(crate) mod http;
pub(crate) mod services;
