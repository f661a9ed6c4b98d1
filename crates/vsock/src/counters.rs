//! Counters: what happened since the start, each with its metric.

inspect::counters! {
    /// One thing that is counted since the start of a network of vsocks.
    pub(crate) enum Counter as "vsock_";
    /// Packets taken from the device.
    PacketsIn = counter "packets_in",
    /// Packets given to the device.
    PacketsOut = counter "packets_out",
    /// Bytes of streams received.
    BytesIn = byte_counter "received",
    /// Bytes of streams sent.
    BytesOut = byte_counter "sent",
    /// Packets dropped, since they are none or are for another machine.
    Dropped = counter "dropped",
    /// Connections that others opened.
    Accepted = counter "connections_accepted",
    /// Connections that we opened.
    Connected = counter "connections_connected",
    /// Connections refused, since the listener's backlog is full or all connections are in use.
    Full = counter "refused_full",
    /// Packets of connections that there are not, answered by a reset.
    ResetsOut = counter "resets_out",
    /// Connections ended since their peers broke the rules.
    Violations = counter "violations",
    /// Connections whose peers did not answer in time.
    TimedOut = counter "connections_timed_out",
    /// Panics, each of which ended a connection.
    Panics = counter "panics",
}
