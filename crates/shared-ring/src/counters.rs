//! Counters: what happened since the start, each with its metric.

inspect::counters! {
    /// One thing that is counted of flows through shared memory since the start.
    pub(crate) enum Counter as "shared_memory_";
    /// Flows through shared memory, those included that are closed.
    Opened = counter "flows_opened",
    /// Bytes read from shared memory.
    BytesIn = byte_counter "received",
    /// Bytes written to shared memory.
    BytesOut = byte_counter "sent",
    /// Notifications that came.
    NotificationsIn = counter "notifications_in",
    /// Notifications sent.
    NotificationsOut = counter "notifications_out",
    /// Times that something was read or written and the other side was not notified, since it did not ask.
    Suppressed = counter "notifications_suppressed",
    /// Waits since there was nothing to read.
    EmptyStalls = counter "stalls_empty",
    /// Waits since the other side had not read.
    FullStalls = counter "stalls_full",
    /// Flows ended since the other side wrote what cannot be.
    Violations = counter "violations",
}
