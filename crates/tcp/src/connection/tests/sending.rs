//! What leaves, by the windows of both ends and by what is heard of what left before.

use super::*;

/// Ten segments in flight, a round trip of 100 ms, and selective acknowledgements.
fn ten(sack: bool) -> Rig {
    let mut rig = Rig::new(Config { sack, ..plain() });
    rig.connection.send.window = 100_000;
    rig.connection.rtt.sample(START, Duration::from_millis(100), Duration::from_millis(100));
    rig.write(10_000);
    assert_eq!(rig.sent().len(), 10);
    rig.now = START + Duration::from_millis(100);
    rig
}

/// An acknowledgement up to the octet with that number of those sent, and of what is above.
fn heard(acknowledged: u32, blocks: &[(u32, u32)]) -> Segment {
    let mut segment = segment(0, Flags::NONE);
    (segment.ack, segment.window) = (OURS + acknowledged, 50_000);
    for (start, end) in blocks {
        segment.options.sack.push(OURS + *start, OURS + *end);
    }
    segment
}

#[test]
fn rfc_2018_3_blocks_count_within_what_is_in_flight() {
    for (acknowledged, block, sacked) in [
        (0, (2_000, 3_000), 1_000),
        (0, (9_000, 10_000), 1_000),
        (0, (9_000, 10_001), 0),
        (1_000, (1_000, 2_000), 1_000),
        (1_000, (999, 2_000), 0),
        (0, (3_000, 2_000), 0),
        (0, (3_000, 3_000), 0),
        (0, (12_000, 13_000), 0),
    ] {
        let mut rig = ten(true);
        rig.arrives(&heard(acknowledged, &[block]), 0);
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!(info.sacked, sacked, "{acknowledged} {block:?}");
        assert_eq!(info.in_flight + info.lost, 10_000 - acknowledged - sacked, "{block:?}");
    }
    // A peer without the option does not tell.
    let mut rig = ten(false);
    rig.arrives(&heard(0, &[(2_000, 3_000)]), 0);
    assert_eq!(rig.connection.info(&rig.shared.config).sacked, 0);
}

#[test]
fn rfc_2883_4_what_tells_of_a_duplicate_tells_of_nothing_new() {
    for (acknowledged, blocks, sacked) in [
        // Below the acknowledgement; inside of the second; and neither.
        (2_000, &[(1_000, 2_000)][..], 0),
        (0, &[(4_000, 5_000), (3_000, 6_000)], 3_000),
        (0, &[(3_000, 6_000), (3_000, 6_000)], 3_000),
        (0, &[(2_000, 3_000), (4_000, 6_000)], 3_000),
        (0, &[(3_000, 6_001), (3_000, 6_000)], 3_001),
        (0, &[(2_999, 6_000), (3_000, 6_000)], 3_001),
    ] {
        let mut rig = ten(true);
        rig.arrives(&heard(acknowledged, blocks), 0);
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!(info.sacked, sacked, "{blocks:?}");
    }
}

#[test]
fn rfc_8985_6_2_a_duplicate_of_the_last_gigabyte_widens_the_time_for_reordering() {
    const GIGABYTE: u32 = 1 << 30;
    for (acknowledged, duplicate, millis) in [
        (0, None, 125),
        (0, Some(1u32.wrapping_neg()), 150),
        (0, Some(GIGABYTE.wrapping_neg()), 125),
        (0, Some((GIGABYTE - 1).wrapping_neg()), 150),
        // Below the acknowledgement, and inside of what is above.
        (1_000, Some(0), 150),
        (0, Some(3_000), 150),
        (0, Some(2_999), 125),
    ] {
        let mut rig = ten(true);
        let above = (3_000, 3_000 + 1_000);
        let blocks = [duplicate.map(|start| (start, start.wrapping_add(1))), Some(above)];
        let blocks: Vec<_> = blocks.into_iter().flatten().collect();
        rig.arrives(&heard(acknowledged, &blocks), 0);
        // A round trip after the transmission, and a quarter of it for each duplicate and one more.
        let found = rig.connection.next_deadline();
        assert_eq!(found, START + Duration::from_millis(millis), "{duplicate:?}");
    }
}

