//! RACK: a segment is lost if one that was sent enough later has arrived (RFC 8985 section 6).

use crate::rtt::Rtt;
use crate::scoreboard::{Latest, Scoreboard};
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// The state of RFC 8985 section 5.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the latest transmission that arrived.
    sent_at: Instant,
    end: SeqNumber,
    /// RACK.rtt in microseconds.
    round_trip: u32,
    /// RACK.dsack_round.
    round_end: SeqNumber,
    had_duplicate: bool,
    /// RACK.reo_wnd_mult and RACK.reo_wnd_persist.
    multiplier: u8,
    persist: u8,
    /// RACK.reordering_seen.
    pub(crate) is_reordering_seen: bool,
}

/// Recoveries after which reordering without duplicates is believed to be over.
const PERSIST: u8 = 16;

impl Rack {
    pub(crate) const NEW: Self = Self {
        sent_at: Instant::START,
        end: SeqNumber(0),
        round_trip: 0,
        round_end: SeqNumber(0),
        had_duplicate: false,
        multiplier: 1,
        persist: PERSIST,
        is_reordering_seen: false,
    };

    /// Step 2. `is_echo_older`: the acknowledgement was caused by something sent before the retransmission.
    pub(crate) fn update(&mut self, latest: &Latest, rtt: &Rtt, is_echo_older: bool, now: Instant) {
        let round_trip = now.since(latest.sent_at);
        if latest.is_retransmission
            && (is_echo_older || rtt.min().is_some_and(|min| round_trip < min))
        {
            return;
        }
        self.round_trip = round_trip.micros().min(u32::MAX.into()) as u32;
        if latest.sent_at > self.sent_at
            || (latest.sent_at == self.sent_at && latest.end.is_after(self.end))
        {
            (self.sent_at, self.end) = (latest.sent_at, latest.end);
        }
    }

    /// Everything has arrived; the last of it was sent then.
    #[inline]
    pub(crate) fn arrived(&mut self, sent_at: Instant, end: SeqNumber, round_trip: Duration) {
        self.round_trip = round_trip.micros().min(u32::MAX.into()) as u32;
        (self.sent_at, self.end) = (sent_at, end);
    }

    /// The latest transmission that arrived.
    pub(crate) fn latest(&self) -> (Instant, SeqNumber) {
        (self.sent_at, self.end)
    }

