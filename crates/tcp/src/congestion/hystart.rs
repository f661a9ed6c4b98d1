//! HyStart++: leaves slow start when round trips get longer, before there is loss (RFC 9406).

use super::{Acknowledgement, Window};
use crate::sequence::SeqNumber;
use crate::time::Duration;

/// RFC 9406 section 4.3.
const RTT_THRESHOLD_MIN: u32 = 4_000;
const RTT_THRESHOLD_MAX: u32 = 16_000;
const RTT_DIVISOR: u32 = 8;
const RTT_SAMPLES: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// Round trips in slow start; times in microseconds.
#[derive(Debug)]
pub(super) struct HyStart {
    /// The number that ends the round.
    round_end: SeqNumber,
    last_min: u32,
    current_min: u32,
    samples: u8,
    /// Conservative slow start: rounds left of it, and what the round trip was before.
    conservative: Option<u8>,
    baseline_min: u32,
}

impl HyStart {
    pub(super) fn new(next: SeqNumber) -> Self {
        Self {
            round_end: next,
            last_min: u32::MAX,
            current_min: u32::MAX,
            samples: 0,
            conservative: None,
            baseline_min: u32::MAX,
        }
    }

    /// By how much slow start grows the window for what is acknowledged; may end it, by the threshold.
    pub(super) fn growth(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) -> u32 {
        let sample = ack.delivery.rtt.map(|(_, shortest): (_, Duration)| shortest.micros() as u32);
        if let Some(sample) = sample {
            self.current_min = self.current_min.min(sample);
            self.samples = self.samples.saturating_add(1);
        }
        let is_known = self.samples >= RTT_SAMPLES && self.current_min < u32::MAX;
        match self.conservative {
            None if is_known && self.last_min < u32::MAX => {
                let threshold =
                    (self.last_min / RTT_DIVISOR).clamp(RTT_THRESHOLD_MIN, RTT_THRESHOLD_MAX);
                if self.current_min >= self.last_min + threshold {
                    self.baseline_min = self.current_min;
                    self.conservative = Some(CSS_ROUNDS);
                }
            }
            // The delay was a passing one.
            Some(_) if is_known && self.current_min < self.baseline_min => self.conservative = None,
            _ => {}
        }
        if ack.unacknowledged.is_at_or_after(self.round_end) {
            self.end_round(window, ack.next);
        }
        let count = ack.delivery.delivered;
        if self.conservative.is_some() { count / CSS_GROWTH_DIVISOR } else { count }
    }

    fn end_round(&mut self, window: &mut Window, next: SeqNumber) {
        self.round_end = next;
        (self.last_min, self.current_min, self.samples) = (self.current_min, u32::MAX, 0);
        if let Some(rounds) = self.conservative {
            self.conservative = Some(rounds - 1);
            if rounds <= 1 {
                window.threshold = window.size;
                self.conservative = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Path, congestion};
    use super::super::*;

    #[test]
    fn rfc_9406_4_2_longer_round_trips_end_slow_start() {
        let (mut congestion, mut path) = (congestion(Algorithm::Cubic), Path::new(50));
        for _ in 0..3 {
            path.round(&mut congestion, 50);
        }
        assert_eq!(congestion.size(), 80_000);
        for _ in 0..8 {
            path.round(&mut congestion, 60);
        }
        assert!(!congestion.window.is_in_slow_start());
        assert!(congestion.size() < 500_000, "{}", congestion.size());
    }

    #[test]
    fn rfc_9406_4_2_a_passing_delay_does_not() {
        let (mut congestion, mut path) = (congestion(Algorithm::Cubic), Path::new(50));
        for millis in [50, 50, 60, 50, 50] {
            path.round(&mut congestion, millis);
        }
        assert!(congestion.window.is_in_slow_start());
    }

    /// A round of so many samples of that length in milliseconds; what 1,000 bytes grow by at its end.
    fn round(
        it: &mut super::HyStart,
        window: &mut Window,
        at: u32,
        micros: u64,
        samples: u32,
    ) -> u32 {
        let rtt = Rtt::UNKNOWN;
        let mut growth = 0;
        for sample in 1..=samples {
            let time = Duration::from_micros(micros);
            let delivery = Delivery {
                acknowledged: 1_000,
                delivered: 1_000,
                rtt: Some((time.times(3), time)),
                ..Delivery::NONE
            };
            let is_last = sample == samples;
            growth = it.growth(
                window,
                &Acknowledgement {
                    now: Instant::START,
                    delivery: &delivery,
                    rtt: &rtt,
                    unacknowledged: SeqNumber(if is_last { at + 100 } else { at + 99 }),
                    next: SeqNumber(at + 200),
                    flight_before: 0,
                    in_flight: 0,
                    is_limited: true,
                    is_recovering: false,
                },
            );
        }
        growth
    }

    #[test]
    fn rfc_9406_4_3_by_how_much_a_round_trip_has_to_be_longer() {
        // An eighth, at least 4 ms and at most 16, and eight samples.
        for (before, after, samples, growth) in [
            (10_000, 13_999, 8, 1_000),
            (10_000, 14_000, 8, 250),
            (10_000, 14_000, 7, 1_000),
            (80_000, 89_999, 8, 1_000),
            (80_000, 90_000, 8, 250),
            (400_000, 415_999, 8, 1_000),
            (400_000, 416_000, 8, 250),
        ] {
            let mut it = super::HyStart::new(SeqNumber(100));
            let mut window = Window { size: 50_000, threshold: WINDOW_MAX, mss: 1_000 };
            assert_eq!(round(&mut it, &mut window, 0, before, 8), 1_000);
            let found = round(&mut it, &mut window, 100, after, samples);
            assert_eq!(found, growth, "{before} {after} {samples}");
            assert_eq!(window.threshold, WINDOW_MAX);
        }
    }

    #[test]
    fn rfc_9406_4_2_slow_start_ends_after_five_conservative_rounds() {
        let mut it = super::HyStart::new(SeqNumber(100));
        let mut window = Window { size: 50_000, threshold: WINDOW_MAX, mss: 1_000 };
        round(&mut it, &mut window, 0, 50_000, 8);
        // The round in which it is seen counts.
        for number in 1..5 {
            assert_eq!(round(&mut it, &mut window, number * 100, 60_000, 8), 250);
            assert_eq!(window.threshold, WINDOW_MAX, "{number}");
        }
        round(&mut it, &mut window, 500, 60_000, 8);
        assert_eq!(window.threshold, 50_000);
        // A round trip as long as before ends it; one as long as when it began does not.
        for (micros, growth) in [(60_000, 250), (59_999, 1_000)] {
            let mut it = super::HyStart::new(SeqNumber(100));
            let mut window = Window { size: 50_000, threshold: WINDOW_MAX, mss: 1_000 };
            round(&mut it, &mut window, 0, 50_000, 8);
            round(&mut it, &mut window, 100, 60_000, 8);
            assert_eq!(round(&mut it, &mut window, 200, micros, 8), growth);
        }
    }
}
