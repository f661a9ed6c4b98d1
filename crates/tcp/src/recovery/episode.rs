//! An episode of loss recovery: proportional rate reduction (RFC 9937) and what undoes it (RFC 3522, 3708, 5682).

use crate::sequence::SeqNumber;
use crate::time::Instant;

/// What a flight that was not delivered whole leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something is lost (RFC 5681 section 3.2, with RFC 8985 to tell).
    Fast,
    /// The retransmission timer expired (RFC 6298 section 5.4).
    Timeout,
    /// A router marked a segment (RFC 3168 section 6.1.2), or a probe repaired a loss (RFC 8985 section 7.4.2).
    Reduction,
}

/// From the first sign of loss until all that was sent before it is acknowledged.
#[derive(Debug)]
pub(crate) struct Episode {
    pub(crate) kind: Kind,
    /// RecoveryPoint: SND.NXT when it began.
    pub(crate) point: SeqNumber,
    /// It ended, and is kept to be undone.
    pub(crate) is_over: bool,
    pub(crate) began_at: Instant,
    /// The window and the threshold before.
    pub(crate) prior: (u32, u32),
    /// RFC 3522: what was sent again first, and the timestamp of that.
    pub(crate) first_resent: Option<(SeqNumber, u32)>,
    /// RFC 3708: octets sent again of which the peer has not said that it had them.
    pub(crate) resent_octets: u32,
    /// RFC 5682: an original that arrives after the time-out shows that it came too early.
    pub(crate) detects_spurious: bool,
    prr: Prr,
}

/// RFC 9937 section 6: how much may be sent for what is delivered.
#[derive(Debug)]
struct Prr {
    delivered: u32,
    out: u32,
    /// RecoverFS: what was in flight.
    flight: u32,
    /// SndCnt: what may be sent, and has not been since the last acknowledgement.
    count: u32,
    /// What may be in flight now.
    window: u32,
}

impl Episode {
    pub(crate) fn new(
        kind: Kind,
        point: SeqNumber,
        flight: u32,
        prior: (u32, u32),
        now: Instant,
    ) -> Self {
        Self {
            kind,
            point,
            is_over: false,
            began_at: now,
            prior,
            first_resent: None,
            resent_octets: 0,
            detects_spurious: false,
            prr: Prr { delivered: 0, out: 0, flight: flight.max(1), count: 0, window: 0 },
        }
    }

    /// Something was sent again, in a segment with that timestamp.
    pub(crate) fn resent(&mut self, start: SeqNumber, octets: u32, timestamp: u32) {
        self.resent_octets += octets;
        self.first_resent.get_or_insert((start, timestamp));
    }

    /// Something was sent.
    pub(crate) fn sent(&mut self, octets: u32) {
        self.prr.out += octets;
        self.prr.count = self.prr.count.saturating_sub(octets);
    }

    /// There is nothing more to send now.
    pub(crate) fn all_sent(&mut self) {
        self.prr.count = 0;
    }

    /// What may be in flight.
    pub(crate) fn window(&self) -> u32 {
        self.prr.window
    }

