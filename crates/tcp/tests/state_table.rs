//! RFC 9293's state machine as a table of its own, beside the engine: what comes of each event in each state, by
//! figure 5 and section 3.10, with RFC 5961's answers. Both are given the same events in any order, and must agree.

use Answer::{Ack, Fin, Nothing, Reset, Syn, SynAck};
use Event::{
    Abort, AckOfAll, AckOfNothingSent, Close, Data, FinOfPeer, FinWithAckOfOurs, Null, OldData,
    ResetElsewhere, ResetExact, ResetInWindow, SynAckOfPeer, SynOfPeer,
};
use State::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent,
    TimeWait,
};
use std::collections::BTreeSet;
use tcp::{
    Config, Connection, Duration, Flags, Instant, Open, Options, Payload, Segment, SeqNumber,
    Shared, State,
};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The user's CLOSE and ABORT.
    Close,
    Abort,
    /// An acknowledgement of everything that we have sent.
    AckOfAll,
    AckOfNothingSent,
    /// Data in order; data that came before.
    Data,
    OldData,
    /// The peer's FIN, which does not acknowledge ours if that is in flight; or does.
    FinOfPeer,
    FinWithAckOfOurs,
    /// A SYN, with and without an acknowledgement of ours.
    SynOfPeer,
    SynAckOfPeer,
    /// A reset at RCV.NXT, elsewhere in the window, and outside of it.
    ResetExact,
    ResetInWindow,
    ResetElsewhere,
    /// A segment without any flag.
    Null,
}

const EVENTS: [Event; 14] = [
    Close,
    Abort,
    AckOfAll,
    AckOfNothingSent,
    Data,
    OldData,
    FinOfPeer,
    FinWithAckOfOurs,
    SynOfPeer,
    SynAckOfPeer,
    ResetExact,
    ResetInWindow,
    ResetElsewhere,
    Null,
];

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    Ack,
    Fin,
    Reset,
    Syn,
    SynAck,
}

/// The table: the next state, and what is sent.
fn rule(state: State, event: Event) -> (State, Answer) {
    match (event, state) {
        (_, Closed) => (Closed, Nothing),

        // Section 3.10.4.
        (Close, SynSent) => (Closed, Nothing),
        (Close, Established) => (FinWait1, Fin),
        (Close, CloseWait) => (LastAck, Fin),
        (Close, _) => (state, Nothing),

        // Section 3.10.5.
        (Abort, SynReceived | Established | FinWait1 | FinWait2 | CloseWait) => (Closed, Reset),
        (Abort, _) => (Closed, Nothing),

        // Section 3.10.7.3. What has no SYN is dropped once its acknowledgement was found good.
        (SynOfPeer, SynSent) => (SynReceived, SynAck),
        (SynAckOfPeer, SynSent) => (Established, Ack),
        (AckOfNothingSent, SynSent) => (SynSent, Reset),
        (ResetExact, SynSent) => (Closed, Nothing),
        (_, SynSent) => (SynSent, Nothing),

        // Section 3.10.7.4, first to fourth, with RFC 5961 sections 3.2, 4.2 and 5.2; RFC 1337 for TIME-WAIT.
        (ResetExact, _) => (Closed, Nothing),
        (ResetInWindow, TimeWait) => (TimeWait, Nothing),
        (ResetInWindow, _) => (state, Ack),
        (ResetElsewhere | Null, _) => (state, Nothing),
        (SynOfPeer, SynReceived) => (SynReceived, SynAck),
        (SynOfPeer | SynAckOfPeer, _) => (state, Ack),
        (OldData, _) => (state, Ack),

        // Fifth.
        (AckOfNothingSent, SynReceived) => (SynReceived, Reset),
        (AckOfNothingSent, TimeWait) => (TimeWait, Nothing),
        (AckOfNothingSent, _) => (state, Ack),
        (AckOfAll, SynReceived) => (Established, Nothing),
        (AckOfAll, FinWait1) => (FinWait2, Nothing),
        (AckOfAll, Closing) => (TimeWait, Nothing),
        (AckOfAll, LastAck) => (Closed, Nothing),
        (AckOfAll, _) => (state, Nothing),

        // Seventh. It acknowledges what was acknowledged before.
        (Data, Established | FinWait1 | FinWait2) => (state, Ack),
        (Data, SynReceived) => (Established, Ack),
        (Data, TimeWait) => (TimeWait, Ack),
        (Data, _) => (state, Nothing),

        // Eighth. Where it came before it is old.
        (FinOfPeer | FinWithAckOfOurs, SynReceived | Established) => (CloseWait, Ack),
        (FinOfPeer, FinWait1) => (Closing, Ack),
        (FinWithAckOfOurs, FinWait1) => (TimeWait, Ack),
        (FinOfPeer | FinWithAckOfOurs, FinWait2) => (TimeWait, Ack),
        (FinOfPeer | FinWithAckOfOurs, _) => (state, Ack),
    }
}

