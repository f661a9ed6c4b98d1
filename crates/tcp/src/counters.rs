//! Counters: what happened to all connections together.

/// Counts of all connections of a stack; they only grow, and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it by its name")]
pub struct Counters {
    pub segments_received: u64,
    pub segments_sent: u64,
    /// Segments that the header prediction dealt with.
    pub segments_predicted: u64,
    /// Segments that RFC 9293 section 3.10.7.4 calls unacceptable.
    pub segments_unacceptable: u64,
    /// Segments older than those before them by their timestamps (RFC 7323 section 5).
    pub segments_old_by_timestamp: u64,
    pub challenge_acks: u64,
    pub challenge_acks_suppressed: u64,
    pub segments_retransmitted: u64,
    pub bytes_retransmitted: u64,
    pub retransmission_timeouts: u64,
    pub loss_probes: u64,
    pub recoveries: u64,
    /// Recoveries and time-outs that turned out to be for nothing.
    pub undone: u64,
    pub window_probes: u64,
    pub keep_alive_probes: u64,
    /// Data that was dropped since no memory was left for it.
    pub bytes_without_memory: u64,
    pub bytes_out_of_order: u64,
    pub bytes_duplicate: u64,
    pub congestion_echoes: u64,
    pub black_holes: u64,
    pub resets_received: u64,
    pub timed_out: u64,
}
