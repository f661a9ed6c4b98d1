//! Limits: what a peer may cost, and how long it may take.

use core::time::Duration;
use pace::Pace;

/// Bounds on a peer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message that is received, in bytes, after decompression. A longer one ends the connection with 1009, as
    /// soon as its length is known. Default 1 MiB: a message is held whole.
    pub message_bytes_max: usize,
    /// Frames that a message may come in; more end the connection with 1008. Default 65 536: 16 bytes each at the
    /// longest message.
    pub fragments_max: u32,
    /// Bytes that wait to be sent above which the next message waits. Default 64 KiB.
    pub unsent_bytes_max: usize,
    /// After what time in which nothing came the peer is sent a ping; `None` never. Default 30 s: less than what
    /// address translators forget connections after. The time counts while input is read.
    pub ping_interval: Option<Duration>,
    /// How long anything may take to come after that ping. Default 20 s.
    pub ping_timeout: Duration,
    /// How long the peer has for its part of the closing handshake. Default 5 s.
    pub close_timeout: Duration,
    /// How slowly the peer may take what is sent. Default 60 s without a byte, and 500 bytes in a second.
    pub write_pace: Pace,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            fragments_max: 1 << 16,
            unsent_bytes_max: 64 << 10,
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            write_pace: Pace { timeout: Duration::from_secs(60), bytes_per_second_min: 500 },
        }
    }
}
