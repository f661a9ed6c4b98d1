//! `[names]`: services by name, and the ways to them.

use alloc::vec::Vec;
use config::{Names, WayKind};
use flow::Scheme;
use flow::registry::{HostId, WayPolicy};

/// What `[names]` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesSettings {
    /// Which ways are tried.
    pub ways: WayPolicy,
}

impl NamesSettings {
    /// From the section, on a machine that is on these hosts.
    pub fn new(section: &Names, hosts: Vec<HostId>) -> Self {
        let Names { ways, local_timeout, remote_timeout, retry } = section;
        let ways = WayPolicy {
            hosts,
            schemes: ways.iter().map(|kind| scheme(*kind)).collect(),
            local_timeout: *local_timeout,
            remote_timeout: *remote_timeout,
            retry_after: *retry,
        };
        Self { ways }
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
