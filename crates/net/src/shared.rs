//! What connections, listeners and connectors share with their stack.

use crate::config::Limits;
use crate::tally::Tally;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// One interface's state that tasks reach, too.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) tally: Tally,
    /// The instant of the last phase.
    pub(crate) now: Cell<Duration>,
    /// Slots of connections that may have something to send.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Bytes of all rings.
    pub(crate) ring_bytes: Cell<usize>,
    pub(crate) connections: Cell<usize>,
    /// The shift that we announce for our windows (RFC 7323 section 2.2).
    pub(crate) window_shift: u8,
}

impl Shared {
    pub(crate) fn new(limits: Limits, now: Duration) -> Self {
        let bits = usize::BITS - limits.receive_ring_max_bytes.leading_zeros();
        Self {
            limits,
            tally: Tally::new(),
            now: Cell::new(now),
            dirty: RefCell::new(Vec::new()),
            ring_bytes: Cell::new(0),
            connections: Cell::new(0),
            window_shift: bits.saturating_sub(16).min(14) as u8,
        }
    }
}
