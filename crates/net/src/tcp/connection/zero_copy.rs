//! Zero copy: long runs of bytes that the fast path sends from where they lie.
//!
//! What an application shares stays in its memory until it is acknowledged, and goes from there to
//! the device. Nothing is needed for that but how much has left, and a congestion window that grows
//! (RFC 5681 section 3.1). At the first sign of trouble the connection gets a socket whose ring
//! takes all that is queued; that much of the rings' budget is set aside from the start.

mod output;

use crate::tcp::connection::fast_path::FastPath;
use crate::tcp::context::TcpContext;
use crate::time::Instant;
use bytes::{Buf, Bytes};

/// A run of shared bytes, behind those of the transmit buffer.
pub(crate) struct ZeroCopyQueue {
    /// From the first that is not acknowledged. Those behind `len` are not queued yet.
    bytes: Bytes,
    len: usize,
    /// Bytes of the budget of all rings that are set aside, and how many may be queued.
    reserve: usize,
}

/// Congestion window (RFC 5681): what a connection may have in flight.
#[derive(Clone, Copy)]
pub(crate) struct Congestion {
    /// Bytes; 0 before anything was sent by zero copy.
    window: usize,
    /// When it was in use last.
    used_at: Instant,
}

impl Congestion {
    pub(crate) const NEW: Self = Self { window: 0, used_at: Instant::START };
}

impl ZeroCopyQueue {
    /// Those that are queued.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The part of that length that starts `from` bytes behind the first, to be held on to.
    pub(crate) fn part(&self, from: usize, len: usize) -> Bytes {
        self.bytes.slice(from..from + len)
    }

    pub(crate) fn reserve(&self) -> usize {
        self.reserve
    }

    /// Bytes in the queue at which the application gets a turn to write more (`poll_write_shared`).
    pub(crate) fn low_water(&self) -> usize {
        self.reserve - self.reserve / 4
    }

    /// The application has more of this run than there was room for.
    fn has_more(&self) -> bool {
        self.bytes.len() > self.len
    }

    /// `bytes` are what is left of this run.
    fn goes_on_with(&self, bytes: &Bytes) -> bool {
        self.bytes.get(self.len..).is_some_and(|rest| core::ptr::eq(rest, &**bytes))
    }
}

impl FastPath {
    /// So many bytes, of the oldest, were acknowledged; some of them may be in the transmit buffer.
    #[inline(never)]
    pub(crate) fn acknowledged_zero_copy(
        &mut self,
        count: usize,
        now: Instant,
        context: &TcpContext,
    ) {
        let Some(zero_copy) = &mut self.zero_copy else { return };
        let copied = count.min(self.transmit.len());
        self.transmit.consumed(copied, context);
        zero_copy.bytes.advance(count - copied);
        zero_copy.len -= count - copied;
        let window = self.congestion.window + count;
        let window = window.min(context.limits.tx_ring_max_bytes);
        self.congestion = Congestion { window, used_at: now };
        if zero_copy.len == 0 {
            self.drop_zero_copy(context);
        }
    }

    /// Empties the queue, and gives back what was set aside for it.
    pub(crate) fn drop_zero_copy(&mut self, context: &TcpContext) {
        if let Some(zero_copy) = self.zero_copy.take() {
            context.ring_bytes.set(context.ring_bytes.get() - zero_copy.reserve);
        }
    }
}