    /// RFC 9937 section 6: an acknowledgement came that delivers something. `is_safe`: it is cumulative and tells of
    /// no further loss.
    pub(crate) fn acknowledged(
        &mut self,
        delivered: u32,
        in_flight: u32,
        threshold: u32,
        mss: u32,
        is_safe: bool,
    ) {
        let prr = &mut self.prr;
        prr.delivered += delivered;
        let count = if in_flight > threshold {
            let due = u64::from(prr.delivered) * u64::from(threshold);
            (due.div_ceil(u64::from(prr.flight)) as u32).saturating_sub(prr.out)
        } else {
            // The RFC sends for each acknowledgement before it takes the next; here several may come in between.
            let mut limit = prr.delivered.saturating_sub(prr.out).max(prr.count + delivered);
            if is_safe {
                limit += mss;
            }
            limit.min(threshold - in_flight)
        };
        // "Force a fast retransmit upon entering recovery."
        prr.count = if prr.out == 0 { count.max(mss) } else { count };
        prr.window = in_flight + prr.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty segments in flight; the first is lost.
    fn episode() -> Episode {
        Episode::new(Kind::Fast, SeqNumber(20_000), 20_000, (20_000, 1 << 30), Instant::START)
    }

    #[test]
    fn rfc_9937_a_window_that_shrinks_by_three_tenths_sends_seven_for_ten() {
        let mut episode = episode();
        let (mut in_flight, mut sent) = (19_000, 0);
        for _ in 0..18 {
            in_flight -= 1_000;
            episode.acknowledged(1_000, in_flight, 14_000, 1_000, false);
            while in_flight + 1_000 <= episode.window() {
                in_flight += 1_000;
                sent += 1_000;
                episode.sent(1_000);
            }
        }
        assert!((12_000..=14_000).contains(&sent), "{sent}");
        assert!((12_000..=14_000).contains(&in_flight), "{in_flight}");
    }

    #[test]
    fn rfc_9937_acknowledgements_that_come_together_allow_what_they_do_one_by_one() {
        for batch in [1, 2, 4] {
            let mut episode = episode();
            episode.acknowledged(0, 1_000, 14_000, 1_000, false);
            episode.sent(1_000);
            let mut in_flight = 1_000;
            let mut rounds = std::vec::Vec::new();
            for _ in 0..3 {
                let mut sent = 0;
                for number in 1..=in_flight / 1_000 {
                    in_flight -= 1_000;
                    episode.acknowledged(1_000, in_flight + sent, 14_000, 1_000, true);
                    if number % batch == 0 || in_flight == 0 {
                        let more = episode.window() - in_flight - sent;
                        episode.sent(more);
                        sent += more;
                        episode.all_sent();
                    }
                }
                in_flight = sent;
                rounds.push(sent / 1_000);
            }
            assert_eq!(rounds, [2, 4, 8], "{batch} at a time");
        }
    }

    #[test]
    fn rfc_9937_what_was_not_needed_is_not_sent_later() {
        let mut episode = episode();
        episode.acknowledged(2_000, 5_000, 14_000, 1_000, true);
        assert_eq!(episode.window(), 8_000);
        episode.sent(1_000);
        episode.all_sent();
        episode.acknowledged(1_000, 5_000, 14_000, 1_000, true);
        assert_eq!(episode.window(), 8_000, "what was delivered and not replaced, and one more");
    }

    #[test]
    fn rfc_9937_below_the_threshold_it_sends_no_more_than_arrives_unless_that_is_safe() {
        let mut episode = episode();
        episode.sent(1_000);
        episode.acknowledged(2_000, 3_000, 14_000, 1_000, false);
        assert_eq!(episode.window(), 5_000);
        episode.sent(2_000);
        episode.acknowledged(1_000, 4_000, 14_000, 1_000, true);
        assert_eq!(episode.window(), 6_000);
    }

    /// Section 6, step by step: RecoverFS is 20,000, ssthresh 14,000.
    #[test]
    fn rfc_9937_6_what_may_be_sent_for_each_acknowledgement() {
        for (delivered, out, in_flight, is_safe, count) in [
            // Above the threshold: ceil(delivered * ssthresh / RecoverFS) - out.
            (1_000, 100, 18_000, false, 600),
            (1_001, 100, 18_000, false, 601),
            (1_000, 700, 18_000, false, 0),
            (1_000, 900, 18_000, true, 0),
            (2_000, 500, 14_001, true, 900),
            // Below: as much as was delivered and not replaced, or is delivered now; a segment more where that is safe.
            (2_000, 500, 14_000, false, 0),
            (2_000, 500, 10_000, false, 2_000),
            (2_000, 500, 10_000, true, 3_000),
            (2_000, 500, 13_000, true, 1_000),
            // The first is sent again at once.
            (0, 0, 19_000, false, 1_000),
            (0, 0, 13_500, false, 1_000),
            (4_000, 0, 18_000, false, 2_800),
        ] {
            let mut episode = episode();
            episode.sent(out);
            episode.acknowledged(delivered, in_flight, 14_000, 1_000, is_safe);
            let found = episode.window() - in_flight;
            assert_eq!(found, count, "{delivered} {out} {in_flight}");
            episode.sent(400);
            episode.acknowledged(0, in_flight, 1 << 30, 1_000, false);
            let rest = count.saturating_sub(400).max(delivered.saturating_sub(out + 400));
            assert_eq!(episode.window() - in_flight, rest, "{delivered} {out} {in_flight}");
        }
    }

    #[test]
    fn rfc_3522_3_the_first_that_was_sent_again_is_remembered() {
        let mut episode = episode();
        assert_eq!((episode.first_resent, episode.resent_octets), (None, 0));
        episode.resent(SeqNumber(5), 100, 77);
        episode.resent(SeqNumber(9), 30, 99);
        assert_eq!(episode.first_resent, Some((SeqNumber(5), 77)));
        assert_eq!((episode.resent_octets, episode.is_over), (130, false));
        // Nothing in flight is no reason to divide by it.
        let mut empty = Episode::new(Kind::Fast, SeqNumber(0), 0, (0, 0), Instant::START);
        empty.acknowledged(10, 20, 10, 5, false);
        assert_eq!(empty.window(), 20 + 100);
    }
}
