//! The receive window: what the peer may send (RFC 9293 section 3.8.6), opened by what it sends in a round trip.

use super::{AckState, Connection};
use crate::config::Shared;
use crate::memory::Memory;
use crate::segment::Segment;
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// How much may be in the receive buffer, and what that is derived from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    /// Bytes that the buffer may hold; grows only.
    limit: u32,
    /// The round trip as seen from here, in microseconds; 0 before it is known.
    round_trip: u32,
    /// What the application took in the last measured round trip, in bytes.
    taken: u32,
    /// Where and when the current one began.
    from: SeqNumber,
    since: Instant,
}

impl ReceiveWindow {
    pub(super) fn new(initial: u32) -> Self {
        Self {
            limit: initial,
            round_trip: 0,
            taken: initial / 4,
            from: SeqNumber(0),
            since: Instant::NEVER,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn read_at(&self) -> Option<Instant> {
        (self.since != Instant::NEVER).then_some(self.since)
    }

    /// Windows are not scaled: no more than that can be said.
    pub(super) fn limit_to(&mut self, max: u32) {
        self.limit = self.limit.min(max);
    }

    /// A round trip was seen: by a timestamp that came back, or as the time in which a window was filled.
    pub(super) fn sample(&mut self, sample: Duration) {
        let sample = sample.micros().clamp(1, u32::MAX.into()) as u32;
        self.round_trip = match self.round_trip {
            0 => sample,
            known if sample < known => sample,
            known => known - known / 8 + sample / 8,
        };
    }

    /// Looks, once in a round trip, how much was taken in it, and makes room for what a sender may send in the
    /// next one and the one after that: twice as much, and more when it gets faster.
    fn measure(&mut self, now: Instant, at: SeqNumber, segment: u32, max: u32, is_scarce: bool) {
        if self.since == Instant::NEVER {
            (self.from, self.since) = (at, now);
            return;
        }
        let (taken, elapsed) = (at.distance_from(self.from), now.since(self.since));
        if self.round_trip == 0 && taken >= self.limit {
            // Nothing else tells: a window takes a round trip at least.
            self.sample(elapsed);
        }
        if self.round_trip == 0 || elapsed.micros() < u64::from(self.round_trip) {
            return;
        }
        if taken > self.taken {
            let wanted = 2 * u64::from(taken) + 16 * u64::from(segment);
            let growth = u64::from(taken - self.taken) * wanted / u64::from(self.taken.max(1));
            let wanted = (wanted + 2 * growth.min(2 * wanted)).min(max.into()) as u32;
            if !is_scarce {
                self.limit = self.limit.max(wanted);
            }
            self.taken = taken;
        }
        (self.from, self.since) = (at, now);
    }
}

impl Connection {
    /// RCV.NXT + RCV.WND, to be told with the next segment.
    #[inline]
    pub(super) fn window_edge(&self, memory: &Memory) -> SeqNumber {
        let limit = self.receive_window.limit;
        let limit = if memory.is_scarce() { limit.min(WINDOW_SCARCE) } else { limit };
        let edge = self.receive.next + limit.saturating_sub(self.receive_buffer.len());
        // RFC 9293 section 3.8.6.2.2, receiver's silly window avoidance: the edge moves by a segment at least,
        // or by half of the buffer.
        let step = u32::from(self.receive.mss).min(limit / 2);
        let moves = edge.is_at_or_after(self.receive.advertised + step.max(1));
        if moves { edge } else { self.receive.advertised }
    }

    /// The window field of the next segment, and the edge that it says, which is remembered.
    #[inline]
    pub(super) fn advertise(&mut self, memory: &Memory) -> u16 {
        let edge = self.window_edge(memory);
        let window = edge.distance_from(self.receive.next);
        let scale = self.receive.scale;
        // RFC 7323 section 2.4: what is lost by scaling is still accepted, up to the edge that was told before.
        let field = (window >> scale).min(u16::MAX.into());
        self.receive.advertised =
            self.receive.advertised.or_later(self.receive.next + (field << scale));
        field as u16
    }

    /// The application has taken bytes: the window may grow, and the peer may have to know.
    pub(super) fn after_reading(&mut self, shared: &mut Shared, now: Instant) {
        let taken_to = self.receive.next - self.receive_buffer.len();
        let segment = u32::from(self.receive.segment);
        let max = shared.config.receive_bytes_max;
        let max = if self.features.window_scaling { max } else { max.min(u16::MAX.into()) };
        let is_scarce = shared.memory.is_scarce();
        self.receive_window.measure(now, taken_to, segment, max, is_scarce);
        if self.state.may_receive() && self.owes_window_update(&shared.memory) {
            self.pending.acknowledgement = AckState::Now;
        }
    }

    /// The peer knows of so little room, and there is so much more, that it should be told before the next
    /// acknowledgement.
    #[inline]
    fn owes_window_update(&self, memory: &Memory) -> bool {
        let known = self.receive.advertised.distance_from(self.receive.next);
        if known > self.receive_window.limit / 2 && known >= 2 * u32::from(self.receive.mss) {
            return false;
        }
        let edge = self.window_edge(memory);
        let more = edge.distance_from(self.receive.advertised);
        let segments = 2 * u32::from(self.receive.mss);
        more > 0 && (more >= self.receive_window.limit / 2 || (known < segments && more > known))
    }

    /// A data segment came: the receiver's view of the round trip.
    #[inline]
    pub(super) fn sample_receive_round_trip(&mut self, now: Instant, segment: &Segment, len: u32) {
        // Small segments wait for the application over there.
        if len < u32::from(self.receive.segment) {
            return;
        }
        if let Some(timestamps) = segment.options.timestamps
            && self.features.timestamps
        {
            let ticks = self.timestamp(now).wrapping_sub(timestamps.echo);
            if timestamps.echo != 0 && ticks < ROUND_TRIP_TICKS_MAX {
                self.receive_window.sample(Duration::from_millis(u64::from(ticks.max(1))));
            }
        } else if self.receive_window.round_trip == 0
            && let Some(known) = self.rtt.smoothed()
        {
            self.receive_window.sample(known);
        }
    }

    /// The peer's window (RFC 9293 section 3.10.7.4, fifth).
    #[inline]
    pub(super) fn set_window(&mut self, segment: &Segment, window: u32) {
        self.send.window = window;
        self.send.window_max = self.send.window_max.max(window);
        (self.send.window_seq, self.send.window_ack) = (segment.seq, segment.ack);
    }
}

/// No window is opened beyond this many bytes when memory is short.
const WINDOW_SCARCE: u32 = 16 << 10;
/// A minute.
const ROUND_TRIP_TICKS_MAX: u32 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_ahead_of_a_sender_that_doubles() {
        let mut window = ReceiveWindow::new(64 << 10);
        window.sample(Duration::from_millis(50));
        let mut at = SeqNumber(0);
        let mut now = Instant::START;
        window.measure(now, at, 1_460, 6 << 20, false);
        let mut flight = 14_600;
        for _ in 0..7 {
            at = at + flight;
            now = now + Duration::from_millis(50);
            window.measure(now, at, 1_460, 6 << 20, false);
            assert!(window.limit() >= 2 * flight, "{} for {flight}", window.limit());
            flight *= 2;
        }
        assert!(window.limit() <= 6 << 20);
    }

    #[test]
    fn a_window_that_was_filled_tells_of_the_round_trip_where_nothing_else_does() {
        let mut window = ReceiveWindow::new(10_000);
        let mut now = Instant::START;
        for round in 0..5 {
            window.measure(now, SeqNumber(round * 5_000), 1_460, 6 << 20, false);
            now = now + Duration::from_millis(25);
        }
        assert_eq!(window.round_trip, 50_000);
        assert!(window.limit() > 20_000, "{}", window.limit());
    }

    #[test]
    fn a_steady_sender_gets_twice_its_flight_and_not_more() {
        let mut window = ReceiveWindow::new(64 << 10);
        window.sample(Duration::from_millis(50));
        let mut now = Instant::START;
        for round in 0..100 {
            window.measure(now, SeqNumber(round * 100_000), 1_460, 6 << 20, false);
            now = now + Duration::from_millis(50);
        }
        assert!((200_000..1_500_000).contains(&window.limit()), "{}", window.limit());
    }

    #[test]
    fn a_round_trip_is_the_least_seen_and_follows_slowly_where_it_gets_longer() {
        let mut window = ReceiveWindow::new(64 << 10);
        for (micros, round_trip) in [
            (80_000, 80_000),
            (88_000, 81_000),
            (8_000, 8_000),
            (16_000, 9_000),
            (9_000, 9_000),
            (0, 1),
        ] {
            window.sample(Duration::from_micros(micros));
            assert_eq!(window.round_trip, round_trip, "{micros}");
        }
    }

    /// In a round trip of 50 ms the application takes so much; 16,384 bytes were taken in the one before.
    #[test]
    fn the_limit_is_twice_what_was_taken_and_more_while_it_grows() {
        for (taken, millis, max, is_scarce, limit, counts) in [
            (16_384, 50, 6 << 20, false, 65_536, 16_384),
            (40_000, 49, 6 << 20, false, 65_536, 16_384),
            // 2 * 20,000 + 16 * 1,000 = 56,000, and twice the part of it by which it has grown: 12,359.
            (20_000, 50, 6 << 20, false, 80_718, 20_000),
            // At most four times as much again.
            (100_000, 50, 6 << 20, false, 1_080_000, 100_000),
            (100_000, 50, 500_000, false, 500_000, 100_000),
            (100_000, 50, 6 << 20, true, 65_536, 100_000),
        ] {
            let mut window = ReceiveWindow::new(64 << 10);
            window.sample(Duration::from_millis(50));
            assert_eq!(window.read_at(), None);
            window.measure(Instant::START, SeqNumber(5), 1_000, max, is_scarce);
            let now = Instant::START + Duration::from_millis(millis);
            window.measure(now, SeqNumber(5 + taken), 1_000, max, is_scarce);
            assert_eq!((window.limit(), window.taken), (limit, counts), "{taken} {millis}");
            let since = if millis < 50 { Instant::START } else { now };
            assert_eq!(window.read_at(), Some(since));
        }
        // As much as before, in segments of any size, is no reason for more.
        for (taken, limit) in [(16_384, 65_536), (16_385, 176_790)] {
            let mut window = ReceiveWindow::new(64 << 10);
            window.sample(Duration::from_millis(50));
            window.measure(Instant::START, SeqNumber(0), 9_000, 6 << 20, false);
            let now = Instant::START + Duration::from_millis(50);
            window.measure(now, SeqNumber(taken), 9_000, 6 << 20, false);
            assert_eq!(window.limit(), limit, "{taken}");
        }
        let mut window = ReceiveWindow::new(64 << 10);
        window.limit_to(65_535);
        window.limit_to(70_000);
        assert_eq!(window.limit(), 65_535);
    }

    #[test]
    fn only_a_window_that_was_filled_is_taken_for_a_round_trip() {
        for (taken, round_trip) in [(9_999, 0), (10_000, 70_000)] {
            let mut window = ReceiveWindow::new(10_000);
            window.measure(Instant::START, SeqNumber(0), 1_000, 6 << 20, false);
            let now = Instant::START + Duration::from_millis(70);
            window.measure(now, SeqNumber(taken), 1_000, 6 << 20, false);
            assert_eq!(window.round_trip, round_trip, "{taken}");
        }
    }
}
