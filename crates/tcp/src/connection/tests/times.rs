//! When what is sent again, asked for and given up: at both sides of each time.

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What leaves, and when in milliseconds.
type Turn = (u64, Vec<Head>);

/// What leaves until the connection ends or nothing is due.
fn course(rig: &mut Rig) -> Vec<Turn> {
    let mut course = Vec::new();
    while rig.connection.next_deadline() != Instant::NEVER && course.len() < 40 {
        course.push(rig.wait());
    }
    course
}

fn millis(course: &[Turn]) -> Vec<u64> {
    course.iter().map(|(at, _)| *at).collect()
}

#[test]
fn rfc_6298_5_5_a_segment_goes_again_after_doubled_times_until_the_user_timeout() {
    let config = Config { user_timeout: secs(30), rto_max: secs(8), ..plain() };
    let mut rig = Rig::new(config);
    rig.write(500);
    let first = (1_000, Flags::ACK | Flags::PSH, 500);
    assert_eq!(rig.heads(), [first]);
    let course = course(&mut rig);
    assert_eq!(millis(&course), [1_000, 3_000, 7_000, 15_000, 23_000, 30_000]);
    let (end, again) = course.split_last().unwrap();
    assert!(again.iter().all(|(_, sent)| *sent == [first]), "{again:?}");
    assert_eq!(end.1, [(1_500, Flags::RST | Flags::ACK, 0)]);
    assert_eq!(rig.connection.close_reason(), CloseReason::TimedOut);
    let counters = rig.shared.counters;
    assert_eq!((counters.retransmission_timeouts, counters.timed_out), (5, 1));
    assert_eq!((counters.segments_retransmitted, counters.bytes_retransmitted), (5, 2_500));
    assert_eq!((counters.segments_sent, rig.shared.memory.held_bytes()), (7, 0));
}

#[test]
fn rfc_6298_5_3_an_acknowledgement_starts_the_time_anew_for_what_is_left() {
    let mut rig = Rig::new(plain());
    rig.write(3_000);
    assert_eq!(rig.sent().len(), 3);
    rig.now = START + Duration::from_millis(400);
    rig.arrives(&Segment { ack: OURS + 1_000, ..segment(0, Flags::NONE) }, 0);
    // SRTT is 400 ms and RTTVAR 200 ms now: 1,200 ms.
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(1_600));
    rig.arrives(&Segment { ack: OURS + 3_000, ..segment(0, Flags::NONE) }, 0);
    assert_eq!(
        (rig.connection.next_deadline(), rig.connection.is_drained()),
        (Instant::NEVER, true)
    );
    // Something else that arrives does not.
    rig.write(1_000);
    rig.sent();
    let due = rig.connection.next_deadline();
    rig.now = rig.now + Duration::from_millis(100);
    rig.arrives(&Segment { ack: OURS + 3_000, window: 9_000, ..segment(0, Flags::NONE) }, 0);
    assert_eq!(rig.connection.next_deadline(), due);
}

#[test]
fn rfc_6298_5_1_what_is_sent_while_the_time_runs_does_not_start_it_anew() {
    for sack in [false, true] {
        let mut rig = Rig::new(Config { sack, ..plain() });
        rig.write(1_000);
        assert_eq!(rig.sent().len(), 1);
        for millis in [400, 999] {
            rig.now = START + Duration::from_millis(millis);
            rig.write(1_000);
            assert_eq!(rig.sent().len(), 1);
            assert_eq!(rig.connection.next_deadline(), START + secs(1), "{sack} {millis}");
        }
    }
    // Where there is a tail to be probed, that is two round trips after the last of it.
    let mut rig = measured();
    rig.write(1_000);
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(300));
    rig.now = START + Duration::from_millis(50);
    rig.write(1_000);
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(250));
}

#[test]
fn rfc_9293_3_8_3_an_open_asks_at_doubled_times_and_ends_in_silence() {
    let mut rig = Rig::active(plain());
    let syn = (999, Flags::SYN, 0);
    assert_eq!(rig.heads(), [syn]);
    let course = course(&mut rig);
    let times = [1_000, 3_000, 7_000, 15_000, 31_000, 63_000, 123_000, 180_000];
    assert_eq!(millis(&course), times);
    let (end, again) = course.split_last().unwrap();
    assert!(again.iter().all(|(_, sent)| *sent == [syn]), "{again:?}");
    assert_eq!((end.1.len(), rig.connection.close_reason()), (0, CloseReason::TimedOut));
    let counters = rig.shared.counters;
    assert_eq!((counters.segments_sent, counters.retransmission_timeouts), (8, 7));
    assert_eq!((counters.timed_out, counters.segments_retransmitted), (1, 0));
}