#[test]
fn rfc_8985_6_2_three_segments_above_a_gap_show_its_loss_and_the_window_shrinks() {
    let mut rig = ten(true);
    rig.arrives(&heard(0, &[(1_000, 3_000)]), 0);
    assert_eq!(rig.heads(), []);
    let info = rig.connection.info(&rig.shared.config);
    assert_eq!((info.sacked, info.lost, info.is_recovering), (2_000, 0, false));
    rig.arrives(&heard(0, &[(1_000, 4_000)]), 0);
    let again = (1_000, Flags::ACK, 1_000);
    assert_eq!(rig.heads(), [again]);
    let info = rig.connection.info(&rig.shared.config);
    assert_eq!((info.sacked, info.lost, info.is_recovering, info.resent), (3_000, 0, true, 1));
    // CUBIC: seven tenths.
    assert_eq!((info.in_flight, info.slow_start_threshold), (7_000, Some(7_000)));
    let counters = rig.shared.counters;
    assert_eq!((counters.recoveries, counters.retransmission_timeouts, counters.undone), (1, 0, 0));
    // All of it has arrived: the window is what it was made.
    rig.now = START + Duration::from_millis(200);
    rig.arrives(&heard(10_000, &[]), 0);
    let info = rig.connection.info(&rig.shared.config);
    assert_eq!((info.is_recovering, info.congestion_window, info.in_flight), (false, 7_000, 0));
    assert_eq!(rig.connection.next_deadline(), Instant::NEVER);
}

#[test]
fn rfc_5681_3_2_the_third_duplicate_shows_a_loss_where_there_is_no_sack() {
    for (grows_by, flags, is_duplicate) in
        [(0, Flags::NONE, true), (1, Flags::NONE, false), (0, Flags::FIN, false)]
    {
        let mut rig = ten(false);
        rig.arrives(&heard(0, &[]), 0);
        for count in 1..=4 {
            let mut segment = heard(0, &[]);
            segment.window += grows_by * count;
            // A FIN ahead of a gap, again and again.
            (segment.flags, segment.seq) = (segment.flags | flags, THEIRS + u32::from(flags.0));
            rig.arrives(&segment, 0);
            let again = rig.heads().contains(&(1_000, Flags::ACK, 1_000));
            assert_eq!(again, is_duplicate && count == 3, "{count}");
        }
    }
    // Data is no duplicate, whatever it acknowledges.
    let mut rig = ten(false);
    rig.arrives(&heard(0, &[]), 0);
    for index in 0..5 {
        let seq = THEIRS + index * 10;
        rig.arrives(&Segment { seq, ..heard(0, &[]) }, 10);
    }
    assert_eq!(rig.shared.counters.segments_retransmitted, 0);
    // A partial acknowledgement shows the next loss (RFC 6582 section 3.2).
    let mut rig = ten(false);
    (0..4).for_each(|_| rig.arrives(&heard(0, &[]), 0));
    assert_eq!(rig.heads()[0], (1_000, Flags::ACK, 1_000));
    rig.now = rig.now + Duration::from_millis(100);
    rig.arrives(&heard(4_000, &[]), 0);
    assert_eq!(rig.heads()[0], (5_000, Flags::ACK, 1_000));
    rig.arrives(&heard(10_000, &[]), 0);
    let info = rig.connection.info(&rig.shared.config);
    assert_eq!((info.is_recovering, info.in_flight, info.congestion_window), (false, 0, 7_000));
}

#[test]
fn rfc_9293_3_10_7_4_an_old_segment_does_not_change_the_window() {
    for (seq, ack, window) in [
        (THEIRS, OURS, 5_000),
        (THEIRS, OURS - 1, 8_000),
        (THEIRS, OURS + 1_000, 5_000),
        (THEIRS + 1, OURS - 1, 5_000),
    ] {
        let mut rig = Rig::new(plain());
        rig.write(2_000);
        rig.sent();
        rig.arrives(&segment(0, Flags::NONE), 0);
        let mut segment = segment(0, Flags::NONE);
        (segment.seq, segment.ack, segment.window) = (seq, ack, 5_000);
        rig.arrives(&segment, 0);
        let found = rig.connection.info(&rig.shared.config).send_window;
        assert_eq!(found, window, "{seq:?} {ack:?}");
    }
}

#[test]
fn rfc_9293_3_8_6_no_more_leaves_than_the_peers_window_and_the_congestion_window_let() {
    for (window, congestion, sent) in [
        (8_000, 10_000, 8_000),
        (8_999, 10_000, 8_000),
        (60_000, 10_000, 10_000),
        (60_000, 10_999, 10_000),
        (3_500, 10_000, 3_000),
    ] {
        let mut rig = Rig::new(plain());
        rig.arrives(&Segment { window, ..segment(0, Flags::NONE) }, 0);
        rig.connection.congestion.window.size = congestion;
        rig.write(15_000);
        let found: u32 = rig.heads().iter().map(|(_, _, len)| *len).sum();
        assert_eq!(found, sent, "{window} {congestion}");
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.in_flight, info.send_queue), (sent, 15_000));
    }
}