const OURS: SeqNumber = SeqNumber(0x1000_0000);
const THEIRS: SeqNumber = SeqNumber(0xffff_ff00);

/// The engine, and the numbers that a peer knows.
struct Driven {
    connection: Connection,
    shared: Shared,
    now: Instant,
    /// SND.NXT, what of it was acknowledged, and RCV.NXT.
    next: SeqNumber,
    acknowledged: SeqNumber,
    expected: SeqNumber,
}

impl Driven {
    fn new(is_active: bool) -> Self {
        // Nothing is sent again meanwhile, and every challenge is answered.
        let mut shared = Shared::new(Config {
            rto_initial: Duration::from_secs(50),
            rto_min: Duration::from_secs(50),
            challenge_acks_per_second: 255,
            timestamps: false,
            sack: false,
            ..Config::default()
        });
        let now = Instant::from_micros(1_000_000);
        let open = Open { initial: OURS, mss: 1_000, path_mss: None, timestamp_offset: 0 };
        let connection = if is_active {
            Connection::connect(&mut shared, now, &open)
        } else {
            Connection::accept(&mut shared, now, &open, &Self::syn())
        };
        let expected = THEIRS + 1;
        let (next, acknowledged) = (OURS + 1, OURS);
        let mut driven = Self { connection, shared, now, next, acknowledged, expected };
        let sent = driven.sent();
        assert_eq!(sent, if is_active { Syn } else { SynAck });
        driven
    }

    fn syn() -> Segment {
        let mut syn = Segment::new(THEIRS, SeqNumber(0), Flags::SYN);
        syn.window = 60_000;
        syn.options = Options { mss: Some(1_000), ..Options::NONE };
        syn
    }

    fn apply(&mut self, event: Event) -> Answer {
        let has_finished =
            matches!(self.connection.state(), CloseWait | Closing | LastAck | TimeWait);
        let mut segment = Segment::new(self.expected, self.next, Flags::ACK);
        segment.window = 60_000;
        let mut len = 0;
        match event {
            Close => self.connection.close(&mut self.shared),
            Abort => self.connection.abort(&mut self.shared),
            AckOfAll => {}
            AckOfNothingSent => segment.ack = self.next + 1_000,
            Data => {
                len = 10;
                segment.ack = if self.acknowledged == OURS { self.next } else { self.acknowledged };
            }
            OldData => (segment.seq, len) = (self.expected - 10, 10),
            FinOfPeer | FinWithAckOfOurs => {
                segment.flags = Flags::FIN | Flags::ACK;
                if has_finished {
                    segment.seq = self.expected - 1;
                }
                if event == FinOfPeer && self.acknowledged != OURS {
                    segment.ack = self.acknowledged;
                }
            }
            SynOfPeer => segment = Self::syn(),
            SynAckOfPeer => {
                segment = Self::syn();
                (segment.flags, segment.ack) = (Flags::SYN | Flags::ACK, OURS + 1);
            }
            // In SYN-SENT its acknowledgement shows that it is meant.
            ResetExact => segment.flags = Flags::RST | Flags::ACK,
            ResetInWindow | ResetElsewhere => {
                let far = if event == ResetInWindow { 1 } else { 100_000_000 };
                (segment.flags, segment.seq) = (Flags::RST, self.expected + far);
            }
            Null => segment.flags = Flags::NONE,
        }
        if !matches!(event, Close | Abort) {
            let bytes = vec![7; len];
            let payload = Payload::Slice(&bytes);
            self.connection.handle_segment(&mut self.shared, self.now, &segment, payload);
        }
        while self.connection.poll_event().is_some() {}
        self.sent()
    }

