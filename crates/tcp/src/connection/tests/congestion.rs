//! Explicit congestion notification (RFC 3168), and duplicates that stand for what arrived.

use super::*;
use crate::segment::Ecn;

fn ecn() -> Config {
    Config { ecn: true, ..plain() }
}

const BOTH: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);

#[test]
fn rfc_3168_6_1_1_both_have_to_say_so() {
    for (offers, ecn, agrees) in [
        (BOTH, true, true),
        (BOTH, false, false),
        (Flags::ECE, true, false),
        (Flags::CWR, true, false),
        (Flags::NONE, true, false),
    ] {
        let mut shared = Shared::new(Config { ecn, ..plain() });
        let mut syn = Segment::new(THEIRS - 1, SeqNumber(0), Flags::SYN | offers);
        (syn.window, syn.options.mss) = (60_000, Some(1_000));
        let connection = Connection::accept(&mut shared, START, &open(), &syn);
        let mut rig = Rig { connection, shared, now: START };
        let answer = Flags::SYN | Flags::ACK | if agrees { Flags::ECE } else { Flags::NONE };
        let sent = rig.sent();
        assert_eq!((sent[0].segment.flags, sent[0].segment.ecn), (answer, Ecn::NotCapable));
        rig.arrives(&segment(0, Flags::NONE), 0);
        rig.write(10);
        let codepoint = if agrees { Ecn::Capable0 } else { Ecn::NotCapable };
        assert_eq!(rig.sent()[0].segment.ecn, codepoint, "{offers:?}");
    }
    for (answers, agrees) in
        [(Flags::ECE, true), (BOTH, false), (Flags::CWR, false), (Flags::NONE, false)]
    {
        for again in [false, true] {
            let mut rig = Rig::active(ecn());
            assert_eq!(rig.heads(), [(999, Flags::SYN | BOTH, 0)]);
            if again {
                // RFC 3168 section 6.1.1.1: perhaps somebody does not like that.
                assert_eq!(rig.wait(), (1_000, [(999, Flags::SYN, 0)].to_vec()));
            }
            let flags = Flags::SYN | Flags::ACK | answers;
            rig.arrives(&Segment { flags, ..segment(-1, Flags::NONE) }, 0);
            assert_eq!(rig.connection.state(), State::Established);
            rig.sent();
            rig.write(10);
            let is_on = rig.sent()[0].segment.ecn == Ecn::Capable0;
            assert_eq!(is_on, agrees && !again, "{answers:?} {again}");
        }
    }
}

/// Agreed upon.
fn established() -> Rig {
    let mut rig = Rig::new(ecn());
    rig.connection.features.ecn = true;
    rig.connection.send.window = 60_000;
    rig
}

#[test]
fn rfc_3168_6_1_5_only_new_data_is_capable() {
    let mut rig = established();
    rig.write(2_000);
    let codepoints: Vec<_> = rig.sent().iter().map(|it| it.segment.ecn).collect();
    assert_eq!(codepoints, [Ecn::Capable0; 2]);
    rig.arrives(&segment(0, Flags::NONE), 1_000);
    assert_eq!(rig.sent()[0].segment.ecn, Ecn::NotCapable);
    rig.now = rig.connection.next_deadline();
    rig.connection.handle_timeout(&mut rig.shared, rig.now);
    let again = rig.sent()[0];
    assert_eq!(
        (again.segment.ecn, again.len, again.is_retransmission),
        (Ecn::NotCapable, 1_000, true)
    );
    rig.arrives(&Segment { ack: OURS + 2_000, ..segment(1_000, Flags::NONE) }, 0);
    rig.sent();
    rig.connection.close(&mut rig.shared);
    let fin = rig.sent()[0];
    assert!(fin.segment.flags.has(Flags::FIN) && fin.len == 0 && !fin.is_retransmission);
    assert_eq!(fin.segment.ecn, Ecn::NotCapable);
}

