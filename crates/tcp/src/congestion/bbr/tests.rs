//! Tests of BBR: each part of the model at both sides of its limits.

use super::*;
use crate::scoreboard::Delivery;
use crate::sequence::SeqNumber;
use std::vec::Vec;

#[test]
fn what_comes_in_bunches_is_excess_and_is_forgotten_after_ten_rounds() {
    let mut excess = Excess::new(Instant::START);
    let (bandwidth, mut now) = (1_000_000, Instant::START);
    // Evenly: nothing but the acknowledgement itself.
    for round in 0..4 {
        now = now + Duration::from_millis(2);
        excess.update(now, round, bandwidth, 1_000, 100_000);
    }
    assert_eq!(excess.get(bandwidth), 1_000);
    // Ten at once: what is above the bandwidth of that time.
    now = now + Duration::from_millis(2);
    for _ in 0..10 {
        excess.update(now, 4, bandwidth, 1_000, 100_000);
    }
    assert_eq!(excess.get(bandwidth), 10_000);
    assert_eq!(excess.get(50_000), 5_000, "a tenth of a second at most");
    let mut left = Vec::new();
    for round in 5..20 {
        now = now + Duration::from_millis(20);
        excess.update(now, round, bandwidth, 1_000, 100_000);
        left.push(excess.get(bandwidth));
    }
    assert_eq!(left.iter().filter(|octets| **octets == 10_000).count(), 5);
    assert_eq!(left.last(), Some(&1_000));
}

#[test]
fn the_filter_forgets_what_is_old() {
    let mut filter = MaxFilter::default();
    filter.put(1, 100);
    for round in 2..11 {
        filter.put(round, 50);
        assert_eq!(filter.get(), 100);
    }
    for round in 11..14 {
        filter.put(round, 60);
    }
    assert_eq!(filter.get(), 60);
}

const START: Instant = Instant::START;

fn at(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

/// A path that is known to carry 1,000,000 bytes per second, with a round trip of 100 ms.
fn known(mode: Mode) -> Bbr {
    let mut bbr = Bbr::new(START);
    bbr.bandwidth.put(0, 1_000_000);
    (bbr.mode, bbr.min_rtt, bbr.delivered) = (mode, Duration::from_millis(100), 10_000);
    bbr
}

/// Of 1,000 octets, after that time, with so many in flight before and after.
struct Ack {
    millis: u64,
    before: u32,
    after: u32,
    delivery: Delivery,
    rtt: Rtt,
}

impl Ack {
    fn new(millis: u64, before: u32, after: u32) -> Self {
        let delivery = Delivery { acknowledged: 1_000, delivered: 1_000, ..Delivery::NONE };
        Self { millis, before, after, delivery, rtt: Rtt::UNKNOWN }
    }

    fn get(&self) -> Acknowledgement<'_> {
        Acknowledgement {
            now: at(self.millis),
            delivery: &self.delivery,
            rtt: &self.rtt,
            unacknowledged: SeqNumber(0),
            next: SeqNumber(0),
            flight_before: self.before,
            in_flight: self.after,
            is_limited: true,
            is_recovering: false,
        }
    }
}

fn window(size: u32) -> Window {
    Window { size, threshold: 1 << 30, mss: 1_000 }
}

