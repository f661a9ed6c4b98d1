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
