//! What connections, listeners and connectors share with their stack.

use crate::config::Limits;
use crate::counters::Tally;
use crate::tcp::connection::pooled_buffer::Spares;
use crate::time::{Moment, Span};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// One interface's state that tasks reach, too.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) spans: Spans,
    pub(crate) tally: Tally,
    /// The instant of the last phase.
    pub(crate) now: Cell<Moment>,
    /// Slots of connections that may have something to send.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Bytes of all rings.
    pub(crate) ring_bytes: Cell<usize>,
    /// Memory for the next bytes of calm connections.
    pub(crate) spares: Spares,
    /// The largest payload that the device takes at once, in bytes; 0 when it does no segmentation.
    pub(crate) offload_bytes: usize,
    /// The shift that we announce for our windows (RFC 7323 section 2.2).
    pub(crate) window_shift: u8,
}

/// The limits that are compared for every packet.
pub(crate) struct Spans {
    pub(crate) user_timeout: Span,
    pub(crate) keep_alive: Span,
    pub(crate) orphan: Span,
    pub(crate) ring_idle: Span,
    pub(crate) acknowledge: Span,
}

impl Shared {
    pub(crate) fn new(limits: Limits, offload_bytes: usize, now: Moment) -> Self {
        let bits = usize::BITS - limits.rx_ring_max_bytes.leading_zeros();
        let spans = Spans {
            user_timeout: Span::new(limits.user_timeout),
            keep_alive: limits.keep_alive.map_or(Span::ENDLESS, Span::new),
            orphan: Span::new(limits.orphan_timeout),
            ring_idle: Span::new(limits.ring_idle),
            acknowledge: Span::new(limits.acknowledge),
        };
        Self {
            limits,
            spans,
            tally: Tally::new(),
            now: Cell::new(now),
            dirty: RefCell::new(Vec::new()),
            ring_bytes: Cell::new(0),
            spares: Spares::default(),
            offload_bytes,
            window_shift: bits.saturating_sub(16).min(14) as u8,
        }
    }
}
