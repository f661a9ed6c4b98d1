//! Limits: what a peer may ask of us.

use core::time::Duration;

/// Bounds on what one peer may send. A peer past one of them loses its connection, where nothing else
/// is said.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest part of a message, bytes. It bounds what a length field may claim; pieces pass on
    /// as they come, so it is no memory figure. Default 1 GiB: the largest message we stream.
    /// A CURVE part must be whole before it can be trusted, so there the smaller of this and
    /// `message_bytes_max` holds.
    pub frame_bytes_max: u64,
    /// Longest message a [`Socket`](crate::Socket) assembles, all parts together, bytes.
    /// Default 128 MiB: twice the largest message of the interoperability tests.
    pub message_bytes_max: usize,
    /// Most parts in one message. Default 1,024: envelopes need under ten, and each part costs
    /// some 32 bytes beside its body.
    pub parts_max: usize,
    /// Longest command, bytes. Default 8 KiB: READY with generous metadata, a SUBSCRIBE topic. After
    /// the handshake a longer one is skipped.
    pub command_bytes_max: u64,
    /// Most distinct subscriptions that one peer may hold; further ones are refused. Default 10,000.
    pub subscriptions_max: usize,
    /// Bytes of memory that the subscriptions of one peer may take, some 150 beside each topic;
    /// further ones are refused. Default 4 MiB: as many as `subscriptions_max`, of 250 bytes.
    pub subscription_bytes_max: usize,
    /// Time from the first call to the end of the handshake. Default 30 s, as libzmq's.
    pub handshake_timeout: Duration,
    /// How long a message may lack bytes of which none comes. Default 60 s.
    pub stall_timeout: Duration,
    /// How long a peer may take nothing of what is there for it. Default none, for ever, as libzmq has it: a PULL that
    /// works for minutes takes nothing meanwhile, and high-water marks bound what waits for it.
    pub write_timeout: Option<Duration>,
    /// Bytes per second at which a message must come on the whole, and, with a `write_timeout`, at which what is there
    /// for a peer must be taken: each byte puts the deadline off by its share of a second, to `stall_timeout` or
    /// `write_timeout` from then at most. Zero is no least rate. Default 500, a tenth of the slowest modem's.
    pub bytes_per_second_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 1 << 30,
            message_bytes_max: 128 << 20,
            parts_max: 1024,
            command_bytes_max: 8 << 10,
            subscriptions_max: 10_000,
            subscription_bytes_max: 4 << 20,
            handshake_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            write_timeout: None,
            bytes_per_second_min: 500,
        }
    }
}