#[test]
fn a_rate_is_what_was_delivered_in_the_longer_of_both_times() {
    let sent = |micros, delivered, first_sent_at, delivered_at, is_app_limited| Latest {
        sent_at: Instant::from_micros(micros),
        end: SeqNumber(0),
        is_retransmission: false,
        stamp: Stamp { delivered, delivered_at, first_sent_at, is_app_limited },
    };
    for (latest, min_millis, bandwidth) in [
        // 1,000 octets since: in 100 ms of arriving, or 200 ms of sending.
        (sent(10_000, 0, 0, 0, false), 1, 10_000),
        (sent(10_000, 500, 0, 0, false), 1, 5_000),
        (sent(200_000, 0, 0, 60_000, false), 1, 5_000),
        (sent(10_000, 0, 0, 60_000, false), 1, 25_000),
        // Nothing arrives faster than in a round trip.
        (sent(10_000, 0, 0, 60_000, false), 40, 25_000),
        (sent(10_000, 0, 0, 60_000, false), 41, 0),
        (sent(10_000, 0, 10_000, 100_000, false), 1, 0),
        (sent(10_000, 0, 0, 0, true), 1, 10_000),
    ] {
        let mut bbr = Bbr::new(START);
        let mut ack = Ack::new(100, 0, 0);
        let min = Duration::from_millis(min_millis);
        ack.rtt.sample(START, min, min);
        bbr.measure(&latest, &ack.get());
        assert_eq!(bbr.bandwidth(), bandwidth, "{latest:?}");
        assert_eq!((bbr.delivered, bbr.delivered_at), (1_000, at(100)));
        assert_eq!(bbr.first_sent_at, latest.sent_at);
    }
    // While the application had nothing to send, only a rate that is not less says something.
    for (before, bandwidth) in [(9_999, 10_000), (10_000, 10_000), (10_001, 10_001)] {
        let mut bbr = Bbr::new(START);
        bbr.bandwidth.put(0, before);
        bbr.measure(&sent(10_000, 0, 0, 0, true), &Ack::new(100, 0, 0).get());
        assert_eq!(bbr.bandwidth(), bandwidth, "{before}");
    }
    // A path that has become slower is believed to be that ten rounds later, but not by such a rate.
    for (round, is_app_limited, bandwidth) in
        [(9, false, 50_000), (10, false, 10_000), (10, true, 50_000)]
    {
        let mut bbr = Bbr { round, ..Bbr::new(START) };
        bbr.bandwidth.put(0, 50_000);
        bbr.measure(&sent(10_000, 0, 0, 0, is_app_limited), &Ack::new(100, 0, 0).get());
        assert_eq!(bbr.bandwidth(), bandwidth, "{round} {is_app_limited}");
    }
    // A round ends when what was sent after its beginning arrives.
    let mut bbr = Bbr::new(START);
    for (delivered, is_start, round) in
        [(0, true, 1), (999, false, 1), (1_000, true, 2), (2_999, false, 2), (3_000, true, 3)]
    {
        bbr.measure(&sent(10_000, delivered, 0, 0, false), &Ack::new(100, 0, 0).get());
        assert_eq!((bbr.is_round_start, bbr.round), (is_start, round), "{delivered}");
    }
    // What was in flight when the application had no more has arrived when more than that was delivered.
    let mut bbr = Bbr::new(START);
    bbr.on_app_limited(2_000);
    for is_limited in [true, true, false] {
        bbr.measure(&sent(10_000, 0, 0, 0, true), &Ack::new(100, 0, 0).get());
        assert_eq!(bbr.stamp(at(100), 5).is_app_limited, is_limited);
    }
}

#[test]
fn each_mode_paces_by_its_gain() {
    let (window, rtt) = (window(10_000), Rtt::UNKNOWN);
    for (mode, rate, target) in [
        // A hundredth less than 739, 88, 320, 192 and 256 in 256 parts.
        (Mode::Startup, 2_857_851, 288_671),
        (Mode::Drain, 340_313, 288_671),
        (Mode::ProbeBandwidth, 1_237_500, 200_000),
        (Mode::ProbeRtt, 990_000, 100_000),
    ] {
        let bbr = known(mode);
        assert_eq!(bbr.pacing_rate(&window, &rtt), rate, "{mode:?}");
        assert_eq!(bbr.target(bbr.window_gain()), Some(target), "{mode:?}");
    }
    let rates = [1_237_500, 742_500, 990_000, 990_000, 990_000, 990_000, 990_000, 990_000];
    for (index, rate) in rates.into_iter().enumerate() {
        let bbr = Bbr { cycle_index: index, ..known(Mode::ProbeBandwidth) };
        assert_eq!(bbr.pacing_rate(&window, &rtt), rate, "{index}");
    }
    // Before anything is known: the window in a round trip, or in a millisecond.
    let bbr = Bbr::new(START);
    assert_eq!((bbr.target(256), bbr.pacing_rate(&window, &rtt)), (None, 28_867_187));
    assert_eq!(Bbr { min_rtt: Duration::ENDLESS, ..known(Mode::Drain) }.target(256), None);
}

#[test]
fn the_pipe_is_full_when_three_rounds_do_not_bring_a_quarter_more() {
    let mut bbr = Bbr::new(START);
    for (bandwidth, is_round_start, is_app_limited, is_full) in [
        (1_000, true, false, false),
        (1_249, true, false, false),
        (1_249, false, false, false),
        (1_249, true, true, false),
        (1_249, true, false, false),
        // A quarter more: three rounds again.
        (1_250, true, false, false),
        (1_250, true, false, false),
        (1_250, true, false, false),
        (1_250, true, false, true),
        (9_999, true, false, true),
    ] {
        bbr.bandwidth = MaxFilter::default();
        bbr.bandwidth.put(0, bandwidth);
        bbr.is_round_start = is_round_start;
        bbr.check_full(is_app_limited);
        assert_eq!(bbr.is_full, is_full, "{bandwidth}");
    }
    let mut bbr = Bbr { is_round_start: true, ..Bbr::new(START) };
    for (bandwidth, is_full) in [(1_000, false), (1_240, false), (1_240, false), (1_240, true)] {
        bbr.bandwidth.put(0, bandwidth);
        bbr.check_full(false);
        assert_eq!(bbr.is_full, is_full, "{bandwidth}");
    }
}