    /// What leaves, within the time that an acknowledgement may wait.
    fn sent(&mut self) -> Answer {
        let mut answers = Vec::new();
        let end = self.now + Duration::from_millis(45);
        loop {
            while let Some(transmit) =
                self.connection.poll_transmit(&mut self.shared, self.now, 1_000)
            {
                let segment = transmit.segment;
                let answer = [
                    (Flags::RST, Reset),
                    (Flags::SYN | Flags::ACK, SynAck),
                    (Flags::SYN, Syn),
                    (Flags::FIN, Fin),
                    (Flags::ACK, Ack),
                ];
                let found = answer.iter().find(|(flags, _)| segment.flags.has(*flags));
                let found = found.expect("some flag").1;
                answers.push(found);
                if found != Reset {
                    self.next = self.next.or_later(segment.seq + segment.sequence_len(0));
                    if segment.flags.has(Flags::ACK) {
                        self.expected = self.expected.or_later(segment.ack);
                    }
                }
            }
            let next = self.connection.next_deadline();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.connection.handle_timeout(&mut self.shared, self.now);
        }
        self.now = end;
        match answers[..] {
            [] => Nothing,
            [answer] => answer,
            _ => panic!("more than one answer: {answers:?}"),
        }
    }

    /// Takes note of what the table says was acknowledged.
    fn note(&mut self, event: Event, before: State, state: State) {
        let acknowledges = match event {
            AckOfAll | SynAckOfPeer => true,
            // One that came before is old, and so is what it acknowledges.
            FinWithAckOfOurs => matches!(before, SynReceived | Established | FinWait1 | FinWait2),
            // Those complete a handshake.
            Data | FinOfPeer => self.acknowledged == OURS && state != SynSent,
            _ => false,
        };
        if acknowledges && !matches!(state, SynSent | SynReceived) {
            self.acknowledged = if event == SynAckOfPeer { OURS + 1 } else { self.next };
        }
    }
}

/// xorshift64.
fn random(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % below as u64) as usize
}

#[test]
fn the_engine_does_what_the_table_says() {
    let mut seen = BTreeSet::new();
    for seed in 1..20_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut driven = Driven::new(random(&mut state, 2) == 0);
        let mut history = Vec::new();
        for _ in 0..12 {
            let event = EVENTS[random(&mut state, EVENTS.len())];
            let before = driven.connection.state();
            // A CLOSE in SYN-RECEIVED waits, and a SYN-ACK is a peer's own only to a SYN: scripts have those.
            let is_elsewhere = matches!(
                (event, before),
                (Close | SynAckOfPeer | OldData, SynReceived) | (OldData, SynSent)
            );
            if is_elsewhere || before == Closed {
                continue;
            }
            history.push((before, event));
            let (wanted, answer) = rule(before, event);
            let found = driven.apply(event);
            assert_eq!(
                (driven.connection.state(), found),
                (wanted, answer),
                "seed {seed}: {history:?}"
            );
            driven.note(event, before, wanted);
            seen.insert(format!("{before} {event:?}"));
        }
        driven.connection.release(&mut driven.shared);
        assert_eq!(driven.shared.memory.held_bytes(), 0);
    }
    let states = 9;
    assert_eq!(seen.len(), states * EVENTS.len() - 4, "each event in each state");
}
