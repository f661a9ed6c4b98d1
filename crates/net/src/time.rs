//! Time inside this crate: the TCP engine's, microseconds in one word.

pub(crate) use ::tcp::{Duration, Instant};

use smoltcp::time::Instant as SmoltcpInstant;

/// smoltcp's form of an instant.
pub(crate) fn to_smoltcp(at: Instant) -> SmoltcpInstant {
    SmoltcpInstant::from_micros(at.micros() as i64)
}

/// An instant in smoltcp's form.
pub(crate) fn from_smoltcp(at: SmoltcpInstant) -> Instant {
    Instant::from_micros(at.total_micros().max(0) as u64)
}