#[test]
fn rfc_3168_6_1_3_a_mark_is_echoed_until_the_peer_has_heard() {
    for (ecn, len, is_echoed) in [
        (Ecn::Congestion, 10, true),
        (Ecn::Congestion, 0, false),
        (Ecn::Capable0, 10, false),
        (Ecn::Capable1, 10, false),
    ] {
        let mut rig = established();
        rig.connection.pending.quick_acks = 0;
        rig.arrives(&Segment { ecn, ..segment(0, Flags::NONE) }, len);
        // At once, where there is a mark.
        let echo = Flags::ACK | Flags::ECE;
        let sent = rig.heads();
        assert_eq!(sent, Vec::from_iter(is_echoed.then_some((1_000, echo, 0))), "{ecn:?} {len}");
        let at = rig.connection.received_len() as i32;
        rig.arrives(&segment(at, Flags::PSH), 2_000);
        let flags = if is_echoed { echo } else { Flags::ACK };
        assert_eq!(rig.heads(), [(1_000, flags, 0)], "{ecn:?} {len}");
        rig.arrives(&segment(at + 2_000, Flags::CWR), 2_000);
        assert_eq!(rig.heads(), [ACK], "{ecn:?} {len}");
    }
    // Nobody agreed upon it.
    let mut rig = Rig::new(plain());
    rig.arrives(&Segment { ecn: Ecn::Congestion, ..segment(0, Flags::NONE) }, 1_000);
    assert_eq!(rig.heads(), [ACK]);
}

#[test]
fn rfc_3168_6_1_2_an_echo_reduces_the_window_once_and_that_is_said_once() {
    for (is_agreed, ack, reduces) in
        [(true, 1_000, true), (false, 1_000, false), (true, 10_000, false), (true, 0, true)]
    {
        let mut rig = established();
        rig.connection.features.ecn = is_agreed;
        rig.write(10_000);
        assert_eq!(rig.sent().len(), 10);
        rig.write(20_000);
        rig.now = START + Duration::from_millis(100);
        let mut echo = segment(0, Flags::ECE);
        (echo.ack, echo.window) = (OURS + ack, 60_000);
        rig.arrives(&echo, 0);
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!(info.slow_start_threshold, reduces.then_some(7_000), "{ack}");
        assert_eq!(rig.shared.counters.congestion_echoes, u64::from(reduces), "{ack}");
        rig.arrives(&Segment { ack: OURS + ack.max(5_000), ..echo }, 0);
        let info = rig.connection.info(&rig.shared.config);
        let threshold =
            if is_agreed && ack < 10_000 { Some(7_000) } else { info.slow_start_threshold };
        assert_eq!(info.slow_start_threshold, threshold, "{ack}");
        let said = rig.heads().iter().filter(|(_, flags, _)| flags.has(Flags::CWR)).count();
        assert_eq!(said, usize::from(is_agreed && ack < 10_000), "{ack}");
    }
}

#[test]
fn rfc_6582_3_2_a_partial_acknowledgement_takes_the_duplicates_away_that_stood_for_it() {
    for (acknowledged, flight) in
        [(1, 5_000), (2, 5_000), (3, 5_000), (4, 5_000), (5, 4_000), (9, 0)]
    {
        let mut rig = Rig::new(plain());
        rig.connection.send.window = 60_000;
        rig.write(10_000);
        assert_eq!(rig.sent().len(), 10);
        rig.now = START + Duration::from_millis(100);
        let same = Segment { window: 60_000, ..segment(0, Flags::NONE) };
        (0..3).for_each(|_| rig.arrives(&same, 0));
        assert_eq!(rig.connection.info(&rig.shared.config).lost, 1_000);
        assert_eq!(rig.heads(), [(1_000, Flags::ACK, 1_000)]);
        rig.arrives(&Segment { ack: OURS + acknowledged * 1_000, ..same }, 0);
        assert_eq!(rig.connection.flight(), flight, "{acknowledged}");
    }
}
