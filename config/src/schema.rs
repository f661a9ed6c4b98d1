//! Schema: the typed configuration, one struct per section of `appliance.toml`. Each field says its unit,
//! its default and why; `keys.rs` holds the names and the allowed ranges.

mod access_log;
mod admin;
mod balance;
mod database;
mod fastcgi;
mod log;
mod names;
mod proxy;
mod relay;
mod rpc;
mod shared_memory;
mod site;
mod tls;
mod unix;
mod vsock;

pub use access_log::AccessLogFormat;
pub use admin::{Admin, Token};
pub use balance::{Balance, BalancePolicy};
pub use database::{Database, PasswordMethod, SslMode, TargetSessionAttributes};
pub use fastcgi::Fastcgi;
pub use log::{Log, LogFormat, SyslogPlace, SyslogTransport};
pub use names::{Names, WayKind};
pub use proxy::{Proxy, ProxyKey, ProxyPlace, ProxyRoute};
pub use relay::{PortRange, Relay, TargetRule};
pub(crate) use rpc::is_service;
pub use rpc::{Capabilities, Conf, Rpc, RpcEpoch, RpcPeer};
pub use shared_memory::SharedMemory;
pub(crate) use site::is_rules_field;
pub use site::{
    CleanUrls, FieldText, MediaType, Serving, Site, SiteHost, SiteRule, SiteUser, Subnet,
};
pub use tls::{ClientCertificates, Octets32, Tls};
pub use unix::Unix;
pub use vsock::Vsock;

use crate::{Cidr, CongestionControl};
use alloc::{string::String, vec::Vec};
use core::{fmt, net::IpAddr, str::FromStr, time::Duration};

/// The whole configuration. `Config::default()` serves `site/` on port 80 with an address by DHCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Addresses and routes.
    pub network: Network,
    /// The web server.
    pub http: Http,
    /// How the site's files are served.
    pub site: Site,
    /// Folders that are served to other hosts. Default none.
    pub site_hosts: Vec<SiteHost>,
    /// What is served otherwise, by path. Default nothing.
    pub site_rules: Vec<SiteRule>,
    /// The same by FastCGI.
    pub fastcgi: Fastcgi,
    /// The same by Gopher.
    pub gopher: Gopher,
    /// TLS: the web server by HTTPS, and whom connections to others trust.
    pub tls: Tls,
    /// Limits and buffers of TCP, for all services.
    pub tcp: Tcp,
    /// Services for the host of a virtual machine.
    pub vsock: Vsock,
    /// Services for other processes of the host.
    pub shared_memory: SharedMemory,
    /// Services for programs on the same machine.
    pub unix: Unix,
    /// The RPC service.
    pub rpc: Rpc,
    /// Services of other vats.
    pub capabilities: Capabilities,
    /// What is taken from another appliance.
    pub conf: Conf,
    /// Networks of others, and this one's for others.
    pub relay: Relay,
    /// The ZMTP service.
    pub zmq: Zmq,
    /// Disks, and a site on one of them.
    pub storage: Storage,
    /// What peers may make the appliance hold.
    pub memory: Memory,
    /// The executor.
    pub tasks: Tasks,
    /// Web sessions.
    pub sessions: Sessions,
    /// Sessions of several appliances.
    pub affinity: Affinity,
    /// Services by name.
    pub names: Names,
    /// Requests that others answer.
    pub proxy: Proxy,
    /// How requests are spread over the places of a service.
    pub balance: Balance,
    /// Databases that handlers ask. Default none.
    pub databases: Vec<Database>,
    /// What operators look at.
    pub admin: Admin,
    /// The serial log.
    pub log: Log,
    /// The graceful stop.
    pub shutdown: Shutdown,
}

/// Whether a service has its port by the configuration; one of another table's own has not.
pub fn has_port_key(service: &str) -> bool {
    Config::default().service_ports().iter().any(|(name, _)| *name == service)
}

/// The section and the key in which a service [has](has_port_key) its port.
pub fn port_key(service: &'static str) -> (&'static str, &'static str) {
    match service {
        "https" => ("tls", "port"),
        "vats" => ("rpc", "secure_port"),
        service => (service, "port"),
    }
}

