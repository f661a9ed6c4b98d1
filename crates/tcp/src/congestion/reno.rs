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
}
