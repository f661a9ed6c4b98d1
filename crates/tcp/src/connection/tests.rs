//! What a connection does at the edges of its windows, limits and times.

mod congestion;
mod ends;
mod expected;
mod path;
mod receiving;
mod sending;
mod times;
mod writing;

use super::*;
use crate::config::{Config, Shared};
use crate::options::{Options, SackBlock, Timestamps};
use crate::receive_buffer::Payload;
use crate::segment::{Flags, Segment};
use crate::time::Duration;
use std::vec::Vec;

/// What fifty thousand idle connections are made of. It holds nothing else then.
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 496, "{}", size_of::<Connection>());
}

/// SND.NXT and RCV.NXT of a connection that has just been established.
const OURS: SeqNumber = SeqNumber(1_000);
const THEIRS: SeqNumber = SeqNumber(0xffff_fff0);
const START: Instant = Instant::from_micros(1_000_000_000);

/// SEQ, flags and length of a segment.
type Head = (u32, Flags, u32);

/// A connection, and the time.
struct Rig {
    connection: Connection,
    shared: Shared,
    now: Instant,
}

/// Nothing but what RFC 9293 asks for.
fn plain() -> Config {
    Config {
        timestamps: false,
        sack: false,
        window_scaling: false,
        path_mtu_probing: false,
        pacing: false,
        ..Config::default()
    }
}

fn open() -> Open {
    Open { initial: OURS - 1, mss: 1_000, path_mss: None, timestamp_offset: 0 }
}

impl Rig {
    /// Established, with a window of 10,000 bytes for the peer, and of 8,000 for us.
    fn new(config: Config) -> Self {
        let mut shared = Shared::new(config);
        let offered = shared.config.syn_options(1_000, 500, None);
        let handshake = Handshake {
            peer_initial: THEIRS - 1,
            answered: offered,
            offered,
            window: 8_000,
            advertised: 10_000,
            ecn: false,
            round_trip: None,
        };
        let connection = Connection::from_handshake(&mut shared, START, &open(), &handshake);
        Self { connection, shared, now: START }
    }

    fn active(config: Config) -> Self {
        let mut shared = Shared::new(config);
        let connection = Connection::connect(&mut shared, START, &open());
        Self { connection, shared, now: START }
    }

    fn passive(config: Config) -> Self {
        let mut shared = Shared::new(config);
        let mut syn = Segment::new(THEIRS - 1, SeqNumber(0), Flags::SYN);
        (syn.window, syn.options.mss) = (8_000, Some(1_000));
        let connection = Connection::accept(&mut shared, START, &open(), &syn);
        Self { connection, shared, now: START }
    }

    /// A segment arrives, with so many bytes of data.
    fn arrives(&mut self, segment: &Segment, len: usize) {
        let data = std::vec![7; len];
        let (shared, payload) = (&mut self.shared, Payload::Slice(&data));
        self.connection.handle_segment(shared, self.now, segment, payload);
    }

    /// What leaves.
    fn sent(&mut self) -> Vec<Transmit> {
        let (connection, shared, now) = (&mut self.connection, &mut self.shared, self.now);
        core::iter::from_fn(|| connection.poll_transmit(shared, now, 1_000)).collect()
    }

    /// What leaves, at a glance.
    fn heads(&mut self) -> Vec<Head> {
        self.sent().iter().map(|it| (it.segment.seq.0, it.segment.flags, it.len)).collect()
    }

    fn write(&mut self, len: usize) {
        assert_eq!(self.connection.write(&mut self.shared, &std::vec![9; len]), len);
    }

    /// Time passes until something is due: when that is, in milliseconds since the start, and what leaves then.
    fn wait(&mut self) -> (u64, Vec<Head>) {
        self.now = self.connection.next_deadline();
        assert_ne!(self.now, Instant::NEVER, "a timer runs");
        self.connection.handle_timeout(&mut self.shared, self.now);
        (self.now.since(START).micros() / 1_000, self.heads())
    }
}

/// With an acknowledgement of all that was sent at first, and a window of 8,000 bytes.
fn segment(offset: i32, flags: Flags) -> Segment {
    let mut segment = Segment::new(THEIRS + offset as u32, OURS, flags | Flags::ACK);
    segment.window = 8_000;
    segment
}

const ACK: Head = (1_000, Flags::ACK, 0);

