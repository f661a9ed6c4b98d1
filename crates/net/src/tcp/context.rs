//! TCP's context: what connections, listeners and connectors share with their stack.

use crate::config::Limits;
use crate::counters::Counters;
use crate::tcp::connection::buffer_pool::BufferPool;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// One interface's state that tasks reach, too.
pub(crate) struct TcpContext {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Counters,
    /// The instant of the last phase.
    pub(crate) now: Cell<Instant>,
    /// Slots of connections that may have something to send.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Bytes of all rings.
    pub(crate) ring_bytes: Cell<usize>,
    /// Memory for the next bytes on fast paths.
    pub(crate) buffer_pool: BufferPool,
    /// The largest payload that the device takes at once, in bytes; 0 when it does no segmentation.
    pub(crate) offload_bytes: usize,
    /// The shift that we announce for our windows (RFC 7323 section 2.2).
    pub(crate) window_shift: u8,
}

/// The limits that are compared for every packet.
pub(crate) struct Timeouts {
    pub(crate) user_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) orphan: Duration,
    pub(crate) ring_idle: Duration,
    pub(crate) acknowledge: Duration,
}

impl TcpContext {
    pub(crate) fn new(limits: Limits, offload_bytes: usize, now: Instant) -> Self {
        let bits = usize::BITS - limits.rx_ring_max_bytes.leading_zeros();
        let timeouts = Timeouts {
            user_timeout: Duration::new(limits.user_timeout),
            keep_alive: limits.keep_alive.map_or(Duration::MAX, Duration::new),
            orphan: Duration::new(limits.orphan_timeout),
            ring_idle: Duration::new(limits.ring_idle),
            acknowledge: Duration::new(limits.acknowledge),
        };
        Self {
            limits,
            timeouts,
            counters: Counters::new(),
            now: Cell::new(now),
            dirty: RefCell::new(Vec::new()),
            ring_bytes: Cell::new(0),
            buffer_pool: BufferPool::default(),
            offload_bytes,
            window_shift: bits.saturating_sub(16).min(14) as u8,
        }
    }
}