#[test]
fn the_phases_of_a_cycle_end_by_time_and_by_what_is_in_flight() {
    for (index, millis, before, lost, is_over) in [
        (0, 100, 125_000, 0, false),
        (0, 101, 124_999, 0, false),
        (0, 101, 125_000, 0, true),
        (0, 101, 9, 1, true),
        (0, 100, 9, 1, false),
        (1, 50, 100_001, 0, false),
        (1, 50, 100_000, 0, true),
        (1, 101, 100_001, 0, true),
        (2, 100, 9, 0, false),
        (2, 101, 500_000, 0, true),
    ] {
        let mut bbr = Bbr { cycle_index: index, ..known(Mode::ProbeBandwidth) };
        let mut ack = Ack::new(millis, before, before);
        ack.delivery.lost = lost;
        bbr.change_mode(&ack.get());
        let next = if is_over { (index + 1, at(millis)) } else { (index, START) };
        assert_eq!((bbr.cycle_index, bbr.cycle_at), next, "{index} {millis} {before}");
    }
    let mut bbr = Bbr { cycle_index: 7, ..known(Mode::ProbeBandwidth) };
    bbr.change_mode(&Ack::new(101, 0, 0).get());
    assert_eq!(bbr.cycle_index, 0);
    // From the start by way of draining, until no more is in flight than the path holds.
    for (is_full, in_flight, mode) in [
        (false, 9, Mode::Startup),
        (true, 100_001, Mode::Drain),
        (true, 100_000, Mode::ProbeBandwidth),
    ] {
        let mut bbr = Bbr { is_full, ..known(Mode::Startup) };
        bbr.change_mode(&Ack::new(1, 0, in_flight).get());
        assert_eq!(bbr.mode, mode, "{in_flight}");
    }
    // Not where it drains; the time is as good as chance.
    let indices: Vec<_> = (0..8)
        .map(|sevens| {
            let mut bbr = known(Mode::Drain);
            bbr.probe_bandwidth(Instant::from_micros(sevens * 7 + 3));
            bbr.cycle_index
        })
        .collect();
    assert_eq!(indices, [0, 2, 3, 4, 5, 6, 7, 0]);
}

#[test]
fn after_ten_seconds_the_queue_is_drained_to_see_how_long_the_path_is() {
    let sample = |millis: u64, after, rtt: Option<u64>| {
        let mut ack = Ack::new(millis, after, after);
        let time = |millis| (Duration::from_millis(millis * 2), Duration::from_millis(millis));
        ack.delivery.rtt = rtt.map(time);
        ack
    };
    for (millis, rtt, min_rtt, mode) in [
        (5, Some(101), 100, Mode::ProbeBandwidth),
        (5, Some(99), 99, Mode::ProbeBandwidth),
        (10_000, Some(120), 100, Mode::ProbeBandwidth),
        (10_001, Some(120), 120, Mode::ProbeRtt),
        (10_001, None, 100, Mode::ProbeRtt),
    ] {
        let mut bbr = known(Mode::ProbeBandwidth);
        let ack = sample(millis, 50_000, rtt);
        bbr.update_min_rtt(&mut window(60_000), &ack.get());
        assert_eq!((bbr.min_rtt.micros() / 1_000, bbr.mode), (min_rtt, mode), "{millis} {rtt:?}");
    }
    let mut bbr = Bbr { is_idle_restart: true, ..known(Mode::ProbeBandwidth) };
    bbr.update_min_rtt(&mut window(60_000), &sample(10_001, 50_000, None).get());
    assert_eq!((bbr.mode, bbr.is_idle_restart), (Mode::ProbeBandwidth, false));
    for (is_full, after) in [(true, Mode::ProbeBandwidth), (false, Mode::Startup)] {
        let (mut bbr, mut window) =
            (Bbr { is_full, ..known(Mode::ProbeBandwidth) }, window(60_000));
        for (millis, in_flight, size, mode) in [
            (10_001, 60_000, 4_000, Mode::ProbeRtt),
            (10_100, 4_001, 4_000, Mode::ProbeRtt),
            (10_200, 4_000, 4_000, Mode::ProbeRtt),
            (10_399, 4_000, 4_000, Mode::ProbeRtt),
            (10_400, 4_000, 61_000, after),
        ] {
            let ack = sample(millis, in_flight, None);
            bbr.update_min_rtt(&mut window, &ack.get());
            bbr.set_window(&mut window, &ack.get());
            assert_eq!((window.size, bbr.mode), (size, mode), "{millis}");
        }
    }
}