#[test]
fn rfc_9293_3_4_segments_are_acceptable_that_reach_into_the_window() {
    let mut rig = Rig::new(plain());
    rig.connection.receive.advertised = THEIRS + 1_000;
    let rows = [
        (-1, 0, false),
        (0, 0, true),
        (999, 0, true),
        (1_000, 0, false),
        (-10, 5, false),
        (-10, 10, false),
        (-10, 11, true),
        (0, 1, true),
        (999, 1, true),
        (999, 5_000, true),
        (1_000, 1, false),
        (1_000, 5_000, false),
        (-5, 1_005, true),
        (-5, 1_006, true),
        (-5_000, 5_000, false),
        (-5_000, 20_000, true),
    ];
    for (offset, len, is_acceptable) in rows {
        let found = rig.connection.is_acceptable(&segment(offset, Flags::ACK), len);
        assert_eq!(found, is_acceptable, "{offset} +{len}");
    }
    for (offset, len, is_acceptable) in [(-1, 0, false), (-1, 1, true), (999, 0, true)] {
        let found = rig.connection.is_acceptable(&segment(offset, Flags::FIN), len);
        assert_eq!(found, is_acceptable, "FIN at {offset} +{len}");
    }
    rig.connection.receive.advertised = THEIRS;
    for (offset, len, is_acceptable) in
        [(0, 0, true), (1, 0, false), (-1, 0, false), (0, 1, true), (1, 1, false), (-1, 2, false)]
    {
        let found = rig.connection.is_acceptable(&segment(offset, Flags::ACK), len);
        assert_eq!(found, is_acceptable, "{offset} +{len}, window closed");
    }
}

#[test]
fn rfc_5961_3_2_resets_at_the_edges_of_the_window() {
    for (offset, is_closed, challenges, unacceptable) in [
        (-1, false, 0, 1),
        (0, true, 0, 0),
        (1, false, 1, 0),
        (9_999, false, 1, 0),
        (10_000, false, 0, 1),
    ] {
        let mut rig = Rig::new(plain());
        rig.arrives(&segment(offset, Flags::RST), 0);
        assert_eq!(rig.connection.state() == State::Closed, is_closed, "{offset}");
        assert_eq!(rig.heads(), [ACK].repeat(challenges), "{offset}");
        let counters = rig.shared.counters;
        assert_eq!(
            (counters.resets_received, counters.challenge_acks, counters.segments_unacceptable),
            (u64::from(is_closed), challenges as u64, unacceptable),
            "{offset}"
        );
    }
}

#[test]
fn rfc_9293_3_10_7_4_why_a_reset_ends_a_connection_depends_on_the_state() {
    for (state, written, reason) in [
        (State::SynReceived, 0, CloseReason::Refused),
        (State::Established, 0, CloseReason::Reset),
        (State::FinWait1, 0, CloseReason::Reset),
        (State::FinWait2, 0, CloseReason::Reset),
        (State::CloseWait, 0, CloseReason::Reset),
        (State::Closing, 0, CloseReason::Finished),
        (State::LastAck, 0, CloseReason::Finished),
        (State::Closing, 9, CloseReason::Reset),
        (State::LastAck, 9, CloseReason::Reset),
    ] {
        let mut rig = Rig::new(plain());
        rig.write(written);
        rig.connection.state = state;
        rig.arrives(&segment(0, Flags::RST), 0);
        let end = core::iter::from_fn(|| rig.connection.poll_event()).last();
        assert_eq!(end, Some(Event::Closed(reason)), "{state}");
        assert_eq!((rig.connection.close_reason(), rig.heads()), (reason, Vec::new()), "{state}");
        assert_eq!(
            (rig.connection.next_deadline(), rig.shared.memory.held_bytes()),
            (Instant::NEVER, 0)
        );
    }
}

