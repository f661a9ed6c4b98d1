//! CLOSE, ABORT and what else ends a connection, in each state.

use super::*;

const STATES: [State; 10] = [
    State::Closed,
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// In that state, with so many bytes written that are not acknowledged.
fn in_state(state: State, written: usize) -> Rig {
    let mut rig = Rig::new(plain());
    rig.write(written);
    rig.sent();
    rig.connection.state = state;
    rig
}

#[test]
fn rfc_9293_3_10_5_an_abort_is_told_to_who_waits_for_something() {
    for state in STATES {
        for written in [0, 9] {
            let mut rig = in_state(state, written);
            rig.connection.abort(&mut rig.shared);
            let tells = match state {
                State::Closed | State::SynSent | State::TimeWait => false,
                State::Closing | State::LastAck => written > 0,
                _ => true,
            };
            let reset = (1_000 + written as u32, Flags::RST | Flags::ACK, 0);
            assert_eq!(rig.connection.is_over(), !tells, "{state} {written}");
            assert_eq!(rig.heads(), Vec::from_iter(tells.then_some(reset)), "{state} {written}");
            assert!(rig.connection.is_over());
            let is_new = state != State::Closed;
            let end = is_new.then_some(Event::Closed(CloseReason::Aborted));
            let told = core::iter::from_fn(|| rig.connection.poll_event()).last();
            assert_eq!(told, end, "{state}");
            assert!(!is_new || rig.shared.memory.held_bytes() == 0, "{state}");
        }
    }
}

#[test]
fn an_abort_drops_what_was_not_read_and_another_end_does_not() {
    for (aborts, left) in [(true, 0), (false, 10)] {
        let mut rig = Rig::new(plain());
        rig.arrives(&segment(0, Flags::NONE), 10);
        rig.arrives(&segment(20, Flags::NONE), 10);
        rig.write(5);
        if aborts {
            rig.connection.abort(&mut rig.shared);
        } else {
            rig.arrives(&segment(10, Flags::RST), 0);
        }
        assert_eq!(rig.connection.state(), State::Closed);
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.receive_queue, info.out_of_order, info.send_queue), (left, 0, 0));
        let held = rig.shared.memory.held_bytes();
        assert_eq!((rig.connection.held_bytes(), held), (held, if aborts { 0 } else { 2_048 }));
        // Neither a segment nor time does anything more.
        rig.sent();
        rig.arrives(&segment(10, Flags::NONE), 10);
        rig.arrives(&segment(10, Flags::SYN), 0);
        assert_eq!((rig.heads(), rig.connection.next_deadline()), (Vec::new(), Instant::NEVER));
        assert_eq!(rig.connection.received_len(), left as usize);
        core::iter::from_fn(|| rig.connection.poll_event()).for_each(drop);
        rig.arrives(&segment(10, Flags::RST), 0);
        rig.arrives(&segment(-10, Flags::NONE), 5);
        assert_eq!((rig.heads(), rig.connection.poll_event()), (Vec::new(), None));
        let counters = rig.shared.counters;
        assert_eq!(counters.resets_received, if aborts { 0 } else { 1 });
        assert_eq!((counters.challenge_acks, counters.segments_unacceptable), (0, 0));
        assert_eq!(rig.shared.counters.segments_received, if aborts { 6 } else { 7 });
    }
}

#[test]
fn rfc_5927_5_2_an_error_message_ends_only_an_open_and_only_if_it_quotes_its_number() {
    for state in STATES {
        for (seq, is_ours) in [(999, false), (1_000, true), (1_001, true), (1_002, false)] {
            let mut rig = in_state(state, 1);
            rig.connection.handle_unreachable(&mut rig.shared, seq);
            let ends = is_ours && matches!(state, State::SynSent | State::SynReceived);
            let after = if ends { State::Closed } else { state };
            assert_eq!(rig.connection.state(), after, "{state} {seq}");
            if ends {
                assert_eq!(rig.connection.close_reason(), CloseReason::Unreachable);
            }
        }
    }
}

