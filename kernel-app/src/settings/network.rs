//! `[network]` and `[tcp]`: our own TCP/IP stack, or what of them a kernel's sockets can keep.

use config::{Config, CongestionControl, Network, Tcp};
use core::time::Duration;
use net::Limits;

/// What the operator said of the network, for [`net::Stack::new`] on a machine with so much memory, in bytes.
pub fn stack_config(config: &Config, memory_bytes: usize) -> net::Config {
    let Network { dhcp, slaac, addresses, gateways, dns, mtu_bytes, hostname } =
        config.network.clone();
    net::Config {
        addresses: addresses.iter().map(|cidr| (cidr.address, cidr.prefix)).collect(),
        gateways,
        dhcp,
        slaac,
        name_servers: dns,
        hostname,
        limits: Limits { mtu_bytes, ..limits(&config.tcp, memory_bytes) },
    }
}

fn limits(section: &Tcp, memory_bytes: usize) -> Limits {
    let Tcp {
        connections_max,
        listen_backlog,
        half_open_max,
        receive_buffer_max_bytes,
        send_buffer_max_bytes,
        buffers_max_bytes,
        time_wait,
        time_wait_max,
        user_timeout,
        keep_alive,
        congestion_control,
    } = *section;
    Limits {
        connections_max,
        listen_backlog,
        half_open_max,
        receive_buffer_max_bytes,
        send_buffer_max_bytes,
        buffers_max_bytes: match buffers_max_bytes {
            0 => (memory_bytes / 4).min(BUFFERS_USUAL),
            some => some,
        },
        time_wait,
        time_wait_max,
        user_timeout,
        keep_alive: some(keep_alive),
        congestion_control: match congestion_control {
            CongestionControl::Cubic => net::CongestionControl::Cubic,
            CongestionControl::Reno => net::CongestionControl::Reno,
            CongestionControl::Bbr => net::CongestionControl::Bbr,
            CongestionControl::Off => net::CongestionControl::Off,
        },
        ..Limits::default()
    }
}

/// A dozen connections at a gigabit per second and 50 ms.
const BUFFERS_USUAL: usize = 64 << 20;

/// What of `[tcp]` holds where connections are a kernel's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections that a listener holds before they are accepted.
    pub listen_backlog: usize,
    /// Silence after which a peer is asked; none never asks.
    pub keep_alive: Option<Duration>,
}

impl SocketSettings {
    /// From the section. The kernel decides the rest itself; its own user time-out would take a window that opens little by
    /// little for silence, and reset whoever reads slowly.
    pub fn new(section: &Tcp) -> Self {
        let Tcp {
            connections_max,
            listen_backlog,
            keep_alive,
            user_timeout: _,
            half_open_max: _,
            receive_buffer_max_bytes: _,
            send_buffer_max_bytes: _,
            buffers_max_bytes: _,
            time_wait: _,
            time_wait_max: _,
            congestion_control: _,
        } = *section;
        Self { connections_max, listen_backlog, keep_alive: some(keep_alive) }
    }
}

/// Zero is never.
fn some(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}