#[test]
fn rfc_5961_5_2_acknowledgements_count_from_the_largest_window_back_to_the_last_octet_sent() {
    for (ack, is_acceptable) in [
        (OURS - 8_001, false),
        (OURS - 8_000, true),
        (OURS - 1, true),
        (OURS, true),
        (OURS + 3_000, true),
        (OURS + 3_001, false),
        (OURS + (1 << 31), false),
    ] {
        for header_prediction in [false, true] {
            let mut rig = Rig::new(Config { header_prediction, ..plain() });
            rig.write(3_000);
            assert_eq!(rig.sent().len(), 3);
            rig.arrives(&Segment { ack, ..segment(0, Flags::NONE) }, 10);
            assert_eq!(
                rig.connection.received_len(),
                if is_acceptable { 10 } else { 0 },
                "{ack:?}"
            );
            let counters = rig.shared.counters;
            let refused = u64::from(!is_acceptable);
            assert_eq!(counters.segments_unacceptable, refused, "{ack:?}");
            assert_eq!(counters.challenge_acks, refused, "{ack:?}");
            let left = if ack == OURS + 3_000 { 0 } else { 3_000 };
            assert_eq!(rig.connection.unacknowledged_len(), left, "{ack:?}");
        }
    }
}

#[test]
fn rfc_9293_3_10_7_4_only_the_acknowledgement_of_our_syn_completes_a_passive_open() {
    for (ack, is_established) in
        [(OURS - 2, false), (OURS - 1, false), (OURS, true), (OURS + 1, false)]
    {
        let mut rig = Rig::passive(plain());
        assert_eq!(rig.heads(), [(999, Flags::SYN | Flags::ACK, 0)]);
        rig.arrives(&Segment { ack, ..segment(0, Flags::NONE) }, 0);
        let state = rig.connection.state();
        if is_established {
            assert_eq!((state, rig.heads()), (State::Established, Vec::new()));
        } else {
            assert_eq!(
                (state, rig.heads()),
                (State::SynReceived, [(ack.0, Flags::RST, 0)].to_vec())
            );
        }
    }
    // The peer's SYN again, a SYN-ACK of something else, and one that is a reset as well.
    for (flags, ack, answer) in [
        (Flags::SYN, 0, Some((999, Flags::SYN | Flags::ACK, 0))),
        (Flags::SYN | Flags::ACK, 77, Some(ACK)),
        (Flags::SYN | Flags::RST, 0, None),
        (Flags::SYN | Flags::RST | Flags::ACK, 1_000, None),
    ] {
        let mut rig = Rig::passive(plain());
        rig.sent();
        rig.arrives(&Segment::new(THEIRS - 1, SeqNumber(ack), flags), 0);
        assert_eq!(rig.heads(), Vec::from_iter(answer), "{flags:?}");
        assert_eq!(rig.connection.state(), State::SynReceived, "{flags:?}");
    }
}

#[test]
fn rfc_9293_3_10_7_3_syn_sent_believes_only_who_knows_our_number() {
    let rst = |ack: SeqNumber| Some((ack.0, Flags::RST, 0));
    let (syn_ack, reset) = (Flags::SYN | Flags::ACK, Flags::RST | Flags::ACK);
    for (flags, ack, state, answer) in [
        (syn_ack, OURS - 1, State::SynSent, rst(OURS - 1)),
        (syn_ack, OURS, State::Established, Some(ACK)),
        (syn_ack, OURS + 1, State::SynSent, rst(OURS + 1)),
        (Flags::ACK, OURS - 1, State::SynSent, rst(OURS - 1)),
        (Flags::ACK, OURS, State::SynSent, None),
        (reset, OURS - 1, State::SynSent, None),
        (reset, OURS, State::Closed, None),
        (reset, OURS + 1, State::SynSent, None),
        (Flags::RST, OURS, State::SynSent, None),
        (Flags::FIN, OURS, State::SynSent, None),
        (Flags::SYN, OURS, State::SynReceived, Some((999, syn_ack, 0))),
    ] {
        let mut rig = Rig::active(plain());
        assert_eq!(rig.heads(), [(999, Flags::SYN, 0)]);
        rig.arrives(&Segment::new(THEIRS - 1, ack, flags), 0);
        assert_eq!(rig.connection.state(), state, "{flags:?} {ack:?}");
        assert_eq!(rig.heads(), Vec::from_iter(answer), "{flags:?} {ack:?}");
        assert_eq!(rig.shared.counters.resets_received, u64::from(state == State::Closed));
    }
    // Before the SYN has left, nobody can have an answer to it.
    let mut rig = Rig::active(plain());
    rig.arrives(&Segment::new(THEIRS - 1, OURS, syn_ack), 0);
    assert_eq!(rig.connection.state(), State::SynSent);
    assert_eq!(rig.heads(), [(1_000, Flags::RST, 0), (999, Flags::SYN, 0)]);
}