#[test]
fn the_window_follows_the_target_and_what_arrives_while_losses_are_repaired() {
    for (mode, is_full, size, lost, wanted) in [
        (Mode::Startup, false, 50_000, 0, 51_000),
        (Mode::Startup, false, 294_670, 0, 295_670),
        // 2 / ln 2 of 100,000, and room for three times two segments.
        (Mode::Startup, false, 294_671, 0, 294_671),
        (Mode::ProbeBandwidth, true, 205_500, 0, 206_000),
        (Mode::ProbeBandwidth, true, 204_999, 0, 205_999),
        (Mode::ProbeBandwidth, true, 300_000, 0, 206_000),
        (Mode::ProbeBandwidth, true, 50_000, 20_000, 31_000),
        (Mode::ProbeBandwidth, true, 50_000, 60_000, 4_000),
        (Mode::ProbeRtt, true, 50_000, 0, 4_000),
    ] {
        let (mut bbr, mut window) = (Bbr { is_full, ..known(mode) }, window(size));
        let mut ack = Ack::new(1, 9_000, 8_000);
        ack.delivery.lost = lost;
        bbr.set_window(&mut window, &ack.get());
        assert_eq!(window.size, wanted, "{mode:?} {size} {lost}");
    }
    // Nothing is known, or little was delivered: it grows.
    for mut bbr in [Bbr::new(START), Bbr { delivered: 9_999, ..known(Mode::Startup) }] {
        let mut window = window(500_000);
        bbr.set_window(&mut window, &Ack::new(1, 9_000, 8_000).get());
        assert_eq!(window.size, 501_000);
    }
    // A loss: what is in flight and arrives, until half of the window was delivered; then the target again.
    let mut bbr = Bbr { is_full: true, ..known(Mode::ProbeBandwidth) };
    let mut window = window(60_000);
    bbr.on_congestion(&mut window, at(1));
    assert_eq!((bbr.prior_window, bbr.conserves_until), (60_000, Some(40_000)));
    for (delivered, in_flight, size) in [
        (11_000, 20_000, 21_000),
        (12_000, 15_000, 21_000),
        (40_000, 22_000, 23_000),
        (40_001, 22_000, 24_000),
    ] {
        bbr.delivered = delivered;
        bbr.set_window(&mut window, &Ack::new(1, 0, in_flight).get());
        assert_eq!(window.size, size, "{delivered}");
    }
    // Another loss of the same flight does not begin anew; its end puts back what was.
    bbr.on_congestion(&mut window, at(2));
    assert_eq!((bbr.prior_window, bbr.begins_to_conserve), (60_000, false));
    bbr.on_recovered(&mut window);
    assert_eq!((window.size, bbr.is_recovering, bbr.conserves_until), (60_000, false, None));
    (bbr.full_bandwidth, bbr.full_rounds) = (9, 2);
    bbr.on_timeout(&mut window, at(3));
    assert_eq!((bbr.conserves_until, bbr.begins_to_conserve), (None, false));
    assert_eq!((bbr.full_bandwidth, bbr.full_rounds, bbr.is_recovering), (0, 0, true));
    (bbr.full_bandwidth, bbr.full_rounds) = (9, 2);
    bbr.on_undo();
    assert_eq!((bbr.full_bandwidth, bbr.full_rounds), (0, 0));
}

#[test]
fn what_begins_a_flight_is_stamped_with_now() {
    let mut bbr = known(Mode::Startup);
    (bbr.delivered_at, bbr.first_sent_at) = (at(3), at(4));
    for (in_flight, delivered_at, first_sent_at) in [(1, 3_000, 4_000), (0, 9_000, 9_000)] {
        let stamp = bbr.stamp(at(9), in_flight);
        assert_eq!((stamp.delivered_at, stamp.first_sent_at), (delivered_at, first_sent_at));
        assert_eq!(
            (stamp.delivered, stamp.is_app_limited, bbr.is_idle_restart),
            (10_000, false, false)
        );
    }
    bbr.on_app_limited(0);
    assert_eq!(bbr.app_limited_until, Some(10_001));
    assert!(bbr.stamp(at(9), 0).is_app_limited && bbr.is_idle_restart);
}
