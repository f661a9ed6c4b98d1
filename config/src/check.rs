//! What holds between settings.

use crate::Config;

/// Settings that contradict each other.
pub(crate) struct Contradiction {
    /// The settings to change, the likeliest first.
    pub(crate) keys: [&'static str; 2],
    pub(crate) allowed: &'static str,
}

/// A buffer does not start larger than it may grow.
pub(crate) fn rings(config: &Config) -> Result<(), Contradiction> {
    let tcp = &config.tcp;
    if tcp.rx_ring_initial_bytes > tcp.rx_ring_max_bytes {
        return Err(Contradiction {
            keys: ["rx_ring_initial_bytes", "rx_ring_max_bytes"],
            allowed: "rx_ring_initial_bytes at most rx_ring_max_bytes",
        });
    }
    if tcp.tx_ring_initial_bytes > tcp.tx_ring_max_bytes {
        return Err(Contradiction {
            keys: ["tx_ring_initial_bytes", "tx_ring_max_bytes"],
            allowed: "tx_ring_initial_bytes at most tx_ring_max_bytes",
        });
    }
    Ok(())
}

/// A machine that can never have an address serves nobody.
pub(crate) fn reachable(config: &Config) -> Result<(), Contradiction> {
    let network = &config.network;
    if network.dhcp || network.slaac || !network.addresses.is_empty() {
        return Ok(());
    }
    Err(Contradiction {
        keys: ["dhcp", "addresses"],
        allowed: "one of dhcp = true, slaac = true or addresses in [network], or ip= on the command line",
    })
}
