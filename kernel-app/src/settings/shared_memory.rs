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
    /// How long a loop polls rings before it sleeps.
    pub busy_poll: Duration,
    /// How long the other process may take to accept.
    pub connect_timeout: Duration,
}

/// As many flows have a place before rings are as large as they may be.
const FLOWS_FIRST: usize = 16;
/// As large are they before more flows have one: the largest move at once.
const RING_BYTES_FIRST: usize = 64 << 10;

impl SharedMemorySettings {
    /// From the section, on a machine with so much memory: of it, an eighth is for rings. Where that has no room for sixteen flows
    /// with rings of the size that is asked for, rings are smaller, down to 64 KiB.
    pub fn new(section: &SharedMemory, machine_bytes: usize) -> Self {
        let SharedMemory {
            http_path,
            rpc_path,
            zmq_path,
            connections_max,
            ring_bytes,
            busy_poll_microseconds,
            connect_timeout,
        } = section;
        let share = machine_bytes / 8;
        let each = share / 2 / (*connections_max).clamp(1, FLOWS_FIRST);
        let ring_bytes = (*ring_bytes).min(each.max(RING_BYTES_FIRST));
        let ring_bytes = 1 << ring_bytes.ilog2();
        let room = share / (2 * ring_bytes);
        let some = |path: &String| (!path.is_empty()).then(|| path.clone());
        Self {
            http_path: some(http_path),
            rpc_path: some(rpc_path),
            zmq_path: some(zmq_path),
            connections_max: (*connections_max).min(room).max(1),
            ring_bytes,
            busy_poll: Duration::from_micros((*busy_poll_microseconds).into()),
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

    fn flows_and_rings(section: &SharedMemory, mebibytes: usize) -> (usize, usize) {
        let settings = SharedMemorySettings::new(section, mebibytes << 20);
        (settings.connections_max, settings.ring_bytes >> 10)
    }

    #[test]
    fn small_machines_have_smaller_rings_and_then_fewer_flows() {
        let section =
            SharedMemory { connections_max: 64, ring_bytes: 1 << 20, ..SharedMemory::default() };
        let machines = [0, 4, 8, 16, 64, 128, 256, 512, 1024];
        assert_eq!(
            machines.map(|mebibytes| flows_and_rings(&section, mebibytes)),
            [
                (1, 64),
                (4, 64),
                (8, 64),
                (16, 64),
                (16, 256),
                (16, 512),
                (16, 1024),
                (32, 1024),
                (64, 1024)
            ]
        );
    }

    #[test]
    fn who_wants_few_flows_has_large_rings_for_them() {
        let section =
            SharedMemory { connections_max: 2, ring_bytes: 300 << 10, ..SharedMemory::default() };
        assert_eq!(flows_and_rings(&section, 16), (2, 256));
        let section = SharedMemory { ring_bytes: 4096, ..section };
        assert_eq!(flows_and_rings(&section, 1), (2, 4));
    }
}
