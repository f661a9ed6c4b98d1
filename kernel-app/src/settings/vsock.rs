//! `[vsock]`: services for the host of a virtual machine.

use config::Vsock;
use vsock::{HELD_MAX, Limits};

/// What `[vsock]` comes to on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VsockSettings {
    /// The port of the web server; none is off, as of the next two.
    pub http_port: Option<u32>,
    /// Of RPC.
    pub rpc_port: Option<u32>,
    /// Of what operators look at.
    pub admin_port: Option<u32>,
    /// What sockets may hold.
    pub limits: Limits,
}

impl VsockSettings {
    /// From the section, on a machine with so much memory: of it, an eighth is for sockets.
    pub fn new(section: &Vsock, machine_bytes: usize) -> Self {
        let Vsock { http_port, rpc_port, admin_port, connections_max, buffer_bytes } = *section;
        let room = machine_bytes / 8 / (HELD_MAX * buffer_bytes as usize);
        let connections_max = connections_max.min(room).max(1);
        let limits = Limits { connections_max, buffer_bytes, ..Limits::default() };
        let some = |port: u32| (port > 0).then_some(port);
        Self {
            http_port: some(http_port),
            rpc_port: some(rpc_port),
            admin_port: some(admin_port),
            limits,
        }
    }

    /// The port of a service, and its key.
    pub(crate) fn port_of(&self, service: &str) -> Option<(u32, &'static str)> {
        match service {
            "http" => self.http_port.map(|port| (port, "http_port")),
            "rpc" => self.rpc_port.map(|port| (port, "rpc_port")),
            "admin" => self.admin_port.map(|port| (port, "admin_port")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_have_few_connections() {
        let section = Vsock { connections_max: 128, buffer_bytes: 64 << 10, ..Vsock::default() };
        let connections =
            |mebibytes: usize| VsockSettings::new(&section, mebibytes << 20).limits.connections_max;
        assert_eq!([0, 8, 64, 256, 1024].map(connections), [1, 4, 32, 128, 128]);
    }
}
