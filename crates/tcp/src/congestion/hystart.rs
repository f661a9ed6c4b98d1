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
}