#[test]
fn no_transmission_is_larger_than_is_asked_for() {
    for nagle in [false, true] {
        for (written, lens) in [
            (999, &[999][..]),
            (1_000, &[1_000]),
            (1_001, &[1_000, 1]),
            (2_000, &[1_000, 1_000]),
            (2_001, &[1_000, 1_000, 1]),
        ] {
            let mut rig = Rig::new(Config { nagle, ..plain() });
            rig.write(written);
            let found: Vec<_> = rig.heads().iter().map(|(_, _, len)| *len).collect();
            // Nagle holds the rest back, as long as something is in flight.
            let wanted = if nagle && lens.len() > 1 && written % 1_000 > 0 {
                &lens[..lens.len() - 1]
            } else {
                lens
            };
            assert_eq!(found, wanted, "{written} {nagle}");
        }
    }
}

#[test]
fn rfc_9293_3_8_6_2_2_the_window_that_is_announced_moves_by_a_segment() {
    for (read, window) in [(0, 63_535), (999, 63_535), (1_000, 64_535), (2_000, 65_535)] {
        let mut rig = Rig::new(plain());
        rig.connection.receive.advertised = THEIRS + 65_535;
        rig.arrives(&segment(0, Flags::NONE), 1_000);
        rig.arrives(&segment(1_000, Flags::NONE), 1_000);
        let mut left = read;
        while left > 0 {
            let count = rig.connection.received_mut().len().min(left);
            rig.connection.consume(&mut rig.shared, rig.now, count);
            left -= count;
        }
        let sent = rig.sent();
        assert_eq!((sent.len(), sent[0].segment.window), (1, window), "{read}");
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.receive_window, info.receive_queue), (window.into(), 2_000 - read as u32));
    }
    // With little memory left it is 16 KiB.
    let mut rig = Rig::new(Config { buffers_bytes_max: 100_000, ..plain() });
    assert!(rig.shared.memory.hold(80_000, crate::memory::Purpose::InOrder));
    rig.connection.receive.advertised = THEIRS;
    rig.arrives(&segment(0, Flags::SYN), 0);
    assert_eq!(rig.sent()[0].segment.window, 16_384);
}

#[test]
fn rfc_6298_5_3_what_is_heard_of_selectively_starts_the_time_anew_as_well() {
    let mut rig = ten(true);
    // Two round trips from the transmission: the tail's probe.
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(200));
    rig.arrives(&heard(0, &[(0, 1_000)]), 0);
    // SRTT 100 ms and four times RTTVAR, which is 37.5 ms now, but no less than 200 ms.
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(400));
    rig.now = START + Duration::from_millis(110);
    rig.arrives(&heard(0, &[(0, 1_000)]), 0);
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_millis(400));
    // What is acknowledged then was known.
    rig.arrives(&heard(1_000, &[]), 0);
    assert!(rig.connection.next_deadline() >= START + Duration::from_millis(310));
}

#[test]
fn what_was_dropped_while_the_window_was_closed_goes_again_when_it_opens() {
    let mut rig = Rig::new(plain());
    rig.write(2_000);
    assert_eq!(rig.sent().len(), 2);
    rig.arrives(&Segment { window: 0, ..segment(0, Flags::NONE) }, 0);
    let first = (1_000, Flags::ACK, 1_000);
    assert_eq!(rig.wait(), (1_000, [first].to_vec()));
    assert_eq!(rig.wait(), (3_000, [first].to_vec()));
    assert_eq!(rig.connection.timeouts(), 2);
    rig.now = START + Duration::from_secs(4);
    rig.arrives(&segment(0, Flags::NONE), 0);
    assert_eq!(rig.heads(), [first]);
    assert_eq!(rig.connection.timeouts(), 0);
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_secs(5));
}

