//! Settings of one interface, with defaults and their reasons.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// How one interface gets its addresses, and its limits. The default has none of its own and asks
/// for all that a network may give.
#[derive(Clone, Debug)]
pub struct Config {
    /// Static addresses with their prefix lengths in bits; at most
    /// [`ADDRESSES_MAX`](Self::ADDRESSES_MAX), the rest is ignored.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways, one per IP version; a later one replaces an earlier one.
    pub gateways: Vec<IpAddr>,
    /// Asks a DHCP server for an IPv4 address, gateway and name servers. Default true.
    pub dhcp: bool,
    /// Takes IPv6 prefixes and gateways from router advertisements (RFC 4862). A link-local
    /// address exists when this is set or a static IPv6 address is. Default true.
    pub slaac: bool,
    /// Name servers asked before those that DHCP offers; at most three are used.
    pub name_servers: Vec<IpAddr>,
    /// The name that the DHCP server is told (RFC 2132 section 3.14); none is told when it is
    /// empty. Default "aqueduct".
    pub hostname: String,
    /// Limits of what peers can make this interface hold.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            gateways: Vec::new(),
            dhcp: true,
            slaac: true,
            name_servers: Vec::new(),
            hostname: String::from("aqueduct"),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Addresses of one interface: one static or leased IPv4 address, one link-local, and room for
    /// two static and two advertised IPv6 addresses.
    pub const ADDRESSES_MAX: usize = 6;
}

/// How a sender finds its share of a congested path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// CUBIC with HyStart++ (RFC 9438, RFC 9406), as nearly everybody has it.
    #[default]
    Cubic,
    /// Slow start and congestion avoidance by bytes (RFC 5681, RFC 3465).
    Reno,
    /// BBR, version 1: paces by the bandwidth and round trip that it measures, and lets losses be losses.
    Bbr,
    /// None: as much as the peer's window takes. For a private wire only.
    Off,
}

/// Capacities and times. Every one is a limit that a peer can reach and not pass.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the longest IP packet, sent or asked for, where the device's own limit is not
    /// smaller. Default 1,500: Ethernet's.
    pub mtu_bytes: usize,
    /// Connections, orphans included, without half-open ones and TIME-WAIT. Default 50,000: more
    /// than one client address can keep open, and idle ones fit in 256 MiB.
    pub connections_max: usize,
    /// Connections that a listener holds before its task accepts them. Default 1,024: as many as
    /// arrive in some 20 milliseconds at the rates this stack reaches.
    pub listen_backlog: usize,
    /// Half-open connections remembered; beyond that, SYN cookies carry them. Default 4,096, which
    /// takes 256 KiB.
    pub half_open_max: usize,
    /// Connections in TIME-WAIT; the oldest is forgotten first. Default 16,384, which takes at most
    /// 1.3 MiB, and is allocated as it is needed.
    pub time_wait_max: usize,
    /// How long TIME-WAIT lasts. Default 60 s: twice a maximum segment lifetime of 30 s, as Linux
    /// takes it.
    pub time_wait: Duration,
    /// Bytes of a new connection's receive window; no memory is taken before there is something in it. Default
    /// 65,536: what a window is that is not scaled.
    pub receive_buffer_initial_bytes: usize,
    /// Bytes up to which a receive window grows as its path needs it; at most 1 GiB. Default 6 MiB: a gigabit
    /// per second at 50 ms.
    pub receive_buffer_max_bytes: usize,
    /// Bytes that may be written ahead on a new connection. Default 65,536: a page with its fields leaves its
    /// writer at once, whatever the path.
    pub send_buffer_initial_bytes: usize,
    /// Bytes up to which that grows with the congestion window. Default 4 MiB: a gigabit per second at 33 ms.
    pub send_buffer_max_bytes: usize,
    /// Bytes of all connections' buffers together, shared bytes included. What is short of it first is what is sent,
    /// then what is out of order, and last what is received in order; windows stop growing when a quarter is left.
    /// Send buffers share three quarters: above a quarter they do not grow, above a half they get 16 KiB and then
    /// 2 KiB each, and at last one whose peer has taken nothing for a second is reset. Default 64 MiB.
    pub buffers_max_bytes: usize,
    /// Local ports of active connections, both included. Default 49152 to 65535 (RFC 6335).
    pub ephemeral_ports: (u16, u16),
    /// Silence after which the peer is asked whether it still exists; `None` never asks. Default
    /// 120 s: RFC 9293 section 3.8.4 has 2 h, which keeps what is dead for most of a day.
    pub keep_alive: Option<Duration>,
    /// How long data may stay unacknowledged, with nothing heard, before the connection is given
    /// up; of a connection that the application is done with, also where its peer answers and takes nothing. Default
    /// 60 s: six retransmissions.
    pub user_timeout: Duration,
    /// What bounds a connection's bytes on their way beside the peer's window. Default CUBIC.
    pub congestion_control: CongestionControl,
    /// How long a peer that has everything may take to end its own direction after the application is done with the connection.
    /// Default 20 s.
    pub orphan_timeout: Duration,
    /// How long an active connection may take to open. Default 10 s: the SYN is sent four times.
    pub connect_timeout: Duration,
    /// How long an acknowledgement waits for data to ride with. Default 10 ms: longer than a
    /// handler's work, shorter than the 40 ms at which peers without Nagle's delay notice.
    pub acknowledge: Duration,
    /// Resets per second sent for segments that belong to nobody. Default 200: enough for honest
    /// mistakes, useless for reflection.
    pub resets_per_second: u32,
    /// Frames that one call of [`ingress`](crate::Stack::ingress) takes. Default 64, so that tasks
    /// run at least every few hundred microseconds.
    pub ingress_batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mtu_bytes: 1_500,
            connections_max: 50_000,
            listen_backlog: 1_024,
            half_open_max: 4_096,
            time_wait_max: 16_384,
            time_wait: Duration::from_secs(60),
            receive_buffer_initial_bytes: 64 << 10,
            receive_buffer_max_bytes: 6 << 20,
            send_buffer_initial_bytes: 64 << 10,
            send_buffer_max_bytes: 4 << 20,
            buffers_max_bytes: 64 << 20,
            ephemeral_ports: (49_152, 65_535),
            keep_alive: Some(Duration::from_secs(120)),
            user_timeout: Duration::from_secs(60),
            congestion_control: CongestionControl::Cubic,
            orphan_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            acknowledge: Duration::from_millis(10),
            resets_per_second: 200,
            ingress_batch: 64,
        }
    }
}