#[test]
fn rfc_5961_7_challenges_are_counted_by_the_second() {
    let mut rig = Rig::new(Config { challenge_acks_per_second: 3, ..plain() });
    for (micros, answered, suppressed) in
        [(0, 3, 2), (999_999, 3, 7), (1_000_000, 6, 9), (5_500_000, 9, 11)]
    {
        rig.now = START + Duration::from_micros(micros);
        for _ in 0..5 {
            rig.arrives(&segment(-1, Flags::SYN), 0);
            rig.sent();
        }
        let counters = rig.shared.counters;
        assert_eq!(
            (counters.challenge_acks, counters.challenge_acks_suppressed),
            (answered, suppressed)
        );
        assert_eq!(counters.segments_sent, answered);
    }
}

fn stamped(offset: i32, value: u32) -> Segment {
    let timestamps = Some(Timestamps { value, echo: 0 });
    Segment { options: Options { timestamps, ..Options::NONE }, ..segment(offset, Flags::NONE) }
}

#[test]
fn rfc_7323_5_3_what_is_older_by_its_timestamp_is_answered_and_dropped() {
    let days_24 = Duration::from_secs(24 * 24 * 3_600);
    let almost = days_24.minus(Duration::from_secs(1));
    for (value, later, is_old) in [
        (499, Duration::ZERO, true),
        (500, Duration::ZERO, false),
        (501, Duration::ZERO, false),
        (500 + (1 << 31) - 1, Duration::ZERO, false),
        (500 + (1 << 31), Duration::ZERO, true),
        (499, almost, true),
        (499, days_24, false),
    ] {
        for header_prediction in [false, true] {
            let mut rig = Rig::new(Config { timestamps: true, header_prediction, ..plain() });
            rig.now = START + later;
            rig.arrives(&stamped(0, value), 1_000);
            let (sent, counters) = (rig.sent(), rig.shared.counters);
            assert_eq!(counters.segments_old_by_timestamp, u64::from(is_old), "{value}");
            assert_eq!(rig.connection.received_len(), if is_old { 0 } else { 1_000 }, "{value}");
            let echo = sent[0].segment.options.timestamps.unwrap().echo;
            assert_eq!((sent.len(), echo), (1, if is_old { 500 } else { value }), "{value}");
            // What follows is compared with what counts now.
            let recent = if is_old { 500 } else { value };
            let len = rig.connection.received_len();
            rig.arrives(&stamped(len as i32, recent.wrapping_sub(1)), 10);
            assert_eq!(rig.connection.received_len(), len, "{value}");
        }
    }
}

#[test]
fn rfc_7323_4_3_the_echo_is_of_what_the_next_acknowledgement_is_for() {
    // Ahead of a gap it does not count, nor at RCV.NXT of what was not acknowledged yet.
    for (offset, echo) in [(0, 600), (1, 500), (2_000, 500)] {
        let mut rig = Rig::new(Config { timestamps: true, ..plain() });
        rig.arrives(&stamped(offset, 600), 1_000);
        assert_eq!(rig.sent()[0].segment.options.timestamps.unwrap().echo, echo, "{offset}");
    }
    let mut rig = Rig::new(Config { timestamps: true, ..plain() });
    rig.connection.pending.quick_acks = 0;
    rig.arrives(&stamped(0, 600), 500);
    rig.arrives(&stamped(500, 700), 500);
    rig.arrives(&stamped(1_000, 800), 500);
    rig.arrives(&stamped(1_500, 900), 500);
    assert_eq!(rig.sent()[0].segment.options.timestamps.unwrap().echo, 600);
    // Without timestamps agreed upon they are nothing; with them, a segment without is dropped.
    let mut rig = Rig::new(plain());
    rig.arrives(&stamped(0, 600), 1_000);
    assert_eq!(rig.connection.received_len(), 1_000);
    assert_eq!(rig.sent()[0].segment.options.timestamps, None);
    let mut rig = Rig::new(Config { timestamps: true, ..plain() });
    rig.arrives(&segment(0, Flags::NONE), 1_000);
    assert_eq!((rig.connection.received_len(), rig.sent().len()), (0, 0));
}