impl Config {
    /// The services that are on, and their ports.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let ports = self.service_ports().into_iter();
        ports.filter_map(|(service, port)| Some((service, port?)))
    }

    /// All services, and the ports of those that are on.
    fn service_ports(&self) -> [(&'static str, Option<u16>); 8] {
        [
            ("http", Some(self.http.port)),
            ("https", self.tls.port),
            ("fastcgi", self.fastcgi.port),
            ("gopher", self.gopher.port),
            ("rpc", self.rpc.port),
            ("vats", self.rpc.secure_port),
            ("zmq", self.zmq.port),
            ("admin", self.admin.port),
        ]
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
    /// Largest IP packet in bytes, without the Ethernet header. Default 1500, Ethernet's; the device's
    /// own limit wins where it is smaller. At least 1280 while IPv6 is on (RFC 8200 section 5).
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
    /// What a line of it has, here and for FastCGI and Gopher. Default [`AccessLogFormat::Extended`].
    pub access_log_format: AccessLogFormat,
    /// Longest request line, in bytes; 414 above. Default 8000, the least that RFC 9112 section 3 asks for.
    pub request_line_bytes_max: u16,
    /// Longest head, in bytes, request line and final empty line included; 431 above. Default 16 KiB:
    /// cookies of browsers fit.
    pub header_bytes_max: u16,
    /// Most header fields; 431 above. Default 64.
    pub headers_max: u16,
    /// Longest request body, in bytes; 413 above. Default 1 MiB: nothing in the table takes uploads.
    pub body_bytes_max: u64,
    /// A request's head must be complete this long after its first byte; 408 after. Default 10 s.
    pub head_timeout: Duration,
    /// A request's body must make progress within this time; 408 after. Default 30 s.
    pub body_timeout: Duration,
    /// A client must take some of what is sent to it within this time. Default 60 s, as is usual.
    pub write_timeout: Duration,
    /// A persistent connection may be silent for this long between requests. Default 75 s: longer than
    /// the 60 s for which common proxies keep theirs, so that the proxy closes first.
    pub idle_timeout: Duration,
    /// What a client still sends after the last answer is read and dropped while it comes, until it is silent for this
    /// long: it may be about to read that answer (RFC 9112 section 9.6). Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes per second at which a body must move on the whole, a request's as well as an answer's; zero is no least
    /// rate. Default 500, a tenth of the slowest modem's.
    pub bytes_per_second_min: u32,
    /// Requests of one client in a minute, of all protocols that carry web requests; 429 above. Default 0: no limit, since
    /// behind a proxy all clients have its address.
    pub requests_per_minute_max: u32,
    /// Connections of one client at once; further ones are reset. Default 0: no limit, for the same reason.
    pub connections_per_client_max: usize,
    /// Whether answers of handlers, and files without a compressed variant, are compressed while they are sent. Default false.
    pub compress: bool,
    /// Shorter answers are sent as they are. Default 1024 bytes: less gains nothing that a packet would notice.
    pub compress_bytes_min: u64,
    /// Answers that are compressed at once; those beyond are sent as they are. Default 8, each of some 330 KB.
    pub compress_streams_max: usize,
    /// Bytes of content that are compressed in a second, of all answers together; beyond, they are sent as they are. Default 8 MiB,
    /// about a tenth of a CPU's time.
    pub compress_bytes_per_second_max: u32,
    /// The value of `Server` in answers; `version` stands for the appliance's name and version. Default none: it is not sent.
    pub server_header: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            port: 80,
            hosts: Vec::new(),
            site_root: String::from("site"),
            index: String::from("index.html"),
            access_log: false,
            access_log_format: AccessLogFormat::Extended,
            request_line_bytes_max: 8000,
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            body_bytes_max: 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(5),
            bytes_per_second_min: 500,
            requests_per_minute_max: 0,
            connections_per_client_max: 0,
            compress: false,
            compress_bytes_min: 1024,
            compress_streams_max: 8,
            compress_bytes_per_second_max: 8 << 20,
            server_header: String::new(),
        }
    }
}

