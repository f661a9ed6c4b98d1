//! What can be seen of a connection from outside, as `ss -i` shows it.

use super::Connection;
use crate::config::Config;
use crate::state::State;
use crate::time::Duration;

/// A connection at a glance.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The state.
    pub state: State,
    /// Smoothed round-trip time, once there was a sample.
    pub round_trip: Option<Duration>,
    /// How much it varies (RFC 6298: RTTVAR), once there was a sample.
    pub round_trip_variation: Option<Duration>,
    /// The retransmission time-out, as often doubled as it has expired in a row.
    pub retransmission_timeout: Duration,
    /// The shortest round-trip time of the last minutes.
    pub round_trip_min: Option<Duration>,
    /// Bytes of data and options in a segment.
    pub mss: u16,
    /// The congestion window, and the slow start threshold, in bytes.
    pub congestion_window: u32,
    /// The slow start threshold in bytes; `None` before there was a reason for one.
    pub slow_start_threshold: Option<u32>,
    /// Octets in flight.
    pub in_flight: u32,
    /// Octets that the peer has above a gap.
    pub sacked: u32,
    /// Octets believed lost and not sent again.
    pub lost: u32,
    /// The peer's window in bytes.
    pub send_window: u32,
    /// Our window in bytes, as the peer was told and has not used.
    pub receive_window: u32,
    /// By how many bits the peer's windows are shifted (RFC 7323 section 2).
    pub send_window_shift: u8,
    /// By how many bits ours are.
    pub receive_window_shift: u8,
    /// What the receive buffer may hold, in bytes.
    pub receive_limit: u32,
    /// Bytes written and not acknowledged.
    pub send_queue: u32,
    /// Bytes received and not read.
    pub receive_queue: u32,
    /// Bytes received ahead of a gap.
    pub out_of_order: u32,
    /// Time-outs in a row.
    pub backoff: u8,
    /// Segments sent again.
    pub resent: u32,
    /// Bytes per second at which segments leave; `None` for as fast as the windows let.
    pub pacing_rate: Option<u64>,
    /// Bytes per second that arrive, where congestion control measures it, which is with BBR.
    pub delivery_rate: Option<u64>,
    /// Losses are being repaired.
    pub is_recovering: bool,
    /// Transmissions on record: what the memory of the scoreboard depends on.
    pub records: usize,
}

impl Connection {
    /// Bytes of buffer memory that it holds, as they count in the [budget](crate::Memory). Looks at every buffer.
    pub fn held_bytes(&self) -> usize {
        self.send_buffer.held_bytes() + self.receive_buffer.held_bytes()
    }

    /// What there is to know, under these settings.
    pub fn info(&self, config: &Config) -> Info {
        Info {
            state: self.state,
            round_trip: self.rtt.smoothed(),
            round_trip_variation: self.rtt.variation(),
            retransmission_timeout: self.rtt.timeout(config),
            round_trip_min: self.rtt.min(),
            mss: self.send.mss,
            congestion_window: self.congestion.size(),
            slow_start_threshold: self.congestion.window.known_threshold(),
            in_flight: self.scoreboard.in_flight(),
            sacked: self.scoreboard.sacked(),
            lost: self.scoreboard.lost(),
            send_window: self.send.window,
            receive_window: self.receive.advertised.distance_from(self.receive.next),
            send_window_shift: self.send.scale,
            receive_window_shift: self.receive.scale,
            receive_limit: self.receive_window.limit(),
            send_queue: self.send_buffer.len(),
            receive_queue: self.receive_buffer.len(),
            out_of_order: self.receive_buffer.out_of_order_bytes(),
            backoff: self.rtt.backoff(),
            resent: self.resent,
            pacing_rate: self.congestion.pacing_rate(&self.rtt, config),
            delivery_rate: self.congestion.delivery_rate(),
            is_recovering: self.recovery.is_active(),
            records: self.scoreboard.records(),
        }
    }
}
