//! Reno: additive increase, multiplicative decrease (RFC 5681), by bytes (RFC 3465).

use super::{Acknowledgement, Controller, Window};
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Reno {
    /// RFC 3465 section 2.1: bytes acknowledged since the window grew.
    acknowledged: u32,
}

impl Controller for Reno {
    fn on_acknowledgement(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        let mut count = ack.delivery.delivered;
        if window.is_in_slow_start() {
            count = window.grow_exponentially(count);
        }
        self.acknowledged = self.acknowledged.saturating_add(count);
        while self.acknowledged >= window.size {
            self.acknowledged -= window.size;
            window.grow(window.mss);
        }
    }

    /// RFC 5681 section 3.1, equation 4.
    fn on_congestion(&mut self, window: &mut Window, _: Instant) {
        window.threshold = (window.size / 2).max(2 * window.mss);
        self.acknowledged = 0;
    }

    fn on_undo(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Path, congestion};
    use super::super::*;

    #[test]
    fn rfc_5681_3_1_slow_start_doubles_and_avoidance_adds_a_segment() {
        let (mut congestion, mut path) = (congestion(Algorithm::Reno), Path::new(50));
        path.round(&mut congestion, 50);
        assert_eq!(congestion.size(), 20_000);
        congestion.on_congestion(path.now, path.next);
        congestion.on_recovered();
        assert_eq!(congestion.size(), 10_000);
        for _ in 0..10 {
            path.round(&mut congestion, 50);
        }
        assert!((19_000..=21_000).contains(&congestion.size()), "{}", congestion.size());
    }

    #[test]
    fn rfc_5681_3_1_a_segment_for_each_window_and_no_less_than_two_segments() {
        let mut reno = Reno::default();
        let path = Path::new(50);
        for (size, threshold) in [(20_000, 10_000), (4_001, 2_000), (3_999, 2_000), (1_000, 2_000)]
        {
            let mut window = Window { size, threshold: 1 << 30, mss: 1_000 };
            reno.on_congestion(&mut window, path.now);
            assert_eq!((window.size, window.threshold), (size, threshold));
        }
        let mut window = Window { size: 9_000, threshold: 10_000, mss: 1_000 };
        for (count, size) in [
            // Up to the threshold by what is acknowledged; the rest counts for what comes then.
            (400, 9_400),
            (1_000, 10_000),
            (9_599, 10_000),
            (1, 11_000),
            (10_999, 11_000),
            (1, 12_000),
            // Two windows at once.
            (25_000, 14_000),
        ] {
            let delivery = Delivery { acknowledged: count, delivered: count, ..Delivery::NONE };
            reno.on_acknowledgement(&mut window, &path.acknowledgement(&delivery));
            assert_eq!(window.size, size, "{count}");
        }
    }
}
