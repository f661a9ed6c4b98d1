//! `[network]` and `[tcp]`: our own TCP/IP stack, or what of them a kernel's sockets can keep.

use config::{Config, CongestionControl, Network, Tcp};
use core::time::Duration;
use net::Limits;

/// What the operator said of the network, for [`net::Stack::new`].
pub fn stack_config(config: &Config) -> net::Config {
    let Network { dhcp, slaac, addresses, gateways, dns, mtu_bytes, hostname } =
        config.network.clone();
    net::Config {
        addresses: addresses.iter().map(|cidr| (cidr.address, cidr.prefix)).collect(),
        gateways,
        dhcp,
        slaac,
        name_servers: dns,
        hostname,
        limits: Limits { mtu_bytes, ..limits(&config.tcp) },
    }
}

fn limits(section: &Tcp) -> Limits {
    let Tcp {
        connections_max,
        listen_backlog,
        half_open_max,
        rx_ring_initial_bytes,
        rx_ring_max_bytes,
        tx_ring_initial_bytes,
        tx_ring_max_bytes,
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
        rx_ring_initial_bytes,
        rx_ring_max_bytes,
        tx_ring_initial_bytes,
        tx_ring_max_bytes,
        time_wait,
        time_wait_max,
        user_timeout,
        keep_alive: some(keep_alive),
        congestion_control: match congestion_control {
            CongestionControl::Reno => net::CongestionControl::Reno,
            CongestionControl::Off => net::CongestionControl::Off,
        },
        ..Limits::default()
    }
}

/// What of `[tcp]` holds where connections are a kernel's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections that a listener holds before they are accepted.
    pub listen_backlog: usize,
    /// How long a peer may acknowledge nothing.
    pub user_timeout: Duration,
    /// Silence after which a peer is asked; none never asks.
    pub keep_alive: Option<Duration>,
}

impl SocketSettings {
    /// From the section. The kernel decides the rest itself.
    pub fn new(section: &Tcp) -> Self {
        let Tcp {
            connections_max,
            listen_backlog,
            user_timeout,
            keep_alive,
            half_open_max: _,
            rx_ring_initial_bytes: _,
            rx_ring_max_bytes: _,
            tx_ring_initial_bytes: _,
            tx_ring_max_bytes: _,
            time_wait: _,
            time_wait_max: _,
            congestion_control: _,
        } = *section;
        Self { connections_max, listen_backlog, user_timeout, keep_alive: some(keep_alive) }
    }
}

/// Zero is never.
fn some(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}
