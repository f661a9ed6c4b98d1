//! `[zmq]`: the service and its callers. A bound on subscriptions has no key, since the service's
//! socket takes none.

use config::Zmq;
use endpoints::pipe::ServiceLimits;

/// What `[zmq]` comes to.
#[derive(Clone, Copy, Debug)]
pub struct ZmqSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// What callers may ask of the service.
    pub limits: ServiceLimits,
}

impl ZmqSettings {
    /// From the section.
    pub fn new(section: &Zmq) -> Self {
        let Zmq {
            port,
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
        } = *section;
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
        Self { port, limits }
    }
}
