//! `[relay]`: this appliance's network for others, and another's for this one.

use alloc::string::String;
use alloc::vec::Vec;
use config::{PortRange, Relay, TargetRule};
use flow::Target;

/// What `[relay]` comes to.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The ports at which others may listen here.
    pub listen_ports: Vec<PortRange>,
    /// Where others may connect to from here.
    pub connect_targets: Vec<TargetRule>,
    /// Connections of others at a time.
    pub connections_max: usize,
    /// The capability whose network this appliance connects by.
    pub through: Option<String>,
    /// The port there at which HTTP is served, too.
    pub http_port: Option<u16>,
}

impl RelaySettings {
    /// From the section.
    pub fn new(section: &Relay) -> Self {
        let Relay { listen_ports, connect_targets, connections_max, through, http_port } =
            section.clone();
        let through = (!through.is_empty()).then_some(through);
        Self { listen_ports, connect_targets, connections_max, through, http_port }
    }

    /// Others may use this network for something.
    pub fn is_for_others(&self) -> bool {
        !self.listen_ports.is_empty() || !self.connect_targets.is_empty()
    }

    /// Others may listen at this port.
    pub fn allows_listening(&self, port: u16) -> bool {
        self.listen_ports.iter().any(|range| range.contains(port))
    }

    /// Others may connect there. What is in this appliance is not on the network.
    pub fn allows_connecting(&self, target: &Target) -> bool {
        let rules = &self.connect_targets;
        match target {
            Target::Address(at) => rules.iter().any(|it| it.allows_address(at.ip(), at.port())),
            Target::Name(name, port) => rules.iter().any(|it| it.allows_name(name, *port)),
            Target::Tls(..) | Target::Service(_) => false,
            Target::Memory(_)
            | Target::Vsock(_)
            | Target::SharedMemory(_)
            | Target::Vchan(_)
            | Target::Unix(_) => false,
        }
    }
}
