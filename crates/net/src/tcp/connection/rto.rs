//! Retransmission timer (RFC 6298): timeout, back-off, and the state of loss recovery.

use crate::time::{Duration, Instant};

/// When to send again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetransmissionTimer {
    /// The next time, while something is unacknowledged.
    pub(crate) at: Instant,
    pub(crate) recovery: Recovery,
    /// Timeouts since the last progress.
    pub(crate) backoffs: u8,
    /// Selective acknowledgements without progress.
    pub(crate) duplicates: u8,
}

/// Where a connection stands in the repair of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing is known to be lost.
    Idle,
    /// A segment was sent again; others before this number may be lost, too.
    Segment(u32),
    /// The timeout has passed: smoltcp sends everything before this number again.
    Timeout(u32),
}

impl RetransmissionTimer {
    pub(crate) const STOPPED: Self =
        Self { at: Instant::NEVER, recovery: Recovery::Idle, backoffs: 0, duplicates: 0 };

    /// The timeout, with twice the round trip for its variance.
    pub(crate) fn timeout(&self, srtt: Option<Duration>, window_is_closed: bool) -> Duration {
        let once = srtt.map_or(Duration::SECOND, |srtt| Duration::plus(srtt.times(2), TIMEOUT_MIN));
        let longest = if window_is_closed { PROBE_MAX } else { TIMEOUT_MAX };
        once.times(1 << self.backoffs).min(longest)
    }
}

/// RFC 6298 section 2.4 says a second; what everybody runs says this, which covers the 40 to 200 ms
/// for which acknowledgements are delayed.
const TIMEOUT_MIN: Duration = Duration::TICK.times(200);
/// RFC 6298 section 2.5.
const TIMEOUT_MAX: Duration = Duration::SECOND.times(60);
/// Between questions to a closed window: its owner must be heard often enough not to be given up.
const PROBE_MAX: Duration = Duration::SECOND.times(10);