    pub(crate) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.round_trip.into())
    }

    /// Step 4: the time that segments may overtake each other by.
    pub(crate) fn window(
        &self,
        board: &Scoreboard,
        rtt: &Rtt,
        mss: u32,
        is_recovering: bool,
    ) -> Duration {
        // DupThresh segments are above the gap.
        if !self.is_reordering_seen && (is_recovering || board.sacked() > 2 * mss) {
            return Duration::ZERO;
        }
        let quarter = rtt.min().unwrap_or_default().divided(4);
        quarter.times(self.multiplier.into()).min(rtt.smoothed().unwrap_or_default())
    }

    /// The peer had something twice: the window was too small. Once in a round trip.
    pub(crate) fn widen(&mut self, unacknowledged: SeqNumber, next: SeqNumber) {
        if !self.had_duplicate || unacknowledged.is_at_or_after(self.round_end) {
            self.multiplier = self.multiplier.saturating_add(1);
            self.persist = PERSIST;
            (self.round_end, self.had_duplicate) = (next, true);
        }
    }

    /// A recovery is over.
    pub(crate) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.multiplier = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtt() -> Rtt {
        let mut rtt = Rtt::UNKNOWN;
        let sample = Duration::from_millis(40);
        rtt.sample(Instant::START, sample, sample);
        rtt
    }

    #[test]
    fn rfc_8985_6_2_4_the_window_is_none_until_reordering_is_seen_and_then_grows_with_duplicates() {
        let (mut rack, board, rtt) = (Rack::NEW, Scoreboard::new(SeqNumber(0)), rtt());
        assert_eq!(rack.window(&board, &rtt, 1_000, true), Duration::ZERO);
        assert_eq!(rack.window(&board, &rtt, 1_000, false), Duration::from_millis(10));
        rack.is_reordering_seen = true;
        assert_eq!(rack.window(&board, &rtt, 1_000, true), Duration::from_millis(10));
        rack.widen(SeqNumber(0), SeqNumber(9));
        rack.widen(SeqNumber(5), SeqNumber(12));
        assert_eq!(rack.window(&board, &rtt, 1_000, true), Duration::from_millis(20));
        for _ in 0..5 {
            let end = rack.round_end;
            rack.widen(end, end + 9);
        }
        assert_eq!(rack.window(&board, &rtt, 1_000, true), Duration::from_millis(40));
        for _ in 0..PERSIST {
            rack.recovered();
        }
        assert_eq!(rack.window(&board, &rtt, 1_000, true), Duration::from_millis(10));
    }

    #[test]
    fn rfc_8985_6_2_2_a_retransmission_that_came_too_fast_is_the_original() {
        let mut rack = Rack::NEW;
        let latest = Latest {
            sent_at: Instant::from_micros(100_000),
            end: SeqNumber(9),
            is_retransmission: true,
            stamp: crate::scoreboard::Stamp::default(),
        };
        rack.update(&latest, &rtt(), false, Instant::from_micros(110_000));
        assert_eq!(rack.latest().0, Instant::START);
        rack.update(&latest, &rtt(), true, Instant::from_micros(150_000));
        assert_eq!(rack.latest().0, Instant::START);
        rack.update(&latest, &rtt(), false, Instant::from_micros(150_000));
        assert_eq!(rack.latest(), (latest.sent_at, SeqNumber(9)));
    }

    #[test]
    fn rfc_8985_6_2_the_latest_transmission_counts() {
        let at = Instant::from_micros;
        let mut rack = Rack::NEW;
        for (sent_at, end, now, latest, round_trip) in [
            (100, 9, 300, (100, 9), 200),
            (90, 20, 340, (100, 9), 250),
            (100, 8, 350, (100, 9), 250),
            (100, 10, 350, (100, 10), 250),
            (101, 3, 301, (101, 3), 200),
        ] {
            let heard = Latest {
                sent_at: at(sent_at),
                end: SeqNumber(end),
                is_retransmission: false,
                stamp: crate::scoreboard::Stamp::default(),
            };
            // Of an original it does not matter what the timestamps say.
            rack.update(&heard, &rtt(), true, at(now));
            assert_eq!(rack.latest(), (at(latest.0), SeqNumber(latest.1)), "{sent_at} {end}");
            assert_eq!(rack.round_trip().micros(), round_trip, "{sent_at} {end}");
        }
        for (round_trip, counts) in [(39_999, false), (40_000, true)] {
            let mut rack = Rack::NEW;
            let heard = Latest {
                sent_at: at(100),
                end: SeqNumber(9),
                is_retransmission: true,
                stamp: crate::scoreboard::Stamp::default(),
            };
            rack.update(&heard, &rtt(), false, at(100 + round_trip));
            assert_eq!(rack.latest().0 == at(100), counts, "{round_trip}");
        }
    }

    #[test]
    fn rfc_8985_6_2_4_three_segments_above_a_gap_are_enough() {
        for (sacked, micros) in [(2_000, 10_000), (2_001, 0)] {
            let mut board = Scoreboard::new(SeqNumber(0));
            board.sent(SeqNumber(0), 9_000, Instant::START, crate::scoreboard::Stamp::default());
            let (start, end) = (SeqNumber(1_000), SeqNumber(1_000 + sacked));
            let block = crate::options::SackBlock { start, end };
            let mut delivery = crate::scoreboard::Delivery::NONE;
            board.sack(block, Instant::START, &mut delivery);
            let window = Rack::NEW.window(&board, &rtt(), 1_000, false);
            assert_eq!(window.micros(), micros, "{sacked}");
            let seen = Rack { is_reordering_seen: true, ..Rack::NEW };
            assert_eq!(seen.window(&board, &rtt(), 1_000, true).micros(), 10_000);
        }
        // Sixteen recoveries without a duplicate, counted from the last one.
        let mut rack = Rack { is_reordering_seen: true, ..Rack::NEW };
        let board = Scoreboard::new(SeqNumber(0));
        rack.widen(SeqNumber(0), SeqNumber(9));
        for (recoveries, micros) in [(15, 20_000), (1, 10_000)] {
            (0..recoveries).for_each(|_| rack.recovered());
            assert_eq!(rack.window(&board, &rtt(), 1_000, false).micros(), micros);
        }
        // Once in a round trip: from where it ends on.
        rack.widen(SeqNumber(8), SeqNumber(20));
        assert_eq!(rack.window(&board, &rtt(), 1_000, false).micros(), 10_000);
        rack.widen(SeqNumber(9), SeqNumber(20));
        assert_eq!(rack.window(&board, &rtt(), 1_000, false).micros(), 20_000);
    }
}
