//! The typed configuration: one struct per section of `appliance.toml`. Each field says its unit,
//! its default and why; `keys.rs` holds the names and the allowed ranges.

use crate::{Cidr, CongestionControl};
use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};

/// The whole configuration. `Config::default()` serves `site/` on port 80 with an address by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Addresses and routes.
    pub network: Network,
    /// The web server.
    pub http: Http,
    /// Limits and buffers of TCP, for all services.
    pub tcp: Tcp,
    /// The RPC service.
    pub rpc: Rpc,
    /// The ZMTP service.
    pub zmq: Zmq,
    /// The executor.
    pub tasks: Tasks,
    /// The serial log.
    pub log: Log,
    /// The graceful stop.
    pub shutdown: Shutdown,
    /// Aids for tests and diagnosis.
    pub debug: Debug,
}

impl Config {
    /// The services that are on, by their sections, and their ports.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let ports =
            [("http", Some(self.http.port)), ("rpc", self.rpc.port), ("zmq", self.zmq.port)];
        ports.into_iter().filter_map(|(service, port)| Some((service, port?)))
    }
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Ask for an IPv4 address, gateway and name servers by DHCP. Default true: works in QEMU's
    /// user networking and in most networks without a line of configuration.
    pub dhcp: bool,
    /// Form an IPv6 address from router advertisements (RFC 4862). Default true, for the same reason.
    pub slaac: bool,
    /// Static addresses of either family. Default none.
    pub addresses: Vec<Cidr>,
    /// Default gateways, at most one per family. Default none: by DHCP or router advertisement.
    pub gateways: Vec<IpAddr>,
    /// Name servers, in the order to ask. Default none: by DHCP.
    pub dns: Vec<IpAddr>,
    /// Largest IP packet in bytes, without the Ethernet header. Default 1500; the device's own MTU wins
    /// where it is smaller.
    pub mtu_bytes: usize,
    /// The name given to the DHCP server (RFC 2132 option 12). Default "aqueduct".
    pub hostname: String,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            dhcp: true,
            slaac: true,
            addresses: Vec::new(),
            gateways: Vec::new(),
            dns: Vec::new(),
            mtu_bytes: 1500,
            hostname: String::from("aqueduct"),
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// TCP port. Default 80.
    pub port: u16,
    /// The hosts whose requests are answered; 421 for others. Default none: all are.
    pub hosts: Vec<String>,
    /// The folder of the bundle that is served at `/`. Default "site".
    pub site_root: String,
    /// The file that answers for a folder. Default "index.html".
    pub index: String,
    /// A line in the log for each answer. Default false: a serial line carries a few hundred of them a
    /// second, and the appliance answers thousands.
    pub access_log: bool,
    /// Longest request line, in bytes; 414 above. Default 8000, the least that RFC 9112 section 3 asks for.
    pub request_line_bytes_max: usize,
    /// Longest header section, in bytes; 431 above. Default 16 KiB: cookies of browsers fit.
    pub header_bytes_max: usize,
    /// Most header fields; 431 above. Default 64.
    pub headers_max: usize,
    /// Longest request body, in bytes; 413 above. Default 1 MiB: nothing in the table takes uploads.
    pub body_bytes_max: usize,
    /// A request's head must be complete this long after its first byte; 408 after. Default 10 s.
    pub head_timeout: Duration,
    /// A body, either way, must make progress within this time. Default 30 s.
    pub body_timeout: Duration,
    /// A persistent connection may be silent for this long between requests. Default 75 s: longer than
    /// the 60 s for which common proxies keep theirs, so that the proxy closes first.
    pub idle_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            port: 80,
            hosts: Vec::new(),
            site_root: String::from("site"),
            index: String::from("index.html"),
            access_log: false,
            request_line_bytes_max: 8000,
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            body_bytes_max: 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

/// `[tcp]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Most connections at once, over all services. Default 50,000; memory may say stop earlier.
    pub connections_max: usize,
    /// Finished handshakes that wait for their service, per listener. Default 1024.
    pub listen_backlog: usize,
    /// Half-open connections remembered, over all listeners. Default 4096, a few dozen bytes each.
    pub half_open_max: usize,
    /// Receive buffer of a new connection, in bytes. Default 2 KiB: a request fits, 50,000 idle
    /// connections fit in 256 MiB.
    pub rx_ring_initial_bytes: usize,
    /// Receive buffer that a busy connection may grow to, in bytes. Default 256 KiB.
    pub rx_ring_max_bytes: usize,
    /// Transmit buffer of a new connection, in bytes. Default 4 KiB.
    pub tx_ring_initial_bytes: usize,
    /// Transmit buffer that a busy connection may grow to, in bytes. Default 256 KiB.
    pub tx_ring_max_bytes: usize,
    /// How long a closed connection's addresses stay reserved. Default 60 s, twice the segment lifetime
    /// that is usual on today's networks.
    pub time_wait: Duration,
    /// Most closed connections remembered in TIME-WAIT; the oldest gives way. Default 16,384.
    pub time_wait_max: usize,
    /// A peer that acknowledges nothing for this long is given up (RFC 9293 section 3.8.3). Default 60 s.
    pub user_timeout: Duration,
    /// Probe a silent connection this often; zero is never. Default 120 s.
    pub keep_alive: Duration,
    /// Default Cubic (RFC 9438).
    pub congestion_control: CongestionControl,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            listen_backlog: 1024,
            half_open_max: 4096,
            rx_ring_initial_bytes: 2 * 1024,
            rx_ring_max_bytes: 256 * 1024,
            tx_ring_initial_bytes: 4 * 1024,
            tx_ring_max_bytes: 256 * 1024,
            time_wait: Duration::from_secs(60),
            time_wait_max: 16_384,
            user_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(120),
            congestion_control: CongestionControl::Cubic,
        }
    }
}

/// `[rpc]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// TCP port of the Cap'n Proto service; none is off. Default 7000: no service of note has it, and
    /// it needs no privilege in a Linux process.
    pub port: Option<u16>,
}

impl Default for Rpc {
    fn default() -> Self {
        Self { port: Some(7000) }
    }
}

/// `[zmq]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zmq {
    /// TCP port of the ZMTP service; none is off. Default 5555, which ZeroMQ's own examples use.
    pub port: Option<u16>,
    /// Longest request, bytes, also when it is decompressed; over all connections twice as many may
    /// be on their way. Default 16 MiB: a list of a million integers fits, and a small guest lives.
    pub message_bytes_max: usize,
}

impl Default for Zmq {
    fn default() -> Self {
        Self { port: Some(5555), message_bytes_max: 16 * 1024 * 1024 }
    }
}

/// `[tasks]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// Most tasks at once; a connection needs one. Default 65,536.
    pub tasks_max: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { tasks_max: 65_536 }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is written. Default info.
    pub level: log::LevelFilter,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: log::LevelFilter::Info }
    }
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long running requests may take after the power button. Default 5 s.
    pub drain: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain: Duration::from_secs(5) }
    }
}

/// `[debug]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debug {
    /// Serve `/_test/echo`, `/_test/panic` and `/_test/transform`. Default false: never on a machine that others reach.
    pub endpoints: bool,
}
