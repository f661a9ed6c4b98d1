//! Settings of all connections, and what they share.

use crate::congestion::Algorithm;
use crate::counters::Counters;
use crate::memory::Memory;
use crate::options::{Options, Timestamps};
use crate::time::Duration;

/// What all connections of a stack share; passed to each call.
pub struct Shared {
    /// The settings.
    pub config: Config,
    /// The memory of all buffers.
    pub memory: Memory,
    /// What happened.
    pub counters: Counters,
}

impl Shared {
    /// With those settings, and nothing held or counted yet.
    pub fn new(config: Config) -> Self {
        let memory = Memory::new(config.buffers_bytes_max);
        Self { config, memory, counters: Counters::default() }
    }
}

/// Settings of all connections.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of all connections' buffers together.
    pub buffers_bytes_max: usize,
    /// The first receive window, in bytes; never less than two full segments.
    pub receive_initial_bytes: u32,
    /// What a receive window grows to at most, in bytes. Also decides the window scale.
    pub receive_bytes_max: u32,
    /// Bytes that an application may have in a new connection's send buffer.
    pub send_initial_bytes: u32,
    /// What that grows to at most with the congestion window, in bytes.
    pub send_bytes_max: u32,
    /// Out of order data is kept in at most so many separate ranges, and in at most one for each KiB of the
    /// receive window: a range of a single byte takes 2 KiB of memory.
    pub out_of_order_ranges_max: usize,
    /// What decides the congestion window.
    pub congestion_control: Algorithm,
    /// The initial window in segments (RFC 6928: 10).
    pub initial_window_segments: u32,
    /// Spreads segments over a round trip.
    pub pacing: bool,
    /// Holds back what is less than a segment while something is in flight (RFC 9293 section 3.7.4).
    pub nagle: bool,
    /// Deals with expected segments by the short way. Off only to compare it with the long one.
    pub header_prediction: bool,
    /// Offers and accepts timestamps (RFC 7323 section 3).
    pub timestamps: bool,
    /// Offers and accepts selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Offers and accepts window scales (RFC 7323 section 2).
    pub window_scaling: bool,
    /// Asks for and agrees to explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// How long an acknowledgement waits for company (RFC 9293 section 3.8.6.3: less than 500 ms).
    pub delayed_ack: Duration,
    /// The first retransmission time-out (RFC 6298 section 2.1: 1 s).
    pub rto_initial: Duration,
    /// The shortest one. RFC 6298 section 2.4 says 1 s; everybody uses less, as Linux does.
    pub rto_min: Duration,
    /// The longest one (RFC 6298 section 2.5: at least 60 s).
    pub rto_max: Duration,
    /// An open that takes longer fails (RFC 9293 section 3.8.3: R2 for SYN, at least 3 minutes).
    pub open_timeout: Duration,
    /// A connection ends when what was sent is not acknowledged for so long (RFC 9293 section 3.8.3: R2,
    /// at least 100 s).
    pub user_timeout: Duration,
    /// After so long without a segment, the peer is probed (RFC 9293 section 3.8.4: at least 2 hours, and
    /// off by default: [`Duration::ENDLESS`]).
    pub keep_alive_idle: Duration,
    /// The time between two probes.
    pub keep_alive_interval: Duration,
    /// A connection ends when so many probes stay without an answer.
    pub keep_alive_probes: u8,
    /// How long the peer may take to finish after nobody here reads any more.
    pub fin_wait_2_timeout: Duration,
    /// The length of TIME-WAIT: twice the segment life time (RFC 9293 section 3.6.1).
    pub time_wait: Duration,
    /// Challenge acknowledgements of a connection in a second (RFC 5961 section 7).
    pub challenge_acks_per_second: u8,
    /// Looks for black holes in the path, which swallow large segments without saying so (RFC 8899).
    pub path_mtu_probing: bool,
    /// The size of segments that pass everywhere, in bytes of data, for after a black hole was found
    /// (RFC 4821 section 7.2).
    pub mss_base: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffers_bytes_max: 64 << 20,
            receive_initial_bytes: 64 << 10,
            receive_bytes_max: 6 << 20,
            send_initial_bytes: 64 << 10,
            send_bytes_max: 4 << 20,
            out_of_order_ranges_max: 4_096,
            congestion_control: Algorithm::Cubic,
            initial_window_segments: 10,
            pacing: true,
            nagle: false,
            header_prediction: true,
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: false,
            delayed_ack: Duration::from_millis(40),
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            open_timeout: Duration::from_secs(180),
            user_timeout: Duration::from_secs(300),
            keep_alive_idle: Duration::ENDLESS,
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            fin_wait_2_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            challenge_acks_per_second: 10,
            path_mtu_probing: true,
            mss_base: 1_024,
        }
    }
}

