//! Counters: what happened since the interface's start, each with its metric.

inspect::counters! {
    /// One thing that is counted since the interface's start.
    pub enum Counter as "net_";
    /// Frames taken from the device.
    FramesIn = counter "frames_in",
    /// Bytes in the frames taken from the device.
    BytesIn = byte_counter "received",
    /// TCP packets that connections gave to the device; one may be many segments.
    PacketsOut = counter "tcp_packets_out",
    /// Datagrams of UDP that tasks sent.
    DatagramsOut = counter "datagrams_out",
    /// Datagrams of UDP that tasks sent whose next hop did not answer.
    DatagramsLost = counter "datagrams_lost",
    /// Frames whose lengths lie, and TCP fragments.
    Malformed = counter "dropped_malformed",
    /// TCP frames for another hardware or IP address.
    NotOurs = counter "dropped_not_ours",
    /// Handshake segments with wrong checksums.
    BadChecksum = counter "dropped_bad_checksum",
    /// Rounds that ended because the device was full.
    DeviceFull = counter "device_full",
    /// SYNs for ports that listen.
    SynsIn = counter "syns_in",
    /// SYN-ACKs sent, repeated ones included.
    SynAcksOut = counter "syn_acks_out",
    /// Half-open connections given up.
    HalfOpenExpired = counter "half_open_expired",
    /// SYNs answered with a cookie, since no slot of the SYN queue was free.
    CookiesOut = counter "syn_cookies_out",
    /// Connections opened by a cookie.
    CookiesIn = counter "syn_cookies_accepted",
    /// Handshakes not completed since the listener's backlog was full; the peer tries again.
    BacklogFull = counter "dropped_backlog_full",
    /// Handshakes not completed, and connects refused, since all connections are in use.
    ConnectionsFull = counter "dropped_connections_full",
    /// Connections that others opened.
    Accepted = counter "connections_accepted",
    /// Connections that we opened.
    Connected = counter "connections_connected",
    /// Connections that ended, in whatever way.
    Closed = counter "connections_closed",
    /// Panics inside the stack, each of which ended a connection or lost a frame.
    Panics = counter "panics",
    /// Connections that the peer reset.
    ResetsIn = counter "connections_reset_by_peer",
    /// Connections whose peer fell silent.
    TimedOut = counter "connections_timed_out",
    /// Resets for segments that belong to nobody.
    ResetsOut = counter "resets_out",
    /// Resets for segments that belong to nobody that were not sent, to bound their rate.
    ResetsWithheld = counter "resets_withheld",
    /// Packets that no service here takes, of which nobody was told, to bound the rate of ICMP errors.
    IcmpErrorsWithheld = counter "icmp_errors_withheld",
    /// Segments that connections received.
    SegmentsIn = counter "segments_received",
    /// Of them, segments dealt with by header prediction.
    SegmentsPredicted = counter "segments_predicted",
    /// Segments that connections sent; what the device cuts counts as what it becomes.
    SegmentsOut = counter "segments_sent",
    /// Bytes received that had come before.
    DuplicateBytes = byte_counter "received_duplicate",
    /// Bytes received ahead of a gap.
    OutOfOrderBytes = byte_counter "received_out_of_order",
    /// Bytes sent again.
    RetransmittedBytes = byte_counter "retransmitted",
    /// Losses that were repaired by fast recovery (RFC 6675).
    Recoveries = counter "recoveries",
    /// Congestion that routers marked and peers echoed (RFC 3168).
    CongestionEchoes = counter "congestion_echoes",
    /// Probes of windows that peers closed (RFC 9293 section 3.8.6.1).
    WindowProbes = counter "window_probes",
    /// Questions to silent peers (RFC 9293 section 3.8.4).
    KeepAliveProbes = counter "keep_alive_probes",
    /// Segments sent again.
    Retransmits = counter "retransmits",
    /// Retransmissions since the timer expired (RFC 6298).
    RetransmissionTimeouts = counter "retransmission_timeouts",
    /// Segments sent to find out whether the last ones were lost (RFC 8985 section 7).
    LossProbes = counter "tail_loss_probes",
    /// Recoveries and time-outs that turned out to be for nothing, and were undone.
    SpuriousRecoveries = counter "spurious_recoveries",
    /// Segments that are not acceptable in the connection's state (RFC 9293 section 3.10.7.4).
    Unacceptable = counter "dropped_unacceptable",
    /// Challenge acknowledgements sent (RFC 5961).
    ChallengeAcks = counter "challenge_acks_out",
    /// Paths found to swallow large segments (RFC 8899).
    BlackHoles = counter "path_black_holes",
    /// Connections whose peers took nothing, ended since no buffer memory was left for others.
    Relieved = counter "connections_ended_for_memory",
    /// Bytes received and dropped, since no buffer memory was left.
    NoBufferMemory = byte_counter "dropped_for_memory",
    /// TIME-WAIT entries forgotten before their time.
    TimeWaitRecycled = counter "time_wait_recycled",
    /// SYNs that took over a connection in TIME-WAIT.
    TimeWaitReused = counter "time_wait_reused",
}

/// What `count` says of each.
pub(crate) fn counts_of(count: impl Fn(Counter) -> u64) -> Counts {
    Counts::of(|place| count(ALL[place]))
}
