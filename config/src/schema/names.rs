//! `[names]`: services by name, and the ways to them.

use alloc::{string::String, vec::Vec};
use core::{fmt, net::IpAddr, str::FromStr, time::Duration};

/// `[names]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Whether this appliance keeps names for others, as the service `names` of its vat. Default false: who may register is
    /// believed.
    pub serve: bool,
    /// Where others keep names that this appliance reads, and registers what it serves with: references, which may be secret,
    /// names of `[capabilities]`, or targets. Default none.
    pub servers: Vec<String>,
    /// The address at which others reach this machine. Default none: the first one of its cards; of a process the one that it
    /// listens on, if that is one.
    pub address: Option<IpAddr>,
    /// For how long what this appliance serves is known after it is gone. Default 10 s: renewed each third of that.
    pub lease: Duration,
    /// Services that are kept for others. Default 1,000, of up to 1 KiB each.
    pub services_max: usize,
    /// Services of them that one holder may have. Default 100.
    pub holder_services_max: usize,
    /// The kinds of ways that are tried to services. Default all; one alone forces it.
    pub ways: Vec<WayKind>,
    /// How long an attempt by memory, Unix-domain socket or vsock may take. Default 1 s: who is on this host and works
    /// accepts within milliseconds.
    pub local_timeout: Duration,
    /// How long another attempt may take. Default 10 s: three SYNs of TCP, and a handshake of TLS.
    pub remote_timeout: Duration,
    /// How long a way that failed is tried after all others. Default 30 s.
    pub retry: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            serve: false,
            servers: Vec::new(),
            address: None,
            lease: Duration::from_secs(10),
            services_max: 1000,
            holder_services_max: 100,
            ways: WayKind::ALL.into(),
            local_timeout: Duration::from_secs(1),
            remote_timeout: Duration::from_secs(10),
            retry: Duration::from_secs(30),
        }
    }
}

/// A kind of way to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayKind {
    /// Inside this process or image.
    Memory,
    /// By memory shared with another process.
    SharedMemory,
    /// By memory shared with another domain of a Xen host.
    Vchan,
    /// By a Unix-domain socket.
    Unix,
    /// By vsock.
    Vsock,
    /// By TCP.
    Tcp,
    /// By TLS over TCP.
    Tls,
}

impl WayKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::SharedMemory,
        Self::Vchan,
        Self::Unix,
        Self::Vsock,
        Self::Tcp,
        Self::Tls,
    ];

    /// What it is called: how targets of it begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::SharedMemory => "shm",
            Self::Vchan => "vchan",
            Self::Unix => "unix",
            Self::Vsock => "vsock",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl FromStr for WayKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or(())
    }
}

impl fmt::Display for WayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
