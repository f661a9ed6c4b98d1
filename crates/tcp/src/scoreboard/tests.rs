//! Tests of the scoreboard: what is on record after each thing that is heard.

use super::*;
use std::vec::Vec;

const START: Instant = Instant::START;

fn millis(count: u64) -> Instant {
    START + Duration::from_millis(count)
}

/// Ten segments of 10, sent a millisecond after each other.
fn ten() -> Scoreboard {
    let mut board = Scoreboard::new(SeqNumber(0));
    for index in 0..10 {
        board.sent(SeqNumber(index * 10), 10, millis(u64::from(index)), Stamp::default());
    }
    board
}

fn sack(board: &mut Scoreboard, start: u32, end: u32) -> Delivery {
    let mut delivery = Delivery::NONE;
    let block = SackBlock { start: SeqNumber(start), end: SeqNumber(end) };
    board.sack(block, millis(20), &mut delivery);
    board.check();
    delivery
}

#[test]
fn cumulative_acknowledgements_cut_records() {
    let mut board = ten();
    let mut delivery = Delivery::NONE;
    board.acknowledge(SeqNumber(25), millis(20), &mut delivery);
    board.check();
    assert_eq!((delivery.acknowledged, delivery.delivered, board.in_flight()), (25, 25, 75));
    let (longest, shortest) = delivery.rtt.unwrap();
    assert_eq!((longest.micros(), shortest.micros()), (20_000, 18_000));
    assert_eq!(board.front().unwrap().start, SeqNumber(25));
}

#[test]
fn rfc_2018_blocks_are_counted_once() {
    let mut board = ten();
    assert_eq!(sack(&mut board, 35, 52).delivered, 17);
    assert_eq!(sack(&mut board, 30, 60).delivered, 13);
    assert_eq!(sack(&mut board, 30, 60).delivered, 0);
    assert_eq!((board.sacked(), board.in_flight(), board.records()), (30, 70, 8));
    let mut delivery = Delivery::NONE;
    board.acknowledge(SeqNumber(100), millis(20), &mut delivery);
    assert_eq!((delivery.acknowledged, delivery.delivered), (100, 70));
    assert!(board.is_empty());
}

#[test]
fn rfc_8985_6_2_what_was_sent_earlier_is_lost_after_the_window() {
    let mut board = ten();
    let delivery = sack(&mut board, 20, 30);
    let latest = delivery.latest.unwrap();
    let latest = (latest.sent_at, latest.end);
    let window = Duration::from_millis(1);
    let mut delivery = Delivery::NONE;
    let round_trip = Duration::from_millis(18);
    let wait = board.detect_lost(latest, round_trip, window, millis(20), &mut delivery);
    board.check();
    // The first was sent at 0 and lost at 19, the second is at 20.
    assert_eq!((delivery.lost, wait), (20, None));
    assert_eq!(board.next_lost(7), Some((SeqNumber(0), 7)));
    board.resent(SeqNumber(0), 7, millis(21), Stamp::default());
    board.check();
    assert_eq!(board.next_lost(70), Some((SeqNumber(7), 3)));
    board.undo_lost();
    board.check();
    assert_eq!((board.next_lost(7), board.lost()), (None, 0));
}

#[test]
fn rfc_8985_6_2_reordering_is_seen_when_an_original_fills_a_gap() {
    let mut board = ten();
    assert!(!sack(&mut board, 20, 30).is_reordered);
    assert!(sack(&mut board, 10, 20).is_reordered);
    board.lose_front(10);
    board.resent(SeqNumber(0), 10, millis(30), Stamp::default());
    let mut delivery = Delivery::NONE;
    board.acknowledge(SeqNumber(10), millis(40), &mut delivery);
    assert!(!delivery.is_reordered && delivery.rtt.is_none());
}

#[test]
fn rfc_2018_8_a_peer_may_go_back_on_its_word() {
    let mut board = ten();
    sack(&mut board, 0, 100);
    assert!(board.is_reneged());
    board.forget_sacked();
    board.check();
    assert_eq!((board.sacked(), board.in_flight()), (0, 100));
    assert_eq!(board.lose_all(), 100);
    board.check();
}

/// Where each record begins, its length, status, and how often it was sent again.
fn shape(board: &Scoreboard) -> Vec<(u32, u32, char, u8)> {
    board.check();
    let status = |record: &Record| match record.status {
        Status::InFlight => '.',
        Status::Sacked => 'S',
        Status::Lost => 'L',
    };
    let shape = |it: &Record| (it.start.0, it.len, status(it), it.retransmissions);
    board.records.iter().map(shape).collect()
}

