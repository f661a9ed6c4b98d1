//! `[shared_memory]`: services for others of the host, by memory that both share: of a process for processes, of an image for
//! guests of QEMU or other domains of a Xen host.

use alloc::string::String;
use core::time::Duration;

/// `[shared_memory]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMemory {
    /// Path at which the web server is reached. Default "", which is off, as of the next two: who shares memory says so.
    pub http_path: String,
    /// Of RPC, as `[rpc] port` has it.
    pub rpc_path: String,
    /// Of the service by ZeroMQ.
    pub zmq_path: String,
    /// Flows at once, over all services, those included that we open. Default 64: clients are programs of one host.
    pub connections_max: usize,
    /// Bytes of the ring in each direction at most, the next lower power of two being taken. Default 1 MiB, the most that there
    /// is: who writes waits for who reads once for each ring. A small machine has smaller ones.
    pub ring_bytes: usize,
    /// Microseconds for which a loop polls rings at most before it sleeps; zero is never. Default 200, as KVM has it for a guest
    /// that halts (`halt_poll_ns`).
    pub busy_poll_microseconds: u32,
    /// How long the other process may take to accept a connection of ours. Default 5 s: one that works takes milliseconds.
    pub connect_timeout: Duration,
}

impl Default for SharedMemory {
    fn default() -> Self {
        Self {
            http_path: String::new(),
            rpc_path: String::new(),
            zmq_path: String::new(),
            connections_max: 64,
            ring_bytes: 1 << 20,
            busy_poll_microseconds: 200,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl SharedMemory {
    /// The services that are on, the keys of their paths, and these.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let paths = [
            ("http", "http_path", &*self.http_path),
            ("rpc", "rpc_path", &*self.rpc_path),
            ("zmq", "zmq_path", &*self.zmq_path),
        ];
        paths.into_iter().filter(|(_, _, path)| !path.is_empty())
    }
}