#[test]
fn rfc_2525_2_17_who_stops_reading_resets_what_was_not_read() {
    for state in STATES {
        for unread in [0, 10] {
            let mut rig = Rig::new(plain());
            rig.arrives(&segment(0, Flags::NONE), unread);
            rig.sent();
            rig.connection.timers.acknowledge_at = Instant::NEVER;
            rig.connection.state = state;
            rig.connection.stop_reading(&mut rig.shared, rig.now);
            let resets = unread > 0
                && !matches!(
                    state,
                    State::Closed
                        | State::SynSent
                        | State::SynReceived
                        | State::Closing
                        | State::LastAck
                        | State::TimeWait
                );
            let reset = (1_000, Flags::RST | Flags::ACK, 0);
            // Who has finished loses nothing that the peer would have to know of; it ends all the same.
            let ends = unread > 0 && !matches!(state, State::SynSent | State::SynReceived);
            let after = if ends { State::Closed } else { state };
            assert_eq!(rig.connection.state(), after, "{state} {unread}");
            if state.is_synchronized() && !state.is_finishing() {
                assert_eq!(
                    rig.heads(),
                    Vec::from_iter(resets.then_some(reset)),
                    "{state} {unread}"
                );
            }
            assert_eq!((rig.connection.received_len(), rig.shared.memory.held_bytes()), (0, 0));
            let waits = state == State::FinWait2 && unread == 0;
            if state.is_finishing() && !ends {
                continue;
            }
            let end = if waits { START + Duration::from_secs(60) } else { Instant::NEVER };
            assert_eq!(rig.connection.next_deadline(), end, "{state} {unread}");
        }
    }
    // Data that still comes is answered by a reset; what came before is not.
    for (offset, resets) in [(-10, false), (-9, true), (0, true)] {
        let mut rig = Rig::new(plain());
        rig.connection.stop_reading(&mut rig.shared, rig.now);
        rig.arrives(&segment(offset, Flags::NONE), 10);
        assert_eq!(rig.connection.state() == State::Closed, resets, "{offset}");
        let wanted = if resets { (1_000, Flags::RST | Flags::ACK, 0) } else { ACK };
        assert_eq!(rig.heads(), [wanted], "{offset}");
    }
}

#[test]
fn rfc_9293_3_10_4_a_close_in_each_state() {
    for state in STATES {
        let mut rig = in_state(state, 0);
        rig.connection.close(&mut rig.shared);
        let (after, finishes) = match state {
            State::SynSent => (State::Closed, false),
            State::Established => (State::FinWait1, true),
            State::CloseWait => (State::LastAck, true),
            other => (other, matches!(other, State::FinWait1 | State::Closing | State::LastAck)),
        };
        assert_eq!(rig.connection.state(), after, "{state}");
        if state.is_synchronized() {
            let fin = (1_000, Flags::FIN | Flags::ACK, 0);
            assert_eq!(rig.heads(), Vec::from_iter(finishes.then_some(fin)), "{state}");
            assert_eq!(rig.connection.is_drained(), !finishes, "{state}");
            let can_write = rig.connection.write(&mut rig.shared, b"more");
            assert_eq!(can_write, 0, "{state}");
        }
    }
    // In SYN-RECEIVED it waits, and nothing more may be written meanwhile.
    let mut rig = Rig::passive(plain());
    rig.sent();
    rig.write(5);
    rig.connection.close(&mut rig.shared);
    assert_eq!(rig.connection.write(&mut rig.shared, b"more"), 0);
    rig.arrives(&segment(0, Flags::NONE), 0);
    let fin = Flags::ACK | Flags::PSH | Flags::FIN;
    assert_eq!(
        (rig.connection.state(), rig.heads()),
        (State::FinWait1, [(1_000, fin, 5)].to_vec())
    );
}

