//! The configuration as our own network stack wants it, for platforms that have no other.

use config::{Config, CongestionControl};
use net::Limits;

/// What the operator said of the network, for [`net::Stack::new`].
pub fn stack_config(config: &Config) -> net::Config {
    let (network, tcp) = (&config.network, &config.tcp);
    net::Config {
        addresses: network.addresses.iter().map(|cidr| (cidr.address, cidr.prefix)).collect(),
        gateways: network.gateways.clone(),
        dhcp: network.dhcp,
        slaac: network.slaac,
        name_servers: network.dns.clone(),
        hostname: network.hostname.clone(),
        limits: Limits {
            mtu_bytes: network.mtu_bytes,
            connections_max: tcp.connections_max,
            listen_backlog: tcp.listen_backlog,
            half_open_max: tcp.half_open_max,
            time_wait_max: tcp.time_wait_max,
            time_wait: tcp.time_wait,
            rx_ring_initial_bytes: tcp.rx_ring_initial_bytes,
            rx_ring_max_bytes: tcp.rx_ring_max_bytes,
            tx_ring_initial_bytes: tcp.tx_ring_initial_bytes,
            tx_ring_max_bytes: tcp.tx_ring_max_bytes,
            keep_alive: (!tcp.keep_alive.is_zero()).then_some(tcp.keep_alive),
            user_timeout: tcp.user_timeout,
            congestion_control: match tcp.congestion_control {
                CongestionControl::Reno => net::CongestionControl::Reno,
                CongestionControl::Off => net::CongestionControl::Off,
            },
            ..Limits::default()
        },
    }
}