#[test]
fn rfc_9293_3_8_6_1_a_closed_window_is_probed_at_doubled_times() {
    let config = Config { user_timeout: secs(40), rto_max: secs(8), ..plain() };
    let mut rig = Rig::new(config);
    rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
    rig.write(100);
    assert_eq!(rig.heads(), []);
    let probe = (1_000, Flags::ACK, 1);
    assert_eq!(rig.wait(), (1_000, [probe].to_vec()));
    assert_eq!(rig.wait(), (3_000, [probe].to_vec()));
    // The peer answers: it stays, and the time until the next is not made shorter by that.
    rig.now = START + secs(5);
    rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
    assert_eq!(rig.heads(), []);
    let course = course(&mut rig);
    assert_eq!(millis(&course), [7_000, 15_000, 23_000, 31_000, 39_000, 45_000]);
    let (end, probes) = course.split_last().unwrap();
    assert!(probes.iter().all(|(_, sent)| *sent == [probe]), "{probes:?}");
    assert_eq!(end.1, [(1_001, Flags::RST | Flags::ACK, 0)]);
    let counters = rig.shared.counters;
    assert_eq!(
        (counters.window_probes, counters.timed_out, counters.retransmission_timeouts),
        (7, 1, 0)
    );
}

#[test]
fn who_has_more_to_say_does_not_delay_the_probe_of_a_window() {
    let mut rig = Rig::new(plain());
    rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
    for millis in [0, 400, 999] {
        rig.now = START + Duration::from_millis(millis);
        rig.write(100);
        assert_eq!(rig.heads(), []);
        assert_eq!(rig.connection.next_deadline(), START + secs(1), "{millis}");
    }
    assert_eq!(rig.wait(), (1_000, [(1_000, Flags::ACK, 1)].to_vec()));
}

#[test]
fn the_silence_of_a_peer_counts_from_when_there_was_something_to_say() {
    for (written, end) in
        [(0, 40_000), (1_000, 40_000), (1_001, 41_001), (30_000, 70_000), (100_000, 140_000)]
    {
        let config = Config { user_timeout: secs(40), rto_max: secs(8), ..plain() };
        let mut rig = Rig::new(config);
        rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
        rig.now = START + Duration::from_millis(written);
        rig.write(100);
        assert_eq!(rig.heads(), []);
        let times = millis(&course(&mut rig));
        assert_eq!((times[0], times[times.len() - 1]), (written + 1_000, end), "{written}");
        assert_eq!(rig.connection.close_reason(), CloseReason::TimedOut);
    }
}

#[test]
fn rfc_9293_3_8_6_2_1_what_a_small_window_lets_leaves_after_a_timeout_and_goes_again() {
    let mut rig = Rig::new(plain());
    rig.arrives(&Segment { window: 500, ..segment(0, Flags::NONE) }, 0);
    rig.write(3_000);
    assert_eq!(rig.heads(), []);
    let filled = (1_000, Flags::ACK, 500);
    assert_eq!(rig.wait(), (1_000, [filled].to_vec()));
    assert_eq!(rig.wait(), (3_000, [filled].to_vec()));
    let counters = rig.shared.counters;
    assert_eq!((counters.window_probes, counters.retransmission_timeouts), (1, 1));
    rig.arrives(&Segment { ack: OURS + 500, ..segment(0, Flags::NONE) }, 0);
    assert_eq!(rig.heads(), [(1_500, Flags::ACK, 1_000)]);
}

#[test]
fn a_window_that_opens_lets_all_that_waits_go_at_once() {
    for taken in [0, 1] {
        let mut rig = Rig::new(plain());
        rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
        rig.write(2_500);
        assert_eq!(rig.heads(), []);
        assert_eq!(rig.wait().1, [(1_000, Flags::ACK, 1)]);
        assert_eq!(rig.wait().1, [(1_000, Flags::ACK, 1)]);
        rig.arrives(&Segment { ack: OURS + taken, ..segment(0, Flags::NONE) }, 0);
        let sent: u32 = rig.heads().iter().map(|(_, _, len)| *len).sum();
        assert_eq!(sent, 2_500 - taken);
        // The time-out is that of a path that answers.
        assert!(rig.connection.next_deadline().since(rig.now) <= secs(3));
        assert_eq!(rig.connection.timeouts(), 0);
    }
}

