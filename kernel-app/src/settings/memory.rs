//! `[memory]`: what peers may make the appliance hold.

use config::Memory;

/// What `[memory]` comes to on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// Bytes of all peers.
    pub peers_bytes_max: usize,
    /// Bytes of the peers of one service.
    pub service_bytes_max: usize,
    /// Bytes of one peer.
    pub peer_bytes_max: usize,
}

impl MemorySettings {
    /// From the section, on a machine with so much memory.
    pub fn new(section: &Memory, machine_bytes: usize) -> Self {
        let Memory { peers_bytes_max, service_percent_max, peer_percent_max } = *section;
        let peers_bytes_max =
            if peers_bytes_max == 0 { machine_bytes / 2 } else { peers_bytes_max };
        let service_bytes_max = peers_bytes_max / 100 * service_percent_max;
        let peer_bytes_max = service_bytes_max / 100 * peer_percent_max;
        Self { peers_bytes_max, service_bytes_max, peer_bytes_max }
    }
}
