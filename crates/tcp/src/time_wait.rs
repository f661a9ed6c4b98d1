//! TIME-WAIT: what is kept of a connection while its old segments die out (RFC 9293 section 3.6.1).

use crate::options::Timestamps;
use crate::segment::{Flags, Segment};
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// All that TIME-WAIT needs: a table of these is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWait {
    /// SND.NXT.
    pub next: SeqNumber,
    /// RCV.NXT.
    pub expected: SeqNumber,
    /// The window field that was announced last.
    pub window: u32,
    /// TS.Recent, and what is added to our clock, if timestamps were agreed upon.
    pub timestamps: Option<(u32, u32)>,
    /// When it ends.
    pub until: Instant,
}

/// What becomes of a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Drop,
    /// This is sent.
    Answer(Segment),
    /// The peer opens a new connection: forget this one, and give the SYN to the listener. The new initial
    /// sequence number has to be beyond [`TimeWait::next`].
    Reopen,
    /// The peer reset it: forget this one.
    Reset,
}

impl TimeWait {
    /// RFC 9293 section 3.10.7.4 for TIME-WAIT, RFC 6191 for what comes after, RFC 1337 for resets.
    pub fn handle_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        data_len: u32,
        time_wait: Duration,
    ) -> Verdict {
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            // RFC 5961 section 3.2; RFC 1337 section 3 would ignore even that one, Linux and others do not.
            return if segment.seq == self.expected { Verdict::Reset } else { Verdict::Drop };
        }
        let is_newer = match (self.timestamps, segment.options.timestamps) {
            (Some((recent, _)), Some(theirs)) => {
                Some((theirs.value.wrapping_sub(recent) as i32).signum())
            }
            _ => None,
        };
        if flags.has(Flags::SYN) {
            // RFC 6191 section 2: a later timestamp, or else a later number.
            let reopens = is_newer == Some(1) || segment.seq.is_after(self.expected);
            return if !flags.has(Flags::ACK) && reopens && is_newer != Some(-1) {
                Verdict::Reopen
            } else {
                Verdict::Answer(self.answer(now))
            };
        }
        // The FIN again: our acknowledgement was lost, and time starts anew.
        if flags.has(Flags::FIN) && segment.seq + data_len + 1 == self.expected {
            self.until = now + time_wait;
            return Verdict::Answer(self.answer(now));
        }
        let is_plain = segment.seq == self.expected && segment.sequence_len(data_len) == 0;
        if is_plain || !flags.has(Flags::ACK) {
            return Verdict::Drop;
        }
        Verdict::Answer(self.answer(now))
    }

    fn answer(&self, now: Instant) -> Segment {
        let mut segment = Segment::new(self.next, self.expected, Flags::ACK);
        segment.window = self.window.min(u16::MAX.into()) as u16;
        segment.options.timestamps = self.timestamps.map(|(recent, offset)| Timestamps {
            value: (now.millis() as u32).wrapping_add(offset),
            echo: recent,
        });
        segment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    fn time_wait() -> TimeWait {
        TimeWait {
            next: SeqNumber(100),
            expected: SeqNumber(200),
            window: 9,
            timestamps: None,
            until: Instant::START + LENGTH,
        }
    }

    fn verdict(seq: u32, flags: Flags) -> Verdict {
        let segment = Segment::new(SeqNumber(seq), SeqNumber(100), flags);
        time_wait().handle_segment(Instant::START, &segment, 0, LENGTH)
    }

    #[test]
    fn rfc_9293_3_6_1_a_fin_again_is_answered_and_time_starts_anew() {
        let mut it = time_wait();
        let fin = Segment::new(SeqNumber(199), SeqNumber(100), Flags::FIN | Flags::ACK);
        let now = Instant::START + Duration::from_secs(9);
        assert!(matches!(it.handle_segment(now, &fin, 0, LENGTH), Verdict::Answer(_)));
        assert_eq!(it.until, now + LENGTH);
    }

    #[test]
    fn rfc_6191_2_a_new_connection_may_take_its_place() {
        assert_eq!(verdict(201, Flags::SYN), Verdict::Reopen);
        assert!(matches!(verdict(150, Flags::SYN), Verdict::Answer(_)));
        let mut it = TimeWait { timestamps: Some((5, 0)), ..time_wait() };
        let mut syn = Segment::new(SeqNumber(150), SeqNumber(0), Flags::SYN);
        syn.options.timestamps = Some(Timestamps { value: 6, echo: 0 });
        assert_eq!(it.handle_segment(Instant::START, &syn, 0, LENGTH), Verdict::Reopen);
        syn.options.timestamps = Some(Timestamps { value: 4, echo: 0 });
        assert!(matches!(it.handle_segment(Instant::START, &syn, 0, LENGTH), Verdict::Answer(_)));
    }

    #[test]
    fn rfc_1337_old_segments_do_not_end_it() {
        assert_eq!(verdict(150, Flags::RST), Verdict::Drop);
        assert_eq!(verdict(200, Flags::RST), Verdict::Reset);
        assert_eq!(verdict(200, Flags::ACK), Verdict::Drop);
        assert!(matches!(verdict(150, Flags::ACK), Verdict::Answer(_)));
    }

    #[test]
    fn rfc_9293_3_10_7_4_each_segment_has_its_answer() {
        let (ack, fin) = (Flags::ACK, Flags::FIN | Flags::ACK);
        let answer = || {
            let mut segment = Segment::new(SeqNumber(100), SeqNumber(200), Flags::ACK);
            segment.window = 9;
            Verdict::Answer(segment)
        };
        for (seq, flags, len, verdict, is_prolonged) in [
            (199, Flags::RST, 0, Verdict::Drop, false),
            (201, Flags::RST | Flags::ACK, 0, Verdict::Drop, false),
            (200, Flags::RST | Flags::SYN, 0, Verdict::Reset, false),
            (200, Flags::SYN, 0, answer(), false),
            (201, Flags::SYN, 0, Verdict::Reopen, false),
            (201, Flags::SYN | Flags::ACK, 0, answer(), false),
            (199, fin, 0, answer(), true),
            (198, fin, 0, answer(), false),
            (200, fin, 0, answer(), false),
            (189, fin, 10, answer(), true),
            (190, fin, 10, answer(), false),
            (199, Flags::FIN, 0, answer(), true),
            (200, ack, 0, Verdict::Drop, false),
            (199, ack, 0, answer(), false),
            (201, ack, 0, answer(), false),
            (200, ack, 1, answer(), false),
            (199, Flags::NONE, 0, Verdict::Drop, false),
            (199, Flags::PSH, 5, Verdict::Drop, false),
        ] {
            let segment = Segment::new(SeqNumber(seq), SeqNumber(100), flags);
            let (mut it, now) = (time_wait(), Instant::START + Duration::from_secs(9));
            assert_eq!(it.handle_segment(now, &segment, len, LENGTH), verdict, "{seq} {flags:?}");
            let until = Duration::from_secs(if is_prolonged { 69 } else { 60 });
            assert_eq!(it.until, Instant::START + until, "{seq} {flags:?}");
        }
    }

    #[test]
    fn rfc_6191_2_timestamps_decide_where_both_have_them() {
        for (seq, value, reopens) in [
            (150, 6, true),
            (150, 5, false),
            (201, 5, true),
            (201, 4, false),
            (150, 5 + (1 << 31) - 1, true),
            (201, 5 + (1 << 31), false),
        ] {
            let mut it = TimeWait { timestamps: Some((5, 70)), window: 70_000, ..time_wait() };
            let mut syn = Segment::new(SeqNumber(seq), SeqNumber(0), Flags::SYN);
            syn.options.timestamps = Some(Timestamps { value, echo: 0 });
            let now = Instant::START + Duration::from_secs(2);
            match it.handle_segment(now, &syn, 0, LENGTH) {
                Verdict::Reopen => assert!(reopens, "{seq} {value}"),
                Verdict::Answer(answer) => {
                    assert!(!reopens, "{seq} {value}");
                    let stamps = Timestamps { value: 2_070, echo: 5 };
                    assert_eq!((answer.window, answer.options.timestamps), (65_535, Some(stamps)));
                }
                verdict => panic!("{verdict:?}"),
            }
        }
    }
}