fn acknowledge(board: &mut Scoreboard, to: u32) -> Delivery {
    let mut delivery = Delivery::NONE;
    board.acknowledge(SeqNumber(to), millis(20), &mut delivery);
    board.check();
    delivery
}

#[test]
fn rfc_8985_6_2_5_what_is_lost_and_how_long_the_rest_may_take() {
    let (round_trip, window) = (Duration::from_millis(18), Duration::from_millis(1));
    for (now, lost, wait) in [
        (18, 0, Some(5)),
        (19, 10, Some(4)),
        (21, 30, Some(2)),
        (22, 40, Some(1)),
        (23, 50, None),
        (90, 50, None),
    ] {
        // The sixth has arrived, which was sent at 5 ms: the first five are due 19 ms after each was sent.
        let mut board = ten();
        sack(&mut board, 50, 60);
        let latest = (millis(5), SeqNumber(60));
        let mut delivery = Delivery::NONE;
        let rest = board.detect_lost(latest, round_trip, window, millis(now), &mut delivery);
        assert_eq!((delivery.lost, rest), (lost, wait.map(Duration::from_millis)), "{now}");
        assert_eq!((board.lost(), board.in_flight()), (lost, 90 - lost), "{now}");
        let first = (lost > 0).then_some((SeqNumber(0), 10));
        assert_eq!(board.next_lost(70), first, "{now}");
        // What is lost is not lost twice.
        let mut again = Delivery::NONE;
        board.detect_lost(latest, round_trip, window, millis(now), &mut again);
        assert_eq!(again.lost, 0, "{now}");
        board.check();
    }
    // Sent at the same time: by their place.
    let mut board = Scoreboard::new(SeqNumber(0));
    for index in 0..4 {
        board.sent(SeqNumber(index * 10), 10, START, Stamp::default());
    }
    let mut delivery = Delivery::NONE;
    let latest = (START, SeqNumber(30));
    board.detect_lost(latest, round_trip, window, millis(50), &mut delivery);
    assert_eq!(shape(&board)[..3], [(0, 10, 'L', 0), (10, 10, 'L', 0), (20, 10, '.', 0)]);
    // One that was sent again since does not hide those behind it, and what was selectively acknowledged is not lost.
    let mut board = ten();
    board.resent(SeqNumber(0), 10, millis(8), Stamp::default());
    sack(&mut board, 20, 30);
    let mut delivery = Delivery::NONE;
    let latest = (millis(3), SeqNumber(40));
    board.detect_lost(latest, round_trip, window, millis(50), &mut delivery);
    let wanted = [(0, 10, '.', 1), (10, 10, 'L', 0), (20, 10, 'S', 0), (30, 10, '.', 0)];
    assert_eq!((&shape(&board)[..4], delivery.lost), (&wanted[..], 10));
}

#[test]
fn what_a_timer_believes_lost_is_what_was_sent_before_and_the_first() {
    for (time, lost) in [(3, 40), (0, 10), (9, 100)] {
        let mut board = ten();
        assert_eq!(board.lose_sent_before(millis(time)), lost, "{time}");
        assert_eq!((board.lost(), board.in_flight()), (lost, 100 - lost), "{time}");
        assert_eq!(board.next_lost(99), Some((SeqNumber(0), 10)));
        board.check();
    }
    let mut board = ten();
    board.resent(SeqNumber(0), 10, millis(15), Stamp::default());
    assert_eq!(board.lose_sent_before(millis(2)), 30);
    assert_eq!(
        shape(&board)[..4],
        [(0, 10, 'L', 1), (10, 10, 'L', 0), (20, 10, 'L', 0), (30, 10, '.', 0)]
    );
    // The first octets only, and those once.
    let mut board = ten();
    assert_eq!((board.lose_front(4), board.lose_front(4)), (4, 0));
    assert_eq!(shape(&board)[..3], [(0, 4, 'L', 0), (4, 6, '.', 0), (10, 10, '.', 0)]);
    let mut board = ten();
    sack(&mut board, 0, 10);
    assert_eq!((board.lose_front(4), board.lose_front(400)), (0, 0));
    assert_eq!(Scoreboard::new(SeqNumber(0)).lose_front(4), 0);
    let mut board = ten();
    sack(&mut board, 40, 60);
    assert_eq!(
        (board.lose_all(), board.lose_all(), board.lost(), board.in_flight()),
        (80, 0, 80, 0)
    );
}

