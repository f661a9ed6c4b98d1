//! Allowance: so many bytes a second, in ticks, for those who read or write slowly.

use core::time::Duration;

/// How often there is some of it.
const TICK: Duration = Duration::from_millis(100);

/// Bytes that may move.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// 0: as many as there are.
    bytes_per_second: u32,
    left: usize,
    /// None while there is some left.
    refilled_at: Option<Duration>,
}

impl Allowance {
    pub(crate) fn new(bytes_per_second: u32) -> Self {
        Self { bytes_per_second, left: Self::of_a_tick(bytes_per_second), refilled_at: None }
    }

    /// At least one byte, or a slow peer would be a dead one.
    fn of_a_tick(bytes_per_second: u32) -> usize {
        let ticks = 1000 / TICK.as_millis() as u32;
        bytes_per_second.div_ceil(ticks) as usize
    }

    /// Time has come.
    pub(crate) fn advance(&mut self, now: Duration) {
        if self.refilled_at.is_some_and(|at| at <= now) {
            self.left = Self::of_a_tick(self.bytes_per_second);
            self.refilled_at = None;
        }
    }

    /// Whether something may move.
    pub(crate) fn has_some(&self) -> bool {
        self.refilled_at.is_none()
    }

    /// Of so many bytes, those that may move now.
    pub(crate) fn part_of(&self, bytes: usize) -> usize {
        if self.bytes_per_second == 0 { bytes } else { bytes.min(self.left) }
    }

    /// So many moved.
    pub(crate) fn take(&mut self, now: Duration, bytes: usize) {
        if self.bytes_per_second == 0 {
            return;
        }
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            self.refilled_at = Some(now + TICK);
        }
    }

    /// When there is some again.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.refilled_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_move_at_their_rate() {
        for (rate, expected) in [(1000, 1000), (15, 20), (1, 10)] {
            let (mut allowance, mut moved) = (Allowance::new(rate), 0);
            for millis in 0..1000 {
                let now = Duration::from_millis(millis);
                allowance.advance(now);
                if allowance.has_some() {
                    let part = allowance.part_of(1 << 20);
                    allowance.take(now, part);
                    moved += part;
                }
            }
            assert_eq!(moved, expected, "{rate}");
        }
        let mut unlimited = Allowance::new(0);
        unlimited.take(Duration::ZERO, 1 << 30);
        assert!(unlimited.has_some() && unlimited.part_of(7) == 7);
        assert_eq!(unlimited.next_deadline(), None);
    }
}
