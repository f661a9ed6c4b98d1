//! Stateless address autoconfiguration (RFC 4862), by smoltcp's interface: what smoltcp leaves to us.

use crate::time::{self, Instant};
use core::net::Ipv6Addr;
use core::time::Duration;

/// RFC 4291 appendix A: the interface identifier from the hardware address.
pub(crate) fn link_local(own: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = own.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

/// Back-off of router solicitations. smoltcp 0.14 calls for a poll for ever when no router answers
/// them; what is overdue and fruitless is asked for ever more rarely.
#[derive(Default)]
pub(crate) struct SolicitationBackoff {
    /// Polls in a row that were due and had nothing to send.
    fruitless: u32,
}

impl SolicitationBackoff {
    pub(crate) fn reset(&mut self) {
        self.fruitless = 0;
    }

    /// When to poll an interface that wants to be polled `at`.
    pub(crate) fn next(&mut self, at: Instant, now: Duration) -> Duration {
        let now = Instant::from(now);
        if at > now + TICK {
            return at.into();
        }
        self.fruitless = (self.fruitless + 1).min(FRUITLESS_MAX);
        (now + TICK.times((1 << self.fruitless) - 1)).into()
    }
}

/// The shortest time between two polls.
const TICK: time::Duration = time::Duration::from_millis(1);
/// Fruitless polls come at last every 65 s.
const FRUITLESS_MAX: u32 = 16;
