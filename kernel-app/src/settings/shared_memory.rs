//! `[shared_memory]`: services for others of the host.

use alloc::string::String;
use config::SharedMemory;
use core::time::Duration;

/// What `[shared_memory]` comes to on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMemorySettings {
    /// The path of the web server; none is off, as of the next two.
    pub http_path: Option<String>,
    /// Of RPC.
    pub rpc_path: Option<String>,
    /// Of the service by ZeroMQ.
    pub zmq_path: Option<String>,
    /// Flows at once.
    pub connections_max: usize,
    /// Bytes of the ring in each direction.
    pub ring_bytes: usize,
    /// How long the other process may take to accept.
    pub connect_timeout: Duration,
}

impl SharedMemorySettings {
    /// From the section, on a machine with so much memory: of it, an eighth is for rings.
    pub fn new(section: &SharedMemory, machine_bytes: usize) -> Self {
        let SharedMemory {
            http_path,
            rpc_path,
            zmq_path,
            connections_max,
            ring_bytes,
            connect_timeout,
        } = section;
        let room = machine_bytes / 8 / (2 * ring_bytes);
        let some = |path: &String| (!path.is_empty()).then(|| path.clone());
        Self {
            http_path: some(http_path),
            rpc_path: some(rpc_path),
            zmq_path: some(zmq_path),
            connections_max: (*connections_max).min(room).max(1),
            ring_bytes: *ring_bytes,
            connect_timeout: *connect_timeout,
        }
    }

    /// The path of a service, and its key.
    pub(crate) fn path_of(&self, service: &str) -> Option<(&str, &'static str)> {
        let (path, key) = match service {
            "http" => (&self.http_path, "http_path"),
            "rpc" => (&self.rpc_path, "rpc_path"),
            "zmq" => (&self.zmq_path, "zmq_path"),
            _ => return None,
        };
        path.as_deref().map(|path| (path, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_have_few_flows() {
        let section =
            SharedMemory { connections_max: 64, ring_bytes: 256 << 10, ..SharedMemory::default() };
        let flows =
            |mebibytes: usize| SharedMemorySettings::new(&section, mebibytes << 20).connections_max;
        assert_eq!([0, 4, 8, 64, 256, 1024].map(flows), [1, 1, 2, 16, 64, 64]);
    }
}
