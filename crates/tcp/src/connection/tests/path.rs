//! What routers say of the path, as far as they are believed.

use super::*;

#[test]
fn rfc_5927_7_2_a_router_is_believed_that_quotes_what_is_in_flight() {
    for (mss, seq, found) in [
        (700, Some(999), 1_000),
        (700, Some(1_000), 700),
        (700, Some(2_999), 700),
        (700, Some(3_000), 1_000),
        (700, None, 700),
        (1_000, Some(1_000), 1_000),
        (999, Some(1_000), 999),
        (1_500, None, 1_000),
        // No path is believed to take less than 256 bytes with headers.
        (216, Some(1_000), 216),
        (215, Some(1_000), 216),
        (0, None, 216),
    ] {
        let mut rig = Rig::new(plain());
        rig.write(2_000);
        assert_eq!(rig.sent().len(), 2);
        rig.connection.handle_path_mss(rig.now, mss, seq);
        assert_eq!(rig.connection.mss(), found, "{mss} {seq:?}");
        // What was too large is sent again at once, in pieces that fit.
        let lens: Vec<_> = rig.sent().iter().map(|it| it.len.min(it.mss)).collect();
        assert!(lens.iter().all(|len| *len <= u32::from(found)), "{lens:?}");
        assert_eq!(lens.is_empty(), found == 1_000, "{mss} {seq:?}");
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.in_flight + info.lost, info.is_recovering), (2_000, false));
    }
    // Nothing in flight: nobody can quote anything.
    let mut rig = Rig::new(plain());
    rig.connection.handle_path_mss(rig.now, 700, Some(1_000));
    assert_eq!(rig.connection.mss(), 1_000);
}

#[test]
fn rfc_9293_3_7_1_the_segment_size_is_the_least_of_link_path_and_peer() {
    for (offered, path, mss) in [
        (Some(1_000), None, 1_000),
        (Some(999), None, 999),
        (Some(60_000), None, 1_000),
        (None, None, 536),
        (Some(0), None, 88),
        (Some(87), None, 88),
        (Some(89), None, 89),
        (Some(1_000), Some(700), 700),
        (Some(600), Some(700), 600),
        (Some(1_000), Some(1_200), 1_000),
        (Some(1_000), Some(9), 216),
    ] {
        let mut shared = Shared::new(plain());
        let mut syn = Segment::new(THEIRS - 1, SeqNumber(0), Flags::SYN);
        (syn.window, syn.options.mss) = (60_000, offered);
        let open = Open { path_mss: path, ..open() };
        let connection = Connection::accept(&mut shared, START, &open, &syn);
        let mut rig = Rig { connection, shared, now: START };
        assert_eq!(rig.connection.mss(), mss, "{offered:?} {path:?}");
        // What we take is said whatever the path.
        assert_eq!(rig.sent()[0].segment.options.mss, Some(1_000));
        rig.arrives(&segment(0, Flags::NONE), 0);
        rig.write(3_000);
        assert_eq!(rig.sent()[0].mss, mss.into(), "{offered:?} {path:?}");
    }
}

#[test]
fn rfc_7323_appendix_a_options_take_their_bytes_from_the_segment() {
    let mut rig = Rig::new(Config { timestamps: true, sack: true, ..plain() });
    rig.write(3_000);
    assert_eq!(rig.heads()[0].2, 988);
    // A gap: 12 bytes more for the block.
    let mut rig = Rig::new(Config { timestamps: true, sack: true, ..plain() });
    rig.arrives(&stamped(10, 500), 10);
    rig.write(3_000);
    let first = rig.sent()[0];
    assert_eq!((first.len, first.segment.options.emitted_len()), (976, 24));
}

#[test]
fn a_handshake_of_others_agrees_to_what_both_said() {
    let config = Config { path_mtu_probing: false, ..Config::default() };
    let all = config.syn_options(1_000, 500, None);
    let none = Options { mss: Some(1_000), ..Options::NONE };
    for (answered, offered, agreed) in
        [(all, all, true), (all, none, false), (none, all, false), (none, none, false)]
    {
        let mut shared = Shared::new(config.clone());
        let handshake = Handshake {
            peer_initial: THEIRS - 1,
            answered,
            offered,
            window: 8_000,
            advertised: 3_000,
            ecn: false,
            round_trip: Some(Duration::from_millis(30)),
        };
        let connection = Connection::from_handshake(&mut shared, START, &open(), &handshake);
        let mut rig = Rig { connection, shared, now: START };
        let info = rig.connection.info(&config);
        let shift = if agreed { 7 } else { 0 };
        assert_eq!((info.send_window_shift, info.receive_window_shift), (shift, shift));
        assert_eq!((info.send_window, info.receive_window), (8_000 << shift, 3_000));
        let round_trip = Some(Duration::from_millis(30));
        assert_eq!((info.round_trip, info.state), (round_trip, State::Established));
        rig.arrives(&stamped(10, 500), 10);
        let options = rig.sent()[0].segment.options;
        assert_eq!((options.timestamps.is_some(), !options.sack.is_empty()), (agreed, agreed));
        assert!(rig.connection.next_deadline() == Instant::NEVER);
    }
    // What the settings do not want is not agreed to, whoever said so.
    let offered = all;
    let mut rig = Rig::new(plain());
    let handshake = Handshake {
        peer_initial: THEIRS - 1,
        answered: all,
        offered,
        window: 8_000,
        advertised: 3_000,
        ecn: false,
        round_trip: None,
    };
    rig.connection = Connection::from_handshake(&mut rig.shared, START, &open(), &handshake);
    rig.arrives(&stamped(10, 500), 10);
    assert_eq!(rig.sent()[0].segment.options, Options::NONE);
    assert_eq!(rig.connection.info(&rig.shared.config).send_window_shift, 0);
}