#[test]
fn an_acknowledgement_counts_what_it_finds_by_what_is_known_of_it() {
    // Of 35 octets ten were told of before, ten are lost, and fifteen were on their way.
    let mut board = ten();
    sack(&mut board, 20, 30);
    board.lose_front(10);
    assert!(!board.is_plain());
    let delivery = acknowledge(&mut board, 35);
    assert_eq!((delivery.acknowledged, delivery.delivered), (35, 25));
    assert_eq!((board.in_flight(), board.sacked(), board.lost()), (65, 0, 0));
    assert_eq!(shape(&board)[..2], [(35, 5, '.', 0), (40, 10, '.', 0)]);
    assert!(board.is_plain() && !board.is_empty());
    // The last transmission that arrived, and the latest original, are those of 30.
    let latest = delivery.latest.unwrap();
    assert_eq!(
        (latest.sent_at, latest.end, latest.is_retransmission),
        (millis(3), SeqNumber(35), false)
    );
    assert_eq!(delivery.original_sent_at, Some(millis(3)));
    // Karn: where something was sent again, there is no sample; but it is known what arrived last.
    let mut board = ten();
    board.lose_front(10);
    board.resent(SeqNumber(0), 10, millis(12), Stamp::default());
    let delivery = acknowledge(&mut board, 20);
    assert_eq!((delivery.rtt, delivery.original_sent_at, delivery.delivered), (None, None, 20));
    let latest = delivery.latest.unwrap();
    assert_eq!(
        (latest.sent_at, latest.end, latest.is_retransmission),
        (millis(12), SeqNumber(10), true)
    );
    let delivery = acknowledge(&mut board, 30);
    let times = (Duration::from_millis(18), Duration::from_millis(18));
    assert_eq!((delivery.rtt, delivery.acknowledged), (Some(times), 10));
    assert_eq!(acknowledge(&mut board, 30).acknowledged, 0);
}

#[test]
fn what_is_sent_first_is_acknowledged_the_short_way_only_if_it_is_as_it_was_sent() {
    for (prepare, to, is_short) in [
        ((|_| {}) as fn(&mut Scoreboard), 10, true),
        (|_| {}, 9, false),
        (|_| {}, 20, false),
        (|board| board.resent(SeqNumber(0), 10, millis(11), Stamp::default()), 10, false),
        (|board| assert_eq!(board.lose_front(10), 10), 10, false),
        (|board| assert_eq!(sack(board, 0, 10).delivered, 10), 10, false),
    ] {
        let mut board = ten();
        prepare(&mut board);
        let before = shape(&board);
        let record = board.acknowledge_first(SeqNumber(to));
        assert_eq!(record.is_some(), is_short, "{before:?} {to}");
        if let Some(record) = record {
            assert_eq!((board.in_flight(), shape(&board).len()), (90, 9));
            let delivery = record.arrived(Duration::from_millis(7));
            let times = (Duration::from_millis(7), Duration::from_millis(7));
            assert_eq!(
                (delivery.acknowledged, delivery.delivered, delivery.rtt),
                (10, 10, Some(times))
            );
            assert_eq!(delivery.latest.unwrap().end, SeqNumber(10));
        } else {
            assert_eq!(shape(&board), before);
        }
    }
}

#[test]
fn rfc_2018_3_blocks_cut_records_and_those_that_touch_are_joined() {
    let mut board = ten();
    sack(&mut board, 35, 45);
    let wanted = [(30, 5, '.', 0), (35, 10, 'S', 0), (45, 5, '.', 0)];
    assert_eq!(shape(&board)[3..6], wanted);
    sack(&mut board, 30, 35);
    sack(&mut board, 45, 47);
    assert_eq!(shape(&board)[2..5], [(20, 10, '.', 0), (30, 17, 'S', 0), (47, 3, '.', 0)]);
    // Inside of what is known nothing changes; at the ends of what was sent a block is cut.
    let before = shape(&board);
    assert_eq!(sack(&mut board, 32, 40).delivered, 0);
    assert_eq!(shape(&board), before);
    assert_eq!(sack(&mut board, 95, 500).delivered, 5);
    let mut board = ten();
    acknowledge(&mut board, 15);
    assert_eq!(sack(&mut board, 0, 20).delivered, 5);
    assert_eq!(shape(&board)[0], (15, 5, 'S', 0));
    assert!(board.is_reneged());
    // What was lost has arrived after all.
    let mut board = ten();
    board.lose_all();
    assert_eq!(sack(&mut board, 10, 25).delivered, 15);
    assert_eq!((board.lost(), board.sacked(), board.in_flight()), (85, 15, 0));
    assert_eq!(board.next_lost(99), Some((SeqNumber(0), 10)));
    let mut block = Delivery::NONE;
    let known = SackBlock { start: SeqNumber(10), end: SeqNumber(25) };
    assert!(!board.sack(known, millis(20), &mut block));
}

