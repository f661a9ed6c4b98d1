//! Long runs of bytes that a calm connection sends from where they lie.
//!
//! What an application lends stays in its memory until it is acknowledged, and goes from there to
//! the device. Nothing is needed for that but how much has left, and a congestion window that grows
//! (RFC 5681 section 3.1). At the first sign of trouble the connection gets a socket whose ring
//! takes all that is lent; that much of the rings' budget is set aside from the start.

use crate::config::CongestionControl;
use crate::device::Transmit;
use crate::tcp::connection::buffers;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::fast_path::FastPath;
use crate::tcp::connection::output::Path;
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::TcpContext;
use crate::time::Instant;
use bytes::{Buf, Bytes};

/// A run of bytes on loan, behind those of the transmit basin.
pub(crate) struct ZeroCopyQueue {
    /// From the first that is not acknowledged. Those behind `len` are not lent yet.
    bytes: Bytes,
    len: usize,
    /// Bytes of the budget of all rings that are set aside, and how many may be queued.
    reserve: usize,
}

/// What a connection may have on its way.
#[derive(Clone, Copy)]
pub(crate) struct Congestion {
    /// Bytes; 0 before anything was lent.
    window: usize,
    /// When it was in use last.
    used_at: Instant,
}

impl Congestion {
    pub(crate) const NEW: Self = Self { window: 0, used_at: Instant::START };
}

impl ZeroCopyQueue {
    /// Those that the application has lent.
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

    /// Bytes in the queue at which the application gets a turn to lend more.
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
    /// So many bytes, of the oldest, were acknowledged; some of them may be in the basin.
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

    /// Gives up what was lent, and what was set aside for it.
    pub(crate) fn drop_zero_copy(&mut self, context: &TcpContext) {
        if let Some(zero_copy) = self.zero_copy.take() {
            context.ring_bytes.set(context.ring_bytes.get() - zero_copy.reserve);
        }
    }
}

impl Tcb {
    /// Takes what it can off the front of `bytes`, and says how much: nothing while the queue is
    /// full. `None` when the connection has to copy instead.
    pub(crate) fn queue_zero_copy(
        &mut self,
        bytes: &mut Bytes,
        context: &TcpContext,
    ) -> Option<usize> {
        let (now, timeout, initial) =
            (context.now.get(), self.timeout(), self.initial_window(context));
        let Engine::FastPath(fast) = &mut self.engine else { return None };
        if fast.zero_copy.is_none() {
            let reserve = buffers::affordable_transmit(context);
            if reserve < RESERVE_MIN {
                return None;
            }
            // RFC 5681 section 4.1: a pause is a new beginning.
            let Congestion { window, used_at } = fast.congestion;
            let is_stale = now >= used_at + timeout;
            let window = if is_stale { initial } else { window.max(initial) };
            fast.congestion = Congestion { window, used_at: now };
            context.ring_bytes.set(context.ring_bytes.get() + reserve);
            fast.zero_copy = Some(ZeroCopyQueue { bytes: bytes.clone(), len: 0, reserve }.into());
        }
        let zero_copy = fast.zero_copy.as_mut().filter(|zero_copy| zero_copy.goes_on_with(bytes));
        let Some(zero_copy) = zero_copy else { return Some(0) };
        let count = bytes.len().min(zero_copy.reserve.saturating_sub(fast.queued));
        zero_copy.len += count;
        fast.queued += count;
        bytes.advance(count);
        Some(count)
    }

    /// Sends of a queue with lent bytes what the peer and the network take now. False when the
    /// device was full, `None` when that needs a socket.
    pub(crate) fn send_zero_copy(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        let header_len = self.template.tuple.ip_header_len() + 20;
        let offload = path.segment_bytes(&self.template.tuple).saturating_sub(header_len);
        loop {
            let Engine::FastPath(fast) = &self.engine else { return Some(true) };
            let mss = self.segment_max();
            let has_more = fast.zero_copy.as_ref().is_some_and(|zero_copy| zero_copy.has_more());
            let next = Next {
                unsent: fast.queued - fast.sent,
                in_flight: fast.sent,
                window: fast.congestion.window.min(self.snd_wnd as usize),
                mss,
                part_max: (offload - offload % mss).max(mss),
                more_follows: has_more && !self.finished,
            };
            match next.part() {
                Part::Stuck => return None,
                Part::None if !self.owes_end() => return Some(true),
                Part::None => return Some(self.send_part(0, connection, path, output)),
                Part::Bytes(part) => {
                    if !self.send_part(part, connection, path, output) {
                        return Some(false);
                    }
                }
            }
        }
    }