#[test]
fn what_is_paced_waits_for_its_time_and_probes_no_window() {
    let mut rig = Rig::new(Config { pacing: true, ..plain() });
    rig.connection.rtt.sample(START, Duration::from_millis(100), Duration::from_millis(100));
    let window = &mut rig.connection.congestion.window;
    (window.size, window.threshold) = (20_000, 20_000);
    rig.connection.send.window = 60_000;
    rig.write(5_000);
    // 240,000 bytes in a second, and a millisecond that timers may be late by.
    for (micros, next) in [(0, 3_166), (3_166, 7_332), (7_332, 11_498)] {
        rig.now = START + Duration::from_micros(micros);
        rig.connection.handle_timeout(&mut rig.shared, rig.now);
        assert_eq!(rig.heads().len(), 1, "{micros}");
        assert_eq!(rig.connection.next_deadline(), START + Duration::from_micros(next));
    }
    // With nothing in flight it is the pace that is waited for, not the peer.
    rig.now = START + Duration::from_micros(8_000);
    rig.arrives(&Segment { ack: OURS + 3_000, ..segment(0, Flags::NONE) }, 0);
    assert_eq!((rig.heads(), rig.connection.info(&rig.shared.config).in_flight), (Vec::new(), 0));
    assert_eq!(rig.connection.next_deadline(), START + Duration::from_micros(11_498));
    assert!(!rig.connection.timers.is_probing_window());
    // What is short waits as well.
    let mut rig = Rig::new(Config { pacing: true, ..plain() });
    rig.connection.rtt.sample(START, Duration::from_millis(100), Duration::from_millis(100));
    let window = &mut rig.connection.congestion.window;
    (window.size, window.threshold) = (20_000, 20_000);
    for (micros, written, sent) in [(0, 1_000, 1), (1_000, 500, 0), (3_165, 0, 0), (3_166, 0, 1)] {
        rig.now = START + Duration::from_micros(micros);
        rig.write(written);
        rig.connection.handle_timeout(&mut rig.shared, rig.now);
        assert_eq!(rig.heads().len(), sent, "{micros}");
    }
    // Off, all of it leaves at once.
    let mut rig = Rig::new(plain());
    rig.connection.rtt.sample(START, Duration::from_millis(100), Duration::from_millis(100));
    rig.connection.congestion.window.size = 20_000;
    rig.write(5_000);
    assert_eq!(rig.heads().len(), 5);
}

#[test]
fn rfc_7661_a_window_grows_only_by_what_it_held_back() {
    for (written, peer_window, size) in [
        (9_000, 60_000, 10_000),
        (9_999, 60_000, 10_000),
        (10_000, 60_000, 11_000),
        (10_500, 60_000, 11_000),
        (20_000, 60_000, 11_000),
        // The peer's window is what holds back.
        (20_000, 9_000, 10_000),
    ] {
        let congestion_control = crate::Algorithm::Reno;
        let mut rig = Rig::new(Config { congestion_control, ..plain() });
        // An exchange before: nothing was held back until then.
        rig.write(1_000);
        rig.sent();
        rig.now = START + Duration::from_millis(50);
        let mut segment = segment(0, Flags::NONE);
        (segment.ack, segment.window) = (OURS + 1_000, peer_window);
        rig.arrives(&segment, 0);
        let window = &mut rig.connection.congestion.window;
        (window.size, window.threshold) = (10_000, 10_000);
        rig.write(written);
        let sent: u32 = rig.heads().iter().map(|(_, _, len)| *len).sum();
        rig.now = START + Duration::from_millis(100);
        rig.arrives(&Segment { ack: segment.ack + sent, ..segment }, 0);
        let found = rig.connection.info(&rig.shared.config).congestion_window;
        assert_eq!(found, size, "{written} {peer_window}");
    }
}

#[test]
fn a_long_shared_run_ends_a_transmission() {
    let mut rig = Rig::new(plain());
    rig.write(200);
    let mut shared = bytes::Bytes::from(std::vec![2; 5_000]);
    assert_eq!(rig.connection.share(&mut rig.shared, &mut shared), 5_000);
    rig.write(400);
    let mut lens = Vec::new();
    while let Some(it) = rig.connection.poll_transmit(&mut rig.shared, rig.now, 65_536) {
        let slices: Vec<_> = rig.connection.payload(&it).map(|slice| slice.bytes().len()).collect();
        lens.push((it.len, slices));
    }
    assert_eq!(lens, [(5_000, [200, 4_800].to_vec()), (600, [200, 400].to_vec())]);
}

