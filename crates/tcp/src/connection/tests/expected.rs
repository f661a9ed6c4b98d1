//! Which segments go the short way: those that are expected, while nothing is amiss.

use super::*;
use crate::segment::Ecn;

/// With two segments in flight.
fn busy(timestamps: bool) -> Rig {
    let mut rig = Rig::new(Config { timestamps, sack: true, ..plain() });
    rig.connection.receive.advertised = THEIRS + 1_000;
    rig.connection.send.window = 50_000;
    rig.connection.congestion.window.size = 50_000;
    rig.write(2_000);
    assert!(rig.sent().len() >= 2);
    rig.connection.receive.advertised = THEIRS + 1_000;
    rig
}

fn is_predicted(rig: &mut Rig, segment: &Segment, len: usize) -> bool {
    let before = rig.shared.counters.segments_predicted;
    rig.arrives(segment, len);
    rig.shared.counters.segments_predicted > before
}

#[test]
fn what_is_expected_is_next_in_sequence_or_acknowledges_what_was_sent() {
    type Change = fn(&mut Segment);
    let rows: [(Change, usize, bool); 18] = [
        (|_| {}, 10, true),
        (|_| {}, 1_000, true),
        (|_| {}, 1_001, false),
        (|_| {}, 0, false),
        (|it| it.ack = OURS + 1, 0, true),
        (|it| it.ack = OURS + 2_000, 10, true),
        (|it| it.ack = OURS + 2_001, 10, false),
        (|it| it.ack = OURS - 1, 10, false),
        (|it| it.seq = THEIRS + 1, 10, false),
        (|it| it.seq = THEIRS - 1, 10, false),
        (|it| it.flags = Flags::ACK | Flags::PSH, 10, true),
        (|it| it.flags = Flags::ACK | Flags::URG, 10, false),
        (|it| it.flags = Flags::ACK | Flags::FIN, 10, false),
        (|it| it.flags = Flags::PSH, 10, false),
        (|it| it.window = 0, 10, false),
        (|it| it.ecn = Ecn::Congestion, 10, false),
        (|it| it.ecn = Ecn::Capable0, 10, true),
        (|it| it.options.sack.push(OURS + 1_000, OURS + 2_000), 10, false),
    ];
    for (index, (change, len, is_expected)) in rows.into_iter().enumerate() {
        let mut rig = busy(false);
        let mut segment = segment(0, Flags::NONE);
        change(&mut segment);
        assert_eq!(is_predicted(&mut rig, &segment, len), is_expected, "row {index}");
    }
    for (value, is_expected) in
        [(None, false), (Some(500), true), (Some(499), false), (Some(501), true)]
    {
        let mut rig = busy(true);
        let mut segment = stamped(0, value.unwrap_or(0));
        segment.options.timestamps = segment.options.timestamps.filter(|_| value.is_some());
        assert_eq!(is_predicted(&mut rig, &segment, 10), is_expected, "{value:?}");
        // Where they were not agreed upon, a segment with them is not what is expected.
        assert!(!is_predicted(&mut busy(false), &stamped(0, value.unwrap_or(0)), 10));
    }
    let mut rig = busy(false);
    rig.shared.config.header_prediction = false;
    assert!(!is_predicted(&mut rig, &segment(0, Flags::NONE), 10));
}

#[test]
fn nothing_is_expected_while_something_is_amiss() {
    type Change = fn(&mut Rig);
    let rows: [(Change, bool); 9] = [
        (|_| {}, true),
        (|rig| rig.connection.state = State::CloseWait, false),
        (|rig| rig.connection.recovery.duplicates = 1, false),
        (|rig| assert_eq!(rig.connection.scoreboard.lose_front(1_000), 1_000), false),
        (|rig| rig.connection.receive.fin = Some(THEIRS + 900), false),
        (|rig| rig.connection.features.stopped_reading = true, false),
        (|rig| rig.arrives(&segment(500, Flags::NONE), 10), false),
        (
            |rig| {
                let mut segment = segment(0, Flags::NONE);
                segment.options.sack.push(OURS + 1_000, OURS + 2_000);
                rig.arrives(&segment, 0);
            },
            false,
        ),
        (
            |rig| {
                rig.now = rig.connection.next_deadline();
                rig.connection.handle_timeout(&mut rig.shared, rig.now);
                rig.sent();
                rig.connection.receive.advertised = THEIRS + 1_000;
            },
            false,
        ),
    ];
    for (index, (change, is_expected)) in rows.into_iter().enumerate() {
        let mut rig = busy(false);
        change(&mut rig);
        assert_eq!(
            is_predicted(&mut rig, &segment(0, Flags::NONE), 10),
            is_expected,
            "row {index}"
        );
    }
    // The same is heard of what was sent, whichever way it goes.
    for header_prediction in [false, true] {
        let mut rig = busy(false);
        rig.shared.config.header_prediction = header_prediction;
        rig.now = START + Duration::from_millis(70);
        for ack in [1_000, 2_000] {
            rig.arrives(&Segment { ack: OURS + ack, ..segment(0, Flags::NONE) }, 0);
        }
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!(info.round_trip, Some(Duration::from_millis(70)));
        assert_eq!((info.in_flight, info.send_queue, info.send_window), (0, 0, 8_000));
        assert_eq!((rig.connection.progress_at(), rig.connection.heard_at()), (rig.now, rig.now));
        assert_eq!(rig.connection.next_deadline(), Instant::NEVER);
        let events: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
        assert!(events.contains(&Event::Drained));
    }
}

#[test]
fn what_has_no_memory_is_counted_and_told_at_once() {
    for header_prediction in [false, true] {
        let mut rig = busy(false);
        rig.shared.config.header_prediction = header_prediction;
        let left = rig.shared.memory.available(crate::memory::Purpose::First) - 2_048;
        assert!(rig.shared.memory.hold(left, crate::memory::Purpose::First));
        rig.connection.receive.advertised = THEIRS + 9_000;
        rig.connection.pending.quick_acks = 0;
        for (len, taken) in [(3_000, 2_048), (100, 0)] {
            let at = rig.connection.received_len() as i32;
            let before = rig.connection.received_len();
            rig.arrives(&segment(at, Flags::NONE), len);
            assert_eq!(rig.connection.received_len() - before, taken);
            assert_eq!(rig.sent()[0].segment.ack, THEIRS + 2_048);
            rig.connection.receive.advertised = THEIRS + 9_000;
            let is_readable = core::iter::from_fn(|| rig.connection.poll_event())
                .any(|event| event == Event::Readable);
            assert_eq!(is_readable, taken > 0);
        }
        assert_eq!(rig.shared.counters.bytes_without_memory, 952 + 100);
    }
}
