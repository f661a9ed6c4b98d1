//! Limits: what a server may ask of us.

use core::time::Duration;

/// Bounds on what a server may send and how long it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest row, piece of COPY data, or description of columns, bytes. Default 16 MiB: room for a large document in a
    /// column. What is longer ends the connection.
    pub row_bytes_max: usize,
    /// Longest other message, bytes: errors, notices, parameters, notifications. Default 1 MiB: an error may quote what it was given.
    pub message_bytes_max: usize,
    /// Bytes of events that nobody has polled, from which on no input is taken; one row may exceed it. Default 64 KiB: what
    /// a full flow's buffer has.
    pub events_bytes_max: usize,
    /// Iterations that a server may ask of SCRAM (RFC 5802 section 5.1). Default 1,000,000, which are some
    /// 0.5 s of a CPU, in slices between which others have their turns; PostgreSQL's own default is 4,096.
    pub scram_iterations_max: u32,
    /// From the first call to the end of authentication. Default 10 s.
    pub start_timeout: Duration,
    /// How long a message may lack bytes of which none comes. Default 60 s. How long a query may take is the caller's.
    pub stall_timeout: Duration,
    /// How long a server may take nothing of what is there for it. Default 60 s.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            row_bytes_max: 16 << 20,
            message_bytes_max: 1 << 20,
            events_bytes_max: 64 << 10,
            scram_iterations_max: 1_000_000,
            start_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
        }
    }
}
