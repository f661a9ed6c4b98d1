//! Rate limit: so many events per second, as for resets and errors.

use core::time::Duration;

/// So many events per second, and no more.
pub(crate) struct RateLimit {
    per_second: u32,
    second: u64,
    left: u32,
}

impl RateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, second: 0, left: per_second }
    }

    pub(crate) fn take(&mut self, now: Duration) -> bool {
        if now.as_secs() != self.second {
            (self.second, self.left) = (now.as_secs(), self.per_second);
        }
        let allowed = self.left > 0;
        self.left -= u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_each_second_and_what_is_left_is_not_kept_for_the_next() {
        let mut limit = RateLimit::new(3);
        let mut taken =
            |millis| (0..5).filter(|_| limit.take(Duration::from_millis(millis))).count();
        assert_eq!([0, 999, 1_000, 1_999, 5_000].map(&mut taken), [3, 0, 3, 0, 3]);
        assert!(limit.take(Duration::from_secs(6)));
        let mut taken =
            |millis| (0..5).filter(|_| limit.take(Duration::from_millis(millis))).count();
        assert_eq!([6_500, 7_000].map(&mut taken), [2, 3]);
        assert!(!RateLimit::new(0).take(Duration::from_secs(9)), "none at all");
    }
}
