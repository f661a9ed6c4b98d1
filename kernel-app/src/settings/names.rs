//! `[names]`: services by name, and the ways to them.

use alloc::string::String;
use alloc::vec::Vec;
use config::{Names, WayKind};
use core::net::IpAddr;
use core::time::Duration;
use flow::Scheme;
use flow::registry::{HostId, WayPolicy};

/// What `[names]` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesSettings {
    /// Whether names are kept for others.
    pub serve: bool,
    /// What is kept for them at most.
    #[cfg(feature = "vats")]
    pub limits: names::Limits,
    /// Where others keep names, as the configuration has it.
    pub servers: Vec<String>,
    /// Where others reach this machine, if that is said.
    pub address: Option<IpAddr>,
    /// How long what this appliance serves is known after it is gone.
    pub lease: Duration,
    /// Which ways are tried.
    pub ways: WayPolicy,
}

impl NamesSettings {
    /// From the section, on a machine that is on these hosts.
    pub fn new(section: &Names, hosts: Vec<HostId>) -> Self {
        let Names {
            serve,
            servers,
            address,
            lease,
            services_max,
            holder_services_max,
            ways,
            local_timeout,
            remote_timeout,
            retry,
        } = section;
        #[cfg(feature = "vats")]
        let limits = names::Limits {
            services_max: *services_max,
            holder_services_max: *holder_services_max,
            ..names::Limits::default()
        };
        #[cfg(not(feature = "vats"))]
        let _ = (services_max, holder_services_max);
        let ways = WayPolicy {
            hosts,
            schemes: ways.iter().map(|kind| scheme(*kind)).collect(),
            local_timeout: *local_timeout,
            remote_timeout: *remote_timeout,
            retry_after: *retry,
        };
        Self {
            serve: *serve,
            #[cfg(feature = "vats")]
            limits,
            servers: servers.clone(),
            address: *address,
            lease: *lease,
            ways,
        }
    }
}

fn scheme(kind: WayKind) -> Scheme {
    match kind {
        WayKind::Memory => Scheme::Memory,
        WayKind::SharedMemory => Scheme::SharedMemory,
        WayKind::Vchan => Scheme::Vchan,
        WayKind::Unix => Scheme::Unix,
        WayKind::Vsock => Scheme::Vsock,
        WayKind::Tcp => Scheme::Tcp,
        WayKind::Tls => Scheme::Tls,
    }
}
