//! Against real peers: HTTP, TLS, FastCGI, Gopher, RPC, ZeroMQ, vsock and Unix-domain sockets; and groups of appliances. `cargo xtask test interop`.

pub(crate) mod admin_port;
pub(crate) mod devtools;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod http;
pub(crate) mod services;
pub(crate) mod tls;
pub(crate) mod unix;
pub(crate) mod vsock;