/// The path is known to take 600 bytes, and peer and link 1,000; the time has come to try more.
fn searching() -> Rig {
    let mut rig = Rig::new(plain());
    rig.connection.handle_path_mss(START, 600, None);
    rig.now = START + Duration::from_secs(600);
    rig.connection.send.window = 60_000;
    rig
}

#[test]
fn rfc_8899_5_2_a_larger_segment_is_tried_when_enough_follows_it() {
    for (change, written, is_tried) in [
        // The probe of 1,000 and three segments behind it.
        ((|_| {}) as fn(&mut Rig), 2_800, true),
        (|_| {}, 2_799, false),
        (|rig| rig.now = rig.now - Duration::from_micros(1), 2_800, false),
        (|rig| rig.connection.send.window = 2_800, 2_800, true),
        (|rig| rig.connection.send.window = 2_799, 2_800, false),
        (|rig| rig.connection.congestion.window.size = 1_000, 2_800, true),
        (|rig| rig.connection.congestion.window.size = 999, 2_800, false),
    ] {
        let mut rig = searching();
        change(&mut rig);
        rig.write(written);
        let first = rig.sent()[0];
        assert_eq!(first.len == 1_000 && first.mss == 1_000, is_tried, "{written}");
        // Only one is on its way.
        assert!(rig.sent().iter().all(|it| it.mss == 600));
        assert_eq!(rig.connection.mss(), 600);
    }
}

#[test]
fn rfc_8899_5_2_what_passes_is_used_and_what_does_not_is_halved() {
    // It passed: there is nothing more to look for.
    let mut rig = searching();
    rig.write(2_800);
    rig.sent();
    for (acknowledged, mss) in [(999, 600), (1_000, 1_000)] {
        rig.arrives(&Segment { ack: OURS + acknowledged, ..segment(0, Flags::NONE) }, 0);
        assert_eq!(rig.connection.mss(), mss);
    }
    assert_eq!(rig.connection.take_events().0 & Events::PATH_MSS, Events::PATH_MSS);
    // A router says what passes: a probe of less than that is next, and halfway from then on.
    let mut rig = searching();
    rig.write(30_000);
    let sent: u32 = rig.sent().iter().map(|it| it.len).sum();
    rig.connection.handle_path_mss(rig.now, 800, Some(1_001));
    rig.connection.handle_path_mss(rig.now, 1_000, Some(1_000));
    assert_eq!(rig.connection.search.as_ref().unwrap().too_large(), 1_001);
    rig.connection.handle_path_mss(rig.now, 800, Some(1_000));
    assert_eq!(rig.connection.search.as_ref().unwrap().too_large(), 801);
    assert_eq!((rig.connection.mss(), sent > 3_000), (600, true));
}

#[test]
fn rfc_8899_4_3_a_black_hole_is_suspected_where_smaller_segments_would_be_other_ones() {
    for (path_mtu_probing, mss_base, mss, written, smaller) in [
        // To the base; with the timestamps that it may have, 588 bytes would be the same segment.
        (true, 600, 1_000, 1_000, 600),
        (true, 600, 1_000, 589, 600),
        (true, 600, 1_000, 588, 1_000),
        (false, 600, 1_000, 1_000, 1_000),
        (true, 999, 1_000, 1_000, 999),
        // From the base on to the half, and no further than what every path takes.
        (true, 1_000, 1_000, 1_000, 500),
        (true, 1_000, 1_000, 489, 500),
        (true, 1_000, 1_000, 488, 1_000),
        (true, 1_000, 434, 400, 217),
        (true, 1_000, 430, 400, 216),
        (true, 1_000, 217, 217, 216),
        (true, 1_000, 216, 216, 216),
    ] {
        let mut rig = Rig::new(Config { path_mtu_probing, mss_base, ..plain() });
        rig.connection.handle_path_mss(rig.now, mss, None);
        rig.write(written);
        assert_eq!(rig.sent().len(), 1);
        for found in [mss, mss, smaller] {
            rig.wait();
            assert_eq!(rig.connection.mss(), found, "{mss_base} {mss} {written}");
        }
        let counters = rig.shared.counters;
        assert_eq!(counters.retransmission_timeouts, 3);
        assert_eq!(counters.black_holes, u64::from(smaller < mss), "{mss_base} {mss} {written}");
        // Nobody is told: perhaps the link is gone for a while.
        assert!(!rig.connection.take_events().has(Events::PATH_MSS));
    }
}