fn keep_alive() -> Config {
    let (keep_alive_idle, keep_alive_interval) = (secs(7_200), secs(75));
    Config { keep_alive_idle, keep_alive_interval, keep_alive_probes: 3, ..plain() }
}

#[test]
fn rfc_9293_3_8_4_an_idle_peer_is_probed_and_given_up() {
    let mut rig = Rig::new(keep_alive());
    let probe = (999, Flags::ACK, 0);
    let course = course(&mut rig);
    assert_eq!(millis(&course), [7_200_000, 7_275_000, 7_350_000, 7_425_000]);
    let (end, probes) = course.split_last().unwrap();
    assert!(probes.iter().all(|(_, sent)| *sent == [probe]), "{probes:?}");
    assert_eq!(end.1, [(1_000, Flags::RST | Flags::ACK, 0)]);
    assert_eq!((rig.shared.counters.keep_alive_probes, rig.shared.counters.timed_out), (3, 1));
}

#[test]
fn rfc_9293_3_8_4_who_is_heard_of_is_not_probed() {
    let mut rig = Rig::new(keep_alive());
    rig.now = START + secs(1_000);
    rig.arrives(&segment(0, Flags::NONE), 10);
    rig.heads();
    // By now it was heard of, and the time counts from then.
    let sent: Vec<_> = core::iter::from_fn(|| {
        let (at, sent) = rig.wait();
        (at <= 8_275_000).then_some((at, sent))
    })
    .filter(|(_, sent)| sent.iter().any(|(seq, ..)| *seq == 999))
    .map(|(at, _)| at)
    .collect();
    assert_eq!(sent, [8_200_000, 8_275_000]);
    // After an answer to a probe the count begins anew.
    rig.now = START + secs(8_360);
    rig.arrives(&segment(10, Flags::NONE), 0);
    rig.heads();
    let times = millis(&course(&mut rig));
    assert_eq!(times[times.len() - 4..], [15_560_000, 15_635_000, 15_710_000, 15_785_000]);
}

#[test]
fn rfc_9293_3_8_4_who_owes_an_acknowledgement_is_not_probed() {
    let config = Config { rto_initial: secs(100), rto_max: secs(1_000), ..keep_alive() };
    let mut rig =
        Rig::new(Config { keep_alive_idle: secs(10), user_timeout: secs(10_000), ..config });
    rig.write(10);
    rig.sent();
    assert_eq!(rig.wait(), (10_000, Vec::new()));
    assert_eq!(rig.wait(), (85_000, Vec::new()));
    assert_eq!(rig.wait().0, 100_000);
    assert_eq!(rig.shared.counters.keep_alive_probes, 0);
}

#[test]
fn rfc_9293_3_6_the_ends_of_waiting() {
    // TIME-WAIT, which a FIN again prolongs.
    let mut rig = Rig::new(plain());
    rig.connection.close(&mut rig.shared);
    assert_eq!(rig.heads(), [(1_000, Flags::FIN | Flags::ACK, 0)]);
    let fin = Segment { ack: OURS + 1, ..segment(0, Flags::FIN) };
    rig.arrives(&fin, 0);
    assert_eq!(
        (rig.connection.state(), rig.heads()),
        (State::TimeWait, [(1_001, Flags::ACK, 0)].to_vec())
    );
    assert_eq!(rig.connection.next_deadline(), START + secs(60));
    rig.now = START + secs(50);
    rig.arrives(&fin, 0);
    assert_eq!(
        (rig.heads(), rig.connection.next_deadline()),
        ([(1_001, Flags::ACK, 0)].to_vec(), START + secs(110))
    );
    assert_eq!(rig.wait(), (110_000, Vec::new()));
    assert_eq!(
        (rig.connection.state(), rig.connection.close_reason()),
        (State::Closed, CloseReason::Finished)
    );
    // FIN-WAIT-2, where nobody reads: before or after it came to that.
    for stops_first in [true, false] {
        let mut rig = Rig::new(plain());
        if stops_first {
            rig.connection.stop_reading(&mut rig.shared, rig.now);
        }
        rig.connection.close(&mut rig.shared);
        rig.sent();
        rig.arrives(&Segment { ack: OURS + 1, ..segment(0, Flags::NONE) }, 0);
        assert_eq!(rig.connection.state(), State::FinWait2);
        if !stops_first {
            assert_eq!(rig.connection.next_deadline(), Instant::NEVER);
            rig.connection.stop_reading(&mut rig.shared, rig.now);
        }
        assert_eq!(rig.wait(), (60_000, [(1_001, Flags::RST | Flags::ACK, 0)].to_vec()));
        assert_eq!(rig.connection.close_reason(), CloseReason::Aborted);
    }
}

