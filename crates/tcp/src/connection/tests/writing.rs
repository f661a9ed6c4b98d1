//! How much may be written, and when a writer is told of room.

use super::*;
use bytes::Bytes;

#[test]
fn the_buffer_is_twice_the_congestion_window_between_its_limits() {
    for (window, limit) in [(10_000, 30_000), (15_000, 30_000), (20_000, 40_000), (90_000, 50_000)]
    {
        for shares in [false, true] {
            let mut rig =
                Rig::new(Config { send_initial_bytes: 30_000, send_bytes_max: 50_000, ..plain() });
            rig.connection.congestion.window.size = window;
            let mut bytes = Bytes::from(std::vec![1; 80_000]);
            let written = if shares {
                rig.connection.share(&mut rig.shared, &mut bytes)
            } else {
                rig.connection.write(&mut rig.shared, &bytes)
            };
            assert_eq!((written, rig.connection.unacknowledged_len()), (limit, limit), "{window}");
            assert_eq!(bytes.len(), if shares { 80_000 - limit } else { 80_000 });
            assert!(rig.connection.room(&mut rig.shared).is_empty());
            rig.connection.release(&mut rig.shared);
            assert_eq!(rig.shared.memory.held_bytes(), 0);
        }
    }
}

#[test]
fn no_more_is_lent_than_there_is_memory_for() {
    let mut rig = Rig::new(Config { buffers_bytes_max: 8_000, ..plain() });
    let mut bytes = Bytes::from(std::vec![1; 10_000]);
    assert_eq!(rig.connection.share(&mut rig.shared, &mut bytes), 6_000);
    assert_eq!((bytes.len(), rig.shared.memory.held_bytes()), (4_000, 6_000));
    assert_eq!(rig.connection.share(&mut rig.shared, &mut bytes), 0);
    assert_eq!(rig.connection.write(&mut rig.shared, &bytes), 0);
    rig.sent();
    rig.arrives(&Segment { ack: OURS + 6_000, ..segment(0, Flags::NONE) }, 0);
    assert_eq!((rig.shared.memory.held_bytes(), rig.connection.held_bytes()), (0, 0));
    let events: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
    assert_eq!(events, [Event::Writable, Event::Drained]);
    // Room in which nothing is put goes back.
    assert_eq!(rig.connection.room(&mut rig.shared).len(), 2_048);
    assert_eq!(rig.shared.memory.held_bytes(), 2_048);
    rig.connection.filled(&mut rig.shared, 0);
    assert_eq!(rig.shared.memory.held_bytes(), 0);
}

#[test]
fn a_writer_is_told_when_a_third_is_free_or_a_sixteenth_where_all_has_left() {
    for (congestion, acknowledged, is_told) in [
        (10_000, 9_999, false),
        (10_000, 10_000, true),
        (60_000, 1_874, false),
        (60_000, 1_875, true),
    ] {
        let limits = Config { send_initial_bytes: 30_000, send_bytes_max: 30_000, ..plain() };
        let mut rig = Rig::new(limits);
        rig.connection.send.window = 60_000;
        rig.connection.congestion.window.size = congestion;
        assert_eq!(rig.connection.write(&mut rig.shared, &[1; 40_000]), 30_000);
        rig.sent();
        core::iter::from_fn(|| rig.connection.poll_event()).for_each(drop);
        let ack = OURS + acknowledged;
        rig.arrives(&Segment { ack, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        let found = rig.connection.take_events();
        assert_eq!(found.has(Events::WRITABLE), is_told, "{congestion} {acknowledged}");
        // Once: who is told and does not write is not told again.
        rig.sent();
        let ack = ack + 1_000;
        rig.arrives(&Segment { ack, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        assert_eq!(rig.connection.take_events().has(Events::WRITABLE), !is_told);
    }
}

#[test]
fn events_are_told_once_in_their_order() {
    let mut rig = Rig::new(plain());
    for bit in 0..8 {
        rig.connection.events.add(1 << bit);
    }
    rig.connection.reason = CloseReason::Refused;
    let told: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
    let wanted = [
        Event::Connected,
        Event::Readable,
        Event::PeerFinished,
        Event::Writable,
        Event::Drained,
        Event::PathMss,
        Event::TimeWait,
        Event::Closed(CloseReason::Refused),
    ];
    assert_eq!(told, wanted);
    // What happens twice before it is told is told once.
    rig.connection.events.add(Events::READABLE);
    rig.connection.events.add(Events::READABLE);
    rig.connection.events.add(Events::DRAINED);
    let told = rig.connection.take_events();
    assert!(told.has(Events::READABLE) && told.has(Events::DRAINED | Events::CLOSED));
    assert!(!told.has(Events::WRITABLE | Events::CLOSED));
    assert_eq!(rig.connection.take_events(), Events::default());
}

#[test]
fn who_filled_the_first_window_before_it_was_open_is_not_told_of_room() {
    let wanted = |is_told| {
        let told = [Some(Event::Connected), Some(Event::Writable).filter(|_| is_told)];
        told.into_iter().flatten().collect::<Vec<_>>()
    };
    // The initial window is ten segments (RFC 6928).
    for (written, is_told) in [(0, true), (1, true), (9_999, true), (10_000, false)] {
        let mut rig = Rig::active(plain());
        rig.sent();
        rig.write(written);
        let mut answer = segment(-1, Flags::SYN);
        answer.options.mss = Some(1_000);
        rig.arrives(&answer, 0);
        let told: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
        assert_eq!(told, wanted(is_told), "{written}");
        let mut rig = Rig::passive(plain());
        rig.sent();
        rig.write(written);
        rig.arrives(&segment(0, Flags::NONE), 0);
        let told: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
        assert_eq!(told, wanted(is_told), "{written}");
    }
}
