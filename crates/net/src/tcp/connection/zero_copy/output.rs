//! Zero copy, segments out: how long the next one is, and when it leaves.

use super::{Congestion, ZeroCopyQueue};
use crate::config::CongestionControl;
use crate::device::Transmit;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::TcpContext;
use bytes::{Buf, Bytes};

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
            let reserve = context.affordable_transmit();
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

    /// Sends of the zero-copy queue what the peer and the network take now. False when the
    /// device was full, `None` when that needs a socket.
    pub(crate) fn send_zero_copy(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        let header_len = self.template.tuple.ip_header_len() + 20;
        let offload = lower.segment_bytes(&self.template.tuple).saturating_sub(header_len);
        loop {
            let Engine::FastPath(fast) = &self.engine else { return Some(true) };
            let mss = self.segment_max();
            let has_more = fast.zero_copy.as_ref().is_some_and(|zero_copy| zero_copy.has_more());
            let next = NextSegment {
                unsent: fast.queued - fast.sent,
                in_flight: fast.sent,
                window: fast.congestion.window.min(self.snd_wnd as usize),
                mss,
                part_max: (offload - offload % mss).max(mss),
                more_follows: has_more && !self.finished,
            };
            match next.part() {
                SegmentLength::Stuck => return None,
                SegmentLength::None if !self.owes_end() => return Some(true),
                SegmentLength::None => return Some(self.send_part(0, connection, lower, output)),
                SegmentLength::Bytes(part) => {
                    if !self.send_part(part, connection, lower, output) {
                        return Some(false);
                    }
                }
            }
        }
    }

    /// RFC 6928 section 2; all that can be queued, where nothing controls congestion.
    pub(crate) fn initial_window(&self, context: &TcpContext) -> usize {
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
struct NextSegment {
    unsent: usize,
    in_flight: usize,
    /// The smaller of the peer's and the network's.
    window: usize,
    /// What the peer takes in a segment, and how much the device cuts into such ones, which is
    /// several times that or once.
    mss: usize,
    part_max: usize,
    /// The application is about to share more.
    more_follows: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum SegmentLength {
    Bytes(usize),
    /// Nothing, before something is acknowledged or queued.
    None,
    /// The window is too small, and no acknowledgement is to come that would widen it.
    Stuck,
}

impl NextSegment {
    /// RFC 9293 section 3.8.6.2.1: whole segments but at the end; and many of them at once, since
    /// the acknowledgements of those in flight make room for more.
    fn part(&self) -> SegmentLength {
        let part = self.unsent.min(self.part_max).min(self.window.saturating_sub(self.in_flight));
        let is_alone = self.in_flight == 0;
        if part == self.unsent && (is_alone || !self.more_follows) {
            return if part > 0 { SegmentLength::Bytes(part) } else { SegmentLength::None };
        }
        let whole = part - part % self.mss;
        let worthwhile = self.part_max.min(self.window / WINDOW_PARTS);
        match whole {
            0 if is_alone => SegmentLength::Stuck,
            0 => SegmentLength::None,
            _ if is_alone || whole >= worthwhile - worthwhile % self.mss => {
                SegmentLength::Bytes(whole)
            }
            _ => SegmentLength::None,
        }
    }
}

/// The part of a window that is worth a segment: as Linux has it, so that acknowledgements keep
/// coming.
const WINDOW_PARTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: NextSegment = NextSegment {
        unsent: 250_000,
        in_flight: 0,
        window: 256_000,
        mss: 1_000,
        part_max: 64_000,
        more_follows: false,
    };

    #[test]
    fn rfc_9293_segments_are_as_long_as_can_be() {
        assert_eq!(PLENTY.part(), SegmentLength::Bytes(64_000));
        let one_by_one = NextSegment { part_max: 1_000, ..PLENTY };
        assert_eq!(one_by_one.part(), SegmentLength::Bytes(1_000));
        let narrow = NextSegment { window: 14_600, ..PLENTY };
        assert_eq!(narrow.part(), SegmentLength::Bytes(14_000));
        let crumb = NextSegment { in_flight: 255_500, ..PLENTY };
        assert_eq!(crumb.part(), SegmentLength::None);
        let few = NextSegment { in_flight: 250_000, ..PLENTY };
        assert_eq!(few.part(), SegmentLength::None);
        let many = NextSegment { in_flight: 192_000, ..PLENTY };
        assert_eq!(many.part(), SegmentLength::Bytes(64_000));
    }

    #[test]
    fn the_end_leaves_at_once_unless_more_follows() {
        let end = NextSegment { unsent: 70, in_flight: 64_000, ..PLENTY };
        assert_eq!(end.part(), SegmentLength::Bytes(70));
        assert_eq!(NextSegment { more_follows: true, ..end }.part(), SegmentLength::None);
        assert_eq!(
            NextSegment { more_follows: true, in_flight: 0, ..end }.part(),
            SegmentLength::Bytes(70)
        );
        assert_eq!(NextSegment { unsent: 0, ..end }.part(), SegmentLength::None);
    }

    #[test]
    fn a_window_below_a_segment_is_a_sockets_business() {
        assert_eq!(NextSegment { window: 0, ..PLENTY }.part(), SegmentLength::Stuck);
        assert_eq!(NextSegment { window: 999, ..PLENTY }.part(), SegmentLength::Stuck);
        assert_eq!(
            NextSegment { window: 999, unsent: 900, ..PLENTY }.part(),
            SegmentLength::Bytes(900)
        );
        assert_eq!(NextSegment { window: 0, in_flight: 9, ..PLENTY }.part(), SegmentLength::None);
    }
}