/// `[gopher]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gopher {
    /// TCP port; none is off. Default off: few have clients for it.
    pub port: Option<u16>,
    /// The host that menus name. Default none, which is the address at which the client came.
    pub host: String,
    /// A line in the log for each answer. Default false, as for HTTP.
    pub access_log: bool,
    /// Longest request, in bytes: selector, what is searched for, line end. Default 1024: RFC 1436 wants selectors of at
    /// most 255, and links to the web are longer.
    pub request_bytes_max: u16,
    /// From a connection's start to the end of its request. Default 10 s.
    pub request_timeout: Duration,
    /// A client must take some of what is sent to it within this time. Default 60 s.
    pub write_timeout: Duration,
    /// How long a client that was answered may take to end the connection. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes per second at which an answer must move on the whole; zero is no least rate. Default 500.
    pub bytes_per_second_min: u32,
}

impl Default for Gopher {
    fn default() -> Self {
        Self {
            port: None,
            host: String::new(),
            access_log: false,
            request_bytes_max: 1024,
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
            bytes_per_second_min: 500,
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
    /// What a connection's receive window may grow to, in bytes. Default 6 MiB: a gigabit per second at 50 ms.
    pub receive_buffer_max_bytes: usize,
    /// What may be written ahead of a connection's congestion window, in bytes. Default 4 MiB.
    pub send_buffer_max_bytes: usize,
    /// All connections' buffers together, in bytes; 0 is a quarter of the memory, and at most 64 MiB. Default 0.
    pub buffers_max_bytes: usize,
    /// How long a closed connection's addresses stay reserved. Default 60 s, twice the segment lifetime
    /// that is usual on today's networks.
    pub time_wait: Duration,
    /// Most closed connections remembered in TIME-WAIT; the oldest gives way. Default 16,384.
    pub time_wait_max: usize,
    /// A peer that acknowledges nothing for this long is given up (RFC 9293 section 3.8.3). Default 60 s.
    pub user_timeout: Duration,
    /// Probe a silent connection this often; zero is never. Default 120 s.
    pub keep_alive: Duration,
    /// What bounds the bytes on their way. Default CUBIC (RFC 9438).
    pub congestion_control: CongestionControl,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            listen_backlog: 1024,
            half_open_max: 4096,
            receive_buffer_max_bytes: 6 << 20,
            send_buffer_max_bytes: 4 << 20,
            buffers_max_bytes: 0,
            time_wait: Duration::from_secs(60),
            time_wait_max: 16_384,
            user_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(120),
            congestion_control: CongestionControl::Cubic,
        }
    }
}