impl Config {
    /// The shift that our windows need (RFC 7323 section 2.2), if they are scaled at all.
    pub fn window_scale(&self) -> Option<u8> {
        let needs = |shift: &u8| u32::from(u16::MAX) << shift >= self.receive_bytes_max;
        self.window_scaling.then(|| (0..WINDOW_SCALE_MAX).find(needs).unwrap_or(WINDOW_SCALE_MAX))
    }

    /// The options of a SYN (RFC 7323 section 1.3, RFC 2018 section 2): all that we can do, or of those
    /// only what a peer's SYN `offers`.
    pub fn syn_options(&self, mss: u16, clock: u32, offers: Option<&Options>) -> Options {
        let both = |ours: bool, theirs: fn(&Options) -> bool| ours && offers.is_none_or(theirs);
        let echo = offers.and_then(|options| options.timestamps).map_or(0, |theirs| theirs.value);
        Options {
            mss: Some(mss),
            window_scale: self
                .window_scale()
                .filter(|_| offers.is_none_or(|theirs| theirs.window_scale.is_some())),
            sack_permitted: both(self.sack, |theirs| theirs.sack_permitted),
            timestamps: both(self.timestamps, |theirs| theirs.timestamps.is_some())
                .then_some(Timestamps { value: clock, echo }),
            ..Options::NONE
        }
    }

    /// The receive window that a connection has before anything was received; RFC 9293 section 3.8.6.2.2
    /// together with what peers do: one of less than two segments makes them send halves.
    pub fn first_window(&self, mss: u16) -> u32 {
        self.receive_initial_bytes
            .max(2 * u32::from(mss))
            .min(self.receive_bytes_max.max(2 * u32::from(mss)))
    }
}

const WINDOW_SCALE_MAX: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7323_2_2_the_shift_is_the_smallest_that_does() {
        for (bytes, shift) in [(65_535, 0), (65_536, 1), (6 << 20, 7), (1 << 30, 14)] {
            let config = Config { receive_bytes_max: bytes, ..Config::default() };
            assert_eq!(config.window_scale(), Some(shift));
        }
    }

    #[test]
    fn a_syn_ack_has_what_both_can_do() {
        let config = Config::default();
        let offers = Options { sack_permitted: true, ..Options::NONE };
        let answer = config.syn_options(1_460, 5, Some(&offers));
        assert_eq!(answer, Options { mss: Some(1_460), ..offers });
        let all = config.syn_options(1_460, 5, None);
        assert_eq!(all.timestamps, Some(Timestamps { value: 5, echo: 0 }));
        assert_eq!(config.syn_options(1_460, 5, Some(&all)).window_scale, Some(7));
    }

    #[test]
    fn the_first_window_holds_two_segments_and_no_more_than_the_largest() {
        for (initial, max, mss, window) in [
            (65_536, 6 << 20, 1_460, 65_536),
            (1_000, 6 << 20, 1_460, 2_920),
            (65_536, 10_000, 1_460, 10_000),
            (65_536, 10_000, 9_000, 18_000),
        ] {
            let config = Config {
                receive_initial_bytes: initial,
                receive_bytes_max: max,
                ..Config::default()
            };
            assert_eq!(config.first_window(mss), window);
        }
        let config = Config { window_scaling: false, ..Config::default() };
        assert_eq!(config.window_scale(), None);
        let config = Config { receive_bytes_max: u32::MAX, ..Config::default() };
        assert_eq!(config.window_scale(), Some(14));
    }

    #[test]
    fn what_is_off_is_neither_offered_nor_agreed_to() {
        let all = Config::default().syn_options(1_460, 5, None);
        assert!(all.sack_permitted && all.window_scale.is_some() && all.timestamps.is_some());
        let none =
            Config { timestamps: false, sack: false, window_scaling: false, ..Config::default() };
        for offers in [None, Some(&all)] {
            let options = none.syn_options(1_460, 5, offers);
            assert_eq!(options, Options { mss: Some(1_460), ..Options::NONE });
        }
        let answer = Config::default().syn_options(1_000, 9, Some(&all));
        assert_eq!(answer.timestamps, Some(Timestamps { value: 9, echo: 5 }));
        assert!(answer.sack_permitted && answer.window_scale == Some(7));
        let answer = Config::default().syn_options(1_000, 9, Some(&Options::NONE));
        assert_eq!(answer, Options { mss: Some(1_000), ..Options::NONE });
    }
}