#[test]
fn a_fin_counts_up_to_the_edge_of_the_window_and_once() {
    for (offset, len, is_finished) in [
        (0, 0, true),
        (0, 10, true),
        (0, 10_000, true),
        (1, 10, false),
        (0, 10_001, false),
        (-5, 5, true),
        (-6, 5, false),
    ] {
        let mut rig = Rig::new(plain());
        rig.arrives(&segment(offset, Flags::FIN), len);
        let events: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
        assert_eq!(events.contains(&Event::PeerFinished), is_finished, "{offset} +{len}");
        let state = if is_finished { State::CloseWait } else { State::Established };
        assert_eq!(rig.connection.state(), state, "{offset} +{len}");
        let expected = if is_finished {
            offset + len as i32 + 1
        } else {
            rig.connection.received_len() as i32
        };
        let sent = rig.sent();
        assert_eq!(sent.len(), 1, "{offset} +{len}");
        assert_eq!(sent[0].segment.ack, THEIRS + expected as u32, "{offset} +{len}");
        let is_empty = rig.connection.received_len() == 0;
        assert_eq!(rig.connection.is_read_to_end(), is_finished && is_empty, "{offset} +{len}");
    }
    // Ahead of a gap it waits.
    let mut rig = Rig::new(plain());
    rig.arrives(&segment(5, Flags::FIN), 5);
    assert_eq!((rig.connection.state(), rig.sent().len()), (State::Established, 1));
    rig.arrives(&segment(0, Flags::NONE), 5);
    assert_eq!((rig.connection.state(), rig.connection.received_len()), (State::CloseWait, 10));
    assert_eq!(rig.sent()[0].segment.ack, THEIRS + 11);
}

#[test]
fn the_acknowledgement_of_the_last_fin_is_the_end() {
    let mut rig = Rig::new(Config { keep_alive_idle: Duration::from_secs(9), ..plain() });
    rig.arrives(&segment(0, Flags::FIN), 10);
    rig.write(5);
    rig.connection.close(&mut rig.shared);
    assert_eq!(rig.heads(), [(1_000, Flags::ACK | Flags::PSH | Flags::FIN, 5)]);
    core::iter::from_fn(|| rig.connection.poll_event()).for_each(drop);
    for (ack, state) in [(1_005, State::LastAck), (1_006, State::Closed)] {
        rig.arrives(&Segment { ack: SeqNumber(ack), ..segment(11, Flags::NONE) }, 0);
        assert_eq!((rig.connection.state(), rig.heads()), (state, Vec::new()));
    }
    let events: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
    assert_eq!(events, [Event::Drained, Event::Closed(CloseReason::Finished)]);
    assert_eq!(
        (rig.connection.next_deadline(), rig.connection.received_len()),
        (Instant::NEVER, 10)
    );
    assert_eq!((rig.shared.counters.timed_out, rig.shared.counters.resets_received), (0, 0));
}

#[test]
fn rfc_9293_3_6_1_what_is_kept_in_time_wait() {
    let config = Config { timestamps: true, window_scaling: true, ..plain() };
    let mut rig = Rig::new(config);
    assert_eq!(rig.connection.time_wait(), None);
    rig.connection.features.timestamp_offset = 77;
    rig.write(3);
    rig.connection.close(&mut rig.shared);
    rig.sent();
    let fin = Segment { ack: OURS + 4, flags: Flags::FIN | Flags::ACK, ..stamped(0, 900) };
    rig.arrives(&fin, 100);
    let announced = rig.sent()[0].segment.window;
    // The buffer of 64 KiB without the 100 bytes, in units of 128, as the window scale for 6 MiB says.
    assert_eq!(announced, 511);
    let kept = crate::TimeWait {
        next: OURS + 4,
        expected: THEIRS + 101,
        window: 511,
        timestamps: Some((900, 77)),
        until: START + Duration::from_secs(60),
    };
    assert_eq!(rig.connection.time_wait(), Some(kept));
    let events: Vec<_> = core::iter::from_fn(|| rig.connection.poll_event()).collect();
    assert!(events.contains(&Event::TimeWait) && events.contains(&Event::PeerFinished));
}
