//! Against real peers: HTTP, TLS, FastCGI, Gopher, RPC, ZeroMQ, PostgreSQL, vsock, Unix-domain sockets and shared memory; and groups of appliances.
//! `cargo xtask test interop`.

pub(crate) mod admin_port;
pub(crate) mod crates;
pub(crate) mod debian_package;
pub(crate) mod definitions;
pub(crate) mod devtools;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod http;
pub(crate) mod ivshmem;
pub(crate) mod load;
pub(crate) mod load_image;
pub(crate) mod names;
pub(crate) mod newcomer;
pub(crate) mod oci_image;
pub(crate) mod own_appliance;
pub(crate) mod postgres;
pub(crate) mod service_unit;
pub(crate) mod services;
pub(crate) mod shared_memory;
pub(crate) mod side_by_side;
pub(crate) mod tls;
pub(crate) mod unix;
pub(crate) mod vsock;