/// `[zmq]`: a port, and what callers may ask of the service. A caller that exceeds a limit loses its
/// connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zmq {
    /// TCP port of the ZMTP service; none is off. Default 5555, which ZeroMQ's own examples use.
    pub port: Option<u16>,
    /// The path of the web server at which the same is served over WebSockets, for programs in browsers. Empty, the
    /// default, is off.
    pub websocket_path: String,
    /// Origins whose pages may connect there beside those of the host that is asked, as `https://app.example`. Default none.
    pub websocket_origins: Vec<String>,
    /// Longest request, in bytes, also when it is decompressed. Default 16 MiB: a list of a million
    /// integers fits, and a small guest lives.
    pub message_bytes_max: usize,
    /// Bytes of requests that are not whole yet, over all callers; beyond it the one that holds most of
    /// them goes. Default 32 MiB: two of the longest.
    pub unfinished_bytes_max: usize,
    /// Most parts of one message. Default 1024: envelopes need under ten.
    pub parts_max: usize,
    /// Longest command, in bytes. Default 8 KiB: READY with generous metadata.
    pub command_bytes_max: u64,
    /// Deepest nesting of arrays and maps in a request. Default 64: decoding uses the stack, some 300
    /// bytes a level.
    pub nesting_max: usize,
    /// Bytes that a byte of a compressed request may become. Default 512: half of what DEFLATE can
    /// reach, a hundred times what real data does.
    pub expansion_ratio_max: u64,
    /// Bytes of a decompressed request before that ratio counts. Default 1 MiB.
    pub expansion_free_bytes: u64,
    /// Callers at a time. Default 10,000: each costs under 1 KiB while it is idle.
    pub peers_max: usize,
    /// Requests being handled at a time; further ones wait in their connections. Default 1024.
    pub requests_max: usize,
    /// Replies that may wait to be sent to one caller. Default 1000, libzmq's mark.
    pub send_messages_max: usize,
    /// Bytes of them; a longer reply goes alone. Default 4 MiB.
    pub send_bytes_max: usize,
    /// Requests of one caller that may wait to be handled. Default 1000, libzmq's mark.
    pub receive_messages_max: usize,
    /// Bytes of them; a longer request waits alone. Default 4 MiB.
    pub receive_bytes_max: usize,
    /// From a connection's start to the end of its handshake. Default 30 s, libzmq's.
    pub handshake_timeout: Duration,
    /// How long a message may lack bytes of which none comes. Default 60 s.
    pub stall_timeout: Duration,
    /// How long a caller may take nothing of what is there for it. Default 60 s, as for HTTP.
    pub write_timeout: Duration,
    /// Bytes per second at which a message must come, and what is there for a caller must be taken, on the whole; zero is
    /// no least rate. Default 500, a tenth of the slowest modem's.
    pub bytes_per_second_min: u32,
}

impl Default for Zmq {
    fn default() -> Self {
        Self {
            port: Some(5555),
            websocket_path: String::new(),
            websocket_origins: Vec::new(),
            message_bytes_max: 16 << 20,
            unfinished_bytes_max: 32 << 20,
            parts_max: 1024,
            command_bytes_max: 8 << 10,
            nesting_max: 64,
            expansion_ratio_max: 512,
            expansion_free_bytes: 1 << 20,
            peers_max: 10_000,
            requests_max: 1024,
            send_messages_max: 1000,
            send_bytes_max: 4 << 20,
            receive_messages_max: 1000,
            receive_bytes_max: 4 << 20,
            handshake_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            bytes_per_second_min: 500,
        }
    }
}

/// `[memory]`: what peers may make the appliance hold, beside the buffers of TCP. From half of a limit on reading pauses
/// for those that hold much, from seven eighths on what is new is refused, and above it the one that holds most ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of all peers of all services: requests, messages, calls, and answers that are not sent. Default 0, which is
    /// half of the memory that there is: of the image's heap; of the process's control group, or of its machine.
    pub peers_bytes_max: usize,
    /// What of it the peers of one service may hold, in percent. Default 50: no service takes all.
    pub service_percent_max: usize,
    /// What of the service's part one peer may hold, in percent; no message is longer than three eighths of that. Default
    /// 50: 2.5 MB with 64 MiB, 10 MB with 256 MiB.
    pub peer_percent_max: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { peers_bytes_max: 0, service_percent_max: 50, peer_percent_max: 50 }
    }
}