    /// RFC 6928 section 2; all that can be queued, where nothing controls congestion.
    fn initial_window(&self, context: &TcpContext) -> usize {
        if context.limits.congestion_control == CongestionControl::Off {
            return context.limits.tx_ring_max_bytes;
        }
        let mss = self.segment_max();
        (10 * mss).min(WINDOW_INITIAL.max(2 * mss))
    }
}

/// RFC 6928 section 2.
const WINDOW_INITIAL: usize = 14_600;
/// With less of the budget left, copying what there is room for is as good.
const RESERVE_MIN: usize = 16 << 10;

/// What decides how long the next segment is, in bytes.
#[derive(Clone, Copy)]
struct Next {
    unsent: usize,
    in_flight: usize,
    /// The smaller of the peer's and the network's.
    window: usize,
    /// What the peer takes in a segment, and how much the device cuts into such ones, which is
    /// several times that or once.
    mss: usize,
    part_max: usize,
    /// The application is about to lend more.
    more_follows: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Bytes(usize),
    /// Nothing, before something is acknowledged or lent.
    None,
    /// The window is too small, and no acknowledgement is to come that would widen it.
    Stuck,
}

impl Next {
    /// RFC 9293 section 3.8.6.2.1: whole segments but at the end; and many of them at once, since
    /// the acknowledgements of those in flight make room for more.
    fn part(&self) -> Part {
        let part = self.unsent.min(self.part_max).min(self.window.saturating_sub(self.in_flight));
        let is_alone = self.in_flight == 0;
        if part == self.unsent && (is_alone || !self.more_follows) {
            return if part > 0 { Part::Bytes(part) } else { Part::None };
        }
        let whole = part - part % self.mss;
        let worthwhile = self.part_max.min(self.window / WINDOW_PARTS);
        match whole {
            0 if is_alone => Part::Stuck,
            0 => Part::None,
            _ if is_alone || whole >= worthwhile - worthwhile % self.mss => Part::Bytes(whole),
            _ => Part::None,
        }
    }
}

/// The part of a window that is worth a segment: as Linux has it, so that acknowledgements keep
/// coming.
const WINDOW_PARTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Next = Next {
        unsent: 250_000,
        in_flight: 0,
        window: 256_000,
        mss: 1_000,
        part_max: 64_000,
        more_follows: false,
    };

    #[test]
    fn rfc_9293_segments_are_as_long_as_can_be() {
        assert_eq!(PLENTY.part(), Part::Bytes(64_000));
        let one_by_one = Next { part_max: 1_000, ..PLENTY };
        assert_eq!(one_by_one.part(), Part::Bytes(1_000));
        let narrow = Next { window: 14_600, ..PLENTY };
        assert_eq!(narrow.part(), Part::Bytes(14_000));
        let crumb = Next { in_flight: 255_500, ..PLENTY };
        assert_eq!(crumb.part(), Part::None);
        let few = Next { in_flight: 250_000, ..PLENTY };
        assert_eq!(few.part(), Part::None);
        let many = Next { in_flight: 192_000, ..PLENTY };
        assert_eq!(many.part(), Part::Bytes(64_000));
    }

    #[test]
    fn the_end_leaves_at_once_unless_more_follows() {
        let end = Next { unsent: 70, in_flight: 64_000, ..PLENTY };
        assert_eq!(end.part(), Part::Bytes(70));
        assert_eq!(Next { more_follows: true, ..end }.part(), Part::None);
        assert_eq!(Next { more_follows: true, in_flight: 0, ..end }.part(), Part::Bytes(70));
        assert_eq!(Next { unsent: 0, ..end }.part(), Part::None);
    }

    #[test]
    fn a_window_below_a_segment_is_a_sockets_business() {
        assert_eq!(Next { window: 0, ..PLENTY }.part(), Part::Stuck);
        assert_eq!(Next { window: 999, ..PLENTY }.part(), Part::Stuck);
        assert_eq!(Next { window: 999, unsent: 900, ..PLENTY }.part(), Part::Bytes(900));
        assert_eq!(Next { window: 0, in_flight: 9, ..PLENTY }.part(), Part::None);
    }
}