#[test]
fn rfc_7661_less_than_a_segment_of_room_is_what_holds_back() {
    for (later, size) in [(0, 10_400), (400, 10_400), (5_000, 11_400)] {
        let congestion_control = crate::Algorithm::Reno;
        let mut rig = Rig::new(Config { congestion_control, ..plain() });
        rig.connection.send.limited_at = OURS - 1;
        rig.connection.send.window = 60_000;
        let window = &mut rig.connection.congestion.window;
        (window.size, window.threshold) = (10_400, 10_400);
        rig.write(9_900);
        rig.sent();
        rig.write(later);
        let sent: u32 = rig.heads().iter().map(|(_, _, len)| *len).sum();
        rig.now = START + Duration::from_millis(100);
        let ack = OURS + 9_900 + sent;
        rig.arrives(&Segment { ack, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        // What is acknowledged is a little less than a window.
        rig.sent();
        rig.now = START + Duration::from_millis(200);
        let next = rig.connection.send.next;
        rig.arrives(&Segment { ack: next, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        assert_eq!(rig.connection.info(&rig.shared.config).congestion_window, size, "{later}");
    }
}

#[test]
fn rfc_7661_an_application_that_sends_little_opens_no_window() {
    for (rounds, written, threshold, size) in [
        // In slow start more than half of the window has to be in flight.
        (1, 5_000, 1 << 30, 10_000),
        (3, 5_000, 1 << 30, 10_000),
        (1, 5_001, 1 << 30, 15_001),
        // Later it has to be what holds back, however much comes to be acknowledged.
        (1, 9_000, 10_000, 10_000),
        (3, 9_000, 10_000, 10_000),
        (1, 10_000, 10_000, 11_000),
    ] {
        let congestion_control = crate::Algorithm::Reno;
        let mut rig = Rig::new(Config { congestion_control, ..plain() });
        rig.connection.send.limited_at = OURS - 1;
        rig.connection.send.window = 60_000;
        let window = &mut rig.connection.congestion.window;
        (window.size, window.threshold) = (10_000, threshold);
        for round in 1..=rounds {
            rig.write(written);
            rig.sent();
            rig.now = START + Duration::from_millis(100 * round);
            let ack = rig.connection.send.next;
            rig.arrives(&Segment { ack, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        }
        let found = rig.connection.info(&rig.shared.config).congestion_window;
        assert_eq!(found, size, "{rounds} {written} {threshold}");
    }
}

#[test]
fn rfc_7661_room_that_is_not_worth_a_transmission_is_held_back_by_the_window() {
    for (written, size) in [(40_000, 11_000), (8_000, 10_000)] {
        let congestion_control = crate::Algorithm::Reno;
        let mut rig = Rig::new(Config { congestion_control, ..plain() });
        rig.connection.send.limited_at = OURS - 1;
        rig.connection.send.window = 60_000;
        let window = &mut rig.connection.congestion.window;
        (window.size, window.threshold) = (10_000, 10_000);
        for round in 1..=2 {
            if written == 8_000 || round == 1 {
                rig.write(written);
            }
            let mut lens = Vec::new();
            while let Some(it) = rig.connection.poll_transmit(&mut rig.shared, rig.now, 4_000) {
                lens.push(it.len);
            }
            // The 2,000 that are left are less than a third of the window.
            assert_eq!(lens, [4_000, 4_000], "{written} {round}");
            rig.now = START + Duration::from_millis(100 * round);
            let ack = rig.connection.send.next;
            rig.arrives(&Segment { ack, window: 60_000, ..segment(0, Flags::NONE) }, 0);
        }
        let found = rig.connection.info(&rig.shared.config).congestion_window;
        assert_eq!(found, size, "{written}");
    }
}

#[test]
fn the_rate_of_delivery_is_told_where_it_is_measured() {
    use crate::Algorithm::{Bbr, Cubic, Off, Reno};
    for (congestion_control, rate) in
        [(Bbr, Some(30_000)), (Cubic, None), (Reno, None), (Off, None)]
    {
        let mut rig = Rig::new(Config { congestion_control, ..plain() });
        rig.write(3_000);
        let sent: u32 = rig.heads().iter().map(|(_, _, len)| *len).sum();
        assert_eq!(rig.connection.info(&rig.shared.config).delivery_rate, None);
        rig.now = START + Duration::from_millis(100);
        rig.arrives(&Segment { ack: OURS + sent, ..segment(0, Flags::NONE) }, 0);
        let found = rig.connection.info(&rig.shared.config).delivery_rate;
        assert_eq!((found, sent), (rate, 3_000), "{congestion_control:?}");
    }
}