/// `[tasks]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// Tasks at once above which no connection is accepted, until there are fewer; a connection is one.
    /// Default 65,536: all connections, and a quarter for what they ask.
    pub tasks_max: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { tasks_max: 65_536 }
    }
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The disk that the site is on, the machine's first being 1. Default 0: the site is the bundle's.
    pub site_disk: u32,
    /// The folder of that disk that is served at `/`. Default empty: all of it.
    pub site_folder: String,
    /// Bytes of disks that are kept in memory. Default 0, which is an eighth of it: as much again may be on its way to
    /// clients, and half of the memory is peers'.
    pub cache_bytes_max: usize,
    /// How long a request waits for a disk. Default 30 s: longer than any disk takes that works.
    pub read_timeout: Duration,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            site_disk: 0,
            site_folder: String::new(),
            cache_bytes_max: 0,
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// `[sessions]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Sessions that each route keeps. Default 0, which is one for each 32 KiB of the machine's memory: half of it,
    /// if each takes 16 KiB with what its application keeps.
    pub sessions_max: usize,
    /// Per cent of them that may have had one request only. Default 25: visitors without cookies and machines leave
    /// one behind with each request, and displace each other only.
    pub newcomers_percent_max: usize,
    /// Requests that wait for one session; more are answered 429. Default 16.
    pub queue_max: usize,
    /// Messages that wait for one session. Default 64.
    pub messages_max: u32,
    /// Bytes that one session may save for the time after a restart. Default 16 KiB.
    pub saved_bytes_max: usize,
    /// Requests of each session that are recorded, so that they can be replayed. Default 0: it costs up to 16 KiB each, and
    /// what visitors sent is kept. In a process only.
    pub recorded_max: usize,
    /// Where what sessions saved is put when the appliance stops, and taken from when it starts: an address of HTTP, or
    /// `database:NAME`. Default empty: nowhere.
    pub carry_over: String,
    /// After so long without a request a session is told to end. Default 30 min, as is usual.
    pub idle_timeout: Duration,
    /// After so much more it is dropped. Default 60 s.
    pub end_timeout: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            sessions_max: 0,
            newcomers_percent_max: 25,
            queue_max: 16,
            messages_max: 64,
            saved_bytes_max: 16 << 10,
            recorded_max: 0,
            carry_over: String::new(),
            idle_timeout: Duration::from_secs(1800),
            end_timeout: Duration::from_secs(60),
        }
    }
}

/// `[affinity]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What a group of appliances authenticates its sessions' cookies by. Default none: the appliance is alone.
    pub key: Option<GroupKey>,
    /// Whether a new session begins where the owner of a session cannot be reached. Default true; else the request is
    /// refused.
    pub begins_when_lost: bool,
    /// How long the owner may take to be reached. Default 2 s: appliances of a group are near each other.
    pub connect_timeout: Duration,
}

impl Default for Affinity {
    fn default() -> Self {
        Self { key: None, begins_when_lost: true, connect_timeout: Duration::from_secs(2) }
    }
}

/// The key of a group of appliances, which `Debug` does not show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKey(pub [u8; 16]);

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(..)")
    }
}

impl FromStr for GroupKey {
    type Err = BadGroupKey;

    /// From 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, BadGroupKey> {
        let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<_>>>();
        let digits: [u32; 32] = digits.and_then(|it| it.try_into().ok()).ok_or(BadGroupKey)?;
        let pairs = digits.as_chunks::<2>().0;
        Ok(Self(core::array::from_fn(|at| (pairs[at][0] << 4 | pairs[at][1]) as u8)))
    }
}

/// Not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGroupKey;

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn services_with_a_port_of_their_own_key_are_these() {
        for (service, key) in [
            ("http", ("http", "port")),
            ("https", ("tls", "port")),
            ("fastcgi", ("fastcgi", "port")),
            ("gopher", ("gopher", "port")),
            ("rpc", ("rpc", "port")),
            ("vats", ("rpc", "secure_port")),
            ("zmq", ("zmq", "port")),
            ("admin", ("admin", "port")),
        ] {
            assert!(has_port_key(service), "{service}");
            assert_eq!(port_key(service), key);
        }
        assert!(!has_port_key("echo") && !has_port_key(""));
    }

    #[test]
    fn the_key_of_a_group_is_of_hexadecimal_digits_and_not_shown() {
        let key: GroupKey = "00ff102030405060708090a0B0c0d0e5".parse().unwrap();
        let bytes = [
            0, 0xff, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0,
            0xe5,
        ];
        assert_eq!(key.0, bytes);
        assert_eq!(format!("{key:?}"), "GroupKey(..)");
        for text in ["", "00ff102030405060708090a0B0c0d0e", "00ff102030405060708090a0B0c0d0e5f"] {
            assert_eq!(text.parse::<GroupKey>(), Err(BadGroupKey), "{text}");
        }
        assert_eq!("00ff102030405060708090a0b0c0d0eg".parse::<GroupKey>(), Err(BadGroupKey));
    }
}