#[test]
fn what_is_outside_of_the_window_is_answered_and_an_empty_segment_as_a_challenge_only() {
    for (offset, flags, len, is_answered, duplicate) in [
        (-1, Flags::NONE, 0, false, 0),
        (10_000, Flags::NONE, 0, false, 0),
        (-1, Flags::FIN, 0, true, 0),
        (-10, Flags::NONE, 10, true, 10),
        (-20, Flags::NONE, 10, true, 10),
        (10_000, Flags::NONE, 10, true, 0),
    ] {
        let mut rig = Rig::new(Config { sack: true, challenge_acks_per_second: 0, ..plain() });
        rig.connection.send.window_max = 1 << 30;
        rig.arrives(&segment(offset, flags), len);
        let sent = rig.sent();
        let start = THEIRS + offset as u32;
        assert_eq!(sent.len(), usize::from(is_answered), "{offset} +{len}");
        let block = SackBlock { start, end: start + duplicate };
        let blocks = if duplicate > 0 { &[block][..] } else { &[] };
        for transmit in sent {
            assert_eq!(transmit.segment.options.sack.as_slice(), blocks, "{offset} +{len}");
        }
        let counters = rig.shared.counters;
        assert_eq!(counters.bytes_duplicate, u64::from(duplicate), "{offset} +{len}");
        assert_eq!(counters.segments_unacceptable, 1, "{offset} +{len}");
        assert_eq!(counters.challenge_acks_suppressed, u64::from(!is_answered), "{offset} +{len}");
        assert_eq!(rig.connection.heard_at(), START, "{offset} +{len}");
    }
}

#[test]
fn data_is_cut_to_the_window_at_both_ends() {
    for (offset, len, taken, ahead, duplicate, acknowledged) in [
        (-5, 10, 5, 0, 5, 5),
        (0, 9_999, 9_999, 0, 0, 9_999),
        (0, 10_001, 10_000, 0, 0, 10_000),
        (-7, 20_000, 10_000, 0, 7, 10_000),
        (9_990, 100, 0, 10, 0, 0),
        (1, 5, 0, 5, 0, 0),
    ] {
        let mut rig = Rig::new(Config { sack: true, ..plain() });
        rig.arrives(&segment(offset, Flags::NONE), len);
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.receive_queue, info.out_of_order), (taken, ahead), "{offset} +{len}");
        assert_eq!(rig.shared.counters.bytes_duplicate, duplicate, "{offset} +{len}");
        assert_eq!(rig.shared.counters.bytes_out_of_order, u64::from(ahead), "{offset} +{len}");
        let held = rig.shared.memory.held_bytes();
        assert_eq!((rig.connection.held_bytes(), held > 0), (held, true));
        let sent = rig.sent();
        if let Some(transmit) = sent.first() {
            assert_eq!(transmit.segment.ack, THEIRS + acknowledged, "{offset} +{len}");
            let blocks = transmit.segment.options.sack.as_slice().len();
            assert_eq!(blocks, usize::from(duplicate > 0 || ahead > 0), "{offset} +{len}");
        }
        rig.connection.release(&mut rig.shared);
        assert_eq!((rig.shared.memory.held_bytes(), rig.connection.held_bytes()), (0, 0));
    }
}

#[test]
fn rfc_7323_2_2_only_the_windows_of_syns_are_not_scaled() {
    // A passive open, and one that has a SYN queue: 8,000 units of 128 bytes.
    let config = Config { window_scaling: true, ..plain() };
    let mut shared = Shared::new(config.clone());
    let mut syn = Segment::new(THEIRS - 1, SeqNumber(0), Flags::SYN);
    (syn.window, syn.options) = (9_000, config.syn_options(1_000, 0, None));
    let connection = Connection::accept(&mut shared, START, &open(), &syn);
    let mut rig = Rig { connection, shared, now: START };
    let sent = rig.sent();
    assert_eq!((sent[0].segment.window, sent[0].segment.options.window_scale), (65_535, Some(7)));
    assert_eq!(rig.connection.info(&config).send_window, 9_000);
    rig.arrives(&segment(0, Flags::NONE), 0);
    for rig in [rig, Rig::new(config)] {
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.state, info.send_window), (State::Established, 1_024_000));
        assert_eq!((info.send_window_shift, info.receive_window_shift), (7, 7));
    }
}
