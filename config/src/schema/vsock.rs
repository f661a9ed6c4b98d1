//! `[vsock]`: services for the host of a virtual machine, by sockets that are no network's.

/// `[vsock]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vsock {
    /// Vsock port of the web server. Default 0, which is off, as of the next two: who serves its host says so.
    pub http_port: u32,
    /// Of RPC, as `[rpc] port` has it.
    pub rpc_port: u32,
    /// Of what operators look at.
    pub admin_port: u32,
    /// Connections at once, over all services. Default 128: clients are programs of one host.
    pub connections_max: usize,
    /// Bytes that a connection may hold for its peer, and of its peer's. Default 64 KiB, which is the longest packet.
    pub buffer_bytes: u32,
}

impl Default for Vsock {
    fn default() -> Self {
        Self {
            http_port: 0,
            rpc_port: 0,
            admin_port: 0,
            connections_max: 128,
            buffer_bytes: 64 << 10,
        }
    }
}

impl Vsock {
    /// The services that are on, the keys of their ports, and these.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, &'static str, u32)> {
        let ports = [
            ("http", "http_port", self.http_port),
            ("rpc", "rpc_port", self.rpc_port),
            ("admin", "admin_port", self.admin_port),
        ];
        ports.into_iter().filter(|(_, _, port)| *port > 0)
    }
}