#[test]
fn rfc_8985_6_2_only_an_original_below_what_had_arrived_is_reordering() {
    let mut board = ten();
    sack(&mut board, 20, 30);
    assert!(!sack(&mut board, 30, 40).is_reordered);
    assert!(!acknowledge(&mut ten(), 100).is_reordered);
    assert!(acknowledge(&mut board, 10).is_reordered);
    let mut board = ten();
    sack(&mut board, 20, 30);
    board.resent(SeqNumber(0), 20, millis(11), Stamp::default());
    assert!(!sack(&mut board, 10, 20).is_reordered && !acknowledge(&mut board, 10).is_reordered);
}

#[test]
fn what_is_sent_again_is_cut_out_and_counts_again() {
    let stamp = Stamp { delivered: 5, delivered_at: 6, first_sent_at: 7, is_app_limited: true };
    let mut board = ten();
    board.lose_all();
    sack(&mut board, 10, 20);
    board.resent(SeqNumber(5), 20, millis(11), stamp);
    let wanted =
        [(0, 5, 'L', 0), (5, 5, '.', 1), (10, 10, 'S', 0), (20, 5, '.', 1), (25, 5, 'L', 0)];
    assert_eq!(shape(&board)[..5], wanted);
    assert_eq!((board.in_flight(), board.lost(), board.sacked()), (10, 80, 10));
    let delivery = sack(&mut board, 5, 10);
    let latest = delivery.latest.unwrap();
    let found = latest.stamp;
    assert_eq!((latest.sent_at, found.delivered, found.delivered_at), (millis(11), 5, 6));
    assert_eq!((found.first_sent_at, found.is_app_limited), (7, true));
    // In flight it is sent again as well, as a probe; and the count of that ends somewhere.
    let mut board = ten();
    for _ in 0..300 {
        board.resent(SeqNumber(90), 10, millis(11), Stamp::default());
    }
    assert_eq!((shape(&board)[9], board.in_flight()), ((90, 10, '.', 255), 100));
}

#[test]
fn the_last_record_grows_whatever_is_known_of_it() {
    let mut board = ten();
    board.extend_last(3);
    assert_eq!((board.in_flight(), shape(&board)[9]), (103, (90, 13, '.', 0)));
    board.lose_all();
    board.extend_last(4);
    assert_eq!((board.lost(), shape(&board)[9]), (107, (90, 17, 'L', 0)));
    sack(&mut board, 90, 107);
    board.extend_last(1);
    assert_eq!((board.sacked(), shape(&board)[9]), (18, (90, 18, 'S', 0)));
    let last = board.back().unwrap();
    assert_eq!((last.start, last.len, board.records()), (SeqNumber(90), 18, 10));
}

#[test]
fn what_was_believed_is_taken_back() {
    let mut board = ten();
    sack(&mut board, 20, 40);
    board.lose_all();
    board.undo_lost();
    assert_eq!((board.lost(), board.in_flight(), board.sacked()), (0, 80, 20));
    assert!(!board.is_reneged() && !Scoreboard::new(SeqNumber(0)).is_reneged());
    board.forget_sacked();
    assert_eq!((board.in_flight(), board.sacked(), board.is_plain()), (100, 0, true));
    // What arrives then is nothing out of order.
    assert!(!sack(&mut board, 0, 10).is_reordered);
    // Lost is looked for from its first octet on, also when that became known later.
    let mut board = ten();
    sack(&mut board, 0, 10);
    let mut delivery = Delivery::NONE;
    let late = (millis(9), SeqNumber(100));
    board.resent(SeqNumber(10), 10, millis(30), Stamp::default());
    board.detect_lost(late, Duration::ZERO, Duration::ZERO, millis(31), &mut delivery);
    assert_eq!(board.next_lost(99), Some((SeqNumber(20), 10)));
    board.lose_all();
    assert_eq!(board.next_lost(99), Some((SeqNumber(10), 10)));
}