#[test]
fn rfc_9293_3_8_6_3_sixteen_segments_are_acknowledged_at_once_and_then_every_second() {
    let mut rig = Rig::new(plain());
    for index in 0..21 {
        rig.arrives(&segment(index * 1_000, Flags::NONE), 1_000);
        let is_acknowledged = index < 16 || index % 2 == 1;
        assert_eq!(rig.sent().len(), usize::from(is_acknowledged), "{index}");
        let count = rig.connection.received_len();
        rig.connection.consume(&mut rig.shared, rig.now, count);
    }
    assert_eq!(rig.wait(), (40, [ACK].to_vec()));
    assert_eq!(rig.connection.next_deadline(), Instant::NEVER);
}

/// With selective acknowledgements and a round trip of 100 ms.
fn measured() -> Rig {
    let mut rig = Rig::new(Config { sack: true, ..plain() });
    rig.connection.rtt.sample(START, Duration::from_millis(100), Duration::from_millis(100));
    rig
}

#[test]
fn rfc_8985_7_2_the_tail_is_probed_after_two_round_trips_and_a_delayed_acknowledgement() {
    // One segment alone: 200 ms and 200 ms more, which the time-out of 300 ms comes before.
    let mut rig = measured();
    rig.write(700);
    rig.sent();
    assert_eq!(rig.wait(), (300, [(1_000, Flags::ACK | Flags::PSH, 700)].to_vec()));
    assert_eq!(
        (rig.shared.counters.loss_probes, rig.shared.counters.retransmission_timeouts),
        (1, 0)
    );
    // The time-out follows, measured from the probe.
    assert_eq!(rig.wait().0, 600);
    assert_eq!(
        (rig.shared.counters.loss_probes, rig.shared.counters.retransmission_timeouts),
        (1, 1)
    );
    // Several: the last is sent again.
    let mut rig = measured();
    rig.write(2_600);
    assert_eq!(rig.sent().len(), 3);
    assert_eq!(rig.wait(), (200, [(3_000, Flags::ACK | Flags::PSH, 600)].to_vec()));
    assert_eq!(rig.shared.counters.loss_probes, 1);
    // New data goes instead.
    let mut rig = measured();
    rig.connection.congestion.window.size = 2_000;
    rig.write(2_600);
    assert_eq!(rig.sent().len(), 2);
    assert_eq!(rig.wait(), (200, [(3_000, Flags::ACK | Flags::PSH, 600)].to_vec()));
    assert_eq!(
        (rig.shared.counters.loss_probes, rig.shared.counters.segments_retransmitted),
        (1, 0)
    );
}

#[test]
fn rfc_8985_7_3_new_data_is_the_probe_and_nothing_goes_again_beside_it() {
    let mut rig = measured();
    rig.write(2_600);
    assert_eq!(rig.sent().len(), 3);
    rig.now = rig.connection.next_deadline();
    rig.connection.handle_timeout(&mut rig.shared, rig.now);
    rig.write(500);
    assert_eq!(rig.heads(), [(3_600, Flags::ACK | Flags::PSH, 500)]);
    let counters = rig.shared.counters;
    assert_eq!((counters.loss_probes, counters.segments_retransmitted), (1, 0));
}

#[test]
fn a_probe_that_is_answered_before_it_leaves_does_not_leave() {
    let mut rig = Rig::new(plain());
    rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
    rig.write(1);
    assert_eq!(rig.heads(), []);
    assert_eq!(rig.wait(), (1_000, [(1_000, Flags::ACK | Flags::PSH, 1)].to_vec()));
    rig.now = rig.connection.next_deadline();
    rig.connection.handle_timeout(&mut rig.shared, rig.now);
    rig.arrives(&Segment { ack: OURS + 1, ..segment(0, Flags::NONE) }, 0);
    assert_eq!((rig.heads(), rig.connection.is_drained()), (Vec::new(), true));
    assert_eq!(rig.connection.info(&rig.shared.config).records, 0);
}
