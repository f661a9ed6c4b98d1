//! `[zmq]`: the service and its callers. A bound on subscriptions has no key, since the service's
//! socket takes none.

use alloc::string::String;
use alloc::vec::Vec;
use config::Zmq;
use endpoints::pipe::ServiceLimits;

/// What `[zmq]` comes to.
#[derive(Clone, Debug)]
pub struct ZmqSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// The path of the web server for WebSockets; none is off.
    pub websocket_path: Option<String>,
    /// Origins whose pages may connect there beside this host's.
    pub websocket_origins: Vec<String>,
    /// What callers may ask of the service.
    pub limits: ServiceLimits,
}

impl ZmqSettings {
    /// From the section.
    pub fn new(section: &Zmq) -> Self {
        let Zmq {
            port,
            websocket_path,
            websocket_origins,
            message_bytes_max,
            unfinished_bytes_max,
            parts_max,
            command_bytes_max,
            nesting_max,
            expansion_ratio_max,
            expansion_free_bytes,
            peers_max,
            requests_max,
            send_messages_max,
            send_bytes_max,
            receive_messages_max,
            receive_bytes_max,
            handshake_timeout,
            stall_timeout,
            write_timeout,
            bytes_per_second_min,
        } = section.clone();
        let limits = ServiceLimits {
            message_bytes_max,
            unfinished_bytes_max,
            parts_max,
            command_bytes_max,
            nesting_max,
            expansion_ratio_max,
            expansion_free_bytes,
            peers_max,
            requests_max,
            send_messages_max,
            send_bytes_max,
            receive_messages_max,
            receive_bytes_max,
            handshake_timeout,
            stall_timeout,
            write_timeout,
            bytes_per_second_min,
        };
        let websocket_path = (!websocket_path.is_empty()).then_some(websocket_path);
        Self { port, websocket_path, websocket_origins, limits }
    }
}
