//! Counters: what happened since the interface's start, by name.

use core::cell::Cell;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that is counted since the interface's start.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name by which operators know it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        const COUNTERS: usize = [$(Counter::$name,)*].len();
    };
}

counters! {
    /// Frames taken from the device.
    FramesIn = "frames_in",
    /// Bytes in them.
    BytesIn = "bytes_in",
    /// TCP packets that connections gave to the device; one may be many segments.
    PacketsOut = "tcp_packets_out",
    /// Frames whose lengths lie, and TCP fragments.
    Malformed = "dropped_malformed",
    /// TCP frames for another hardware or IP address.
    NotOurs = "dropped_not_ours",
    /// Handshake segments with wrong checksums.
    BadChecksum = "dropped_bad_checksum",
    /// Rounds that ended because the device was full.
    DeviceFull = "device_full",
    /// SYNs for ports that listen.
    SynsIn = "syns_in",
    /// SYN-ACKs sent, repeated ones included.
    SynAcksOut = "syn_acks_out",
    /// Half-open connections given up.
    HalfOpenExpired = "half_open_expired",
    /// SYNs answered with a cookie, since no slot of the SYN queue was free.
    CookiesOut = "syn_cookies_out",
    /// Connections opened by a cookie.
    CookiesIn = "syn_cookies_accepted",
    /// Handshakes not completed since the listener's backlog was full; the peer tries again.
    BacklogFull = "dropped_backlog_full",
    /// Handshakes not completed, and connects refused, since all connections are in use.
    ConnectionsFull = "dropped_connections_full",
    /// Connections that others opened.
    Accepted = "connections_accepted",
    /// Connections that we opened.
    Connected = "connections_connected",
    /// Connections that ended, in whatever way.
    Closed = "connections_closed",
    /// Panics inside the stack, each of which ended a connection or lost a frame.
    Panics = "panics",
    /// Connections that the peer reset.
    ResetsIn = "connections_reset_by_peer",
    /// Connections whose peer fell silent.
    TimedOut = "connections_timed_out",
    /// Resets for segments that belong to nobody.
    ResetsOut = "resets_out",
    /// Such resets not sent, to bound their rate.
    ResetsWithheld = "resets_withheld",
    /// Packets that no service here takes, of which nobody was told, to bound the rate of ICMP errors.
    IcmpErrorsWithheld = "icmp_errors_withheld",
    /// Segments sent again.
    Retransmits = "retransmits",
    /// Retransmissions since the timer expired (RFC 6298).
    RetransmissionTimeouts = "retransmission_timeouts",
    /// Segments sent to find out whether the last ones were lost (RFC 8985 section 7).
    LossProbes = "tail_loss_probes",
    /// Recoveries and time-outs that turned out to be for nothing, and were undone.
    SpuriousRecoveries = "spurious_recoveries",
    /// Segments that are not acceptable in the connection's state (RFC 9293 section 3.10.7.4).
    Unacceptable = "dropped_unacceptable",
    /// Challenge acknowledgements sent (RFC 5961).
    ChallengeAcks = "challenge_acks_out",
    /// Paths found to swallow large segments (RFC 8899).
    BlackHoles = "path_black_holes",
    /// Connections whose peers took nothing, ended since no buffer memory was left for others.
    Relieved = "connections_ended_for_memory",
    /// Bytes received and dropped, since no buffer memory was left.
    NoBufferMemory = "dropped_no_buffer_memory_bytes",
    /// TIME-WAIT entries forgotten before their time.
    TimeWaitRecycled = "time_wait_recycled",
    /// SYNs that took over a connection in TIME-WAIT.
    TimeWaitReused = "time_wait_reused",
}

/// The counters of one interface.
pub(crate) struct Counters([Cell<u64>; COUNTERS]);

impl Counters {
    pub(crate) fn new() -> Self {
        Self([const { Cell::new(0) }; COUNTERS])
    }

    pub(crate) fn add(&self, count: Counter) {
        self.add_many(count, 1);
    }

    pub(crate) fn add_many(&self, count: Counter, many: u64) {
        let cell = &self.0[count as usize];
        cell.set(cell.get() + many);
    }

    pub(crate) fn get(&self, count: Counter) -> u64 {
        self.0[count as usize].get()
    }
}
