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
}
