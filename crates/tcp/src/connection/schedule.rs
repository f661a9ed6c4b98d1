//! What may leave, how much and when: recovery first, then new data, by the windows and the pace.

use super::{Connection, Probe};
use crate::config::Shared;
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// A range of sequence space that is to leave.
pub(super) struct Part {
    pub(super) start: SeqNumber,
    /// FIN included.
    pub(super) len: u32,
    pub(super) kind: PartKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    New,
    Again,
    /// Sent again as a probe: RFC 8985 section 7.3.
    Probe,
}

/// What decides how much new data leaves.
struct Budget {
    unsent: u32,
    /// What the peer's window lets.
    window: u32,
    /// What congestion control lets.
    congestion: u32,
    mss: u32,
    part_max: u32,
}

impl Connection {
    /// RFC 6675 section 5: what is lost first, then what is new.
    pub(super) fn next_part(
        &mut self,
        shared: &Shared,
        now: Instant,
        mss: u32,
        max: u32,
    ) -> Option<Part> {
        if let Some(part) = self.plain_part(now, mss) {
            return Some(part);
        }
        let probe = core::mem::replace(&mut self.pending.probe, Probe::None);
        if let Some(part) = self.probe_part(probe, mss) {
            return Some(part);
        }
        if !self.may_pace(now) {
            return None;
        }
        let flight = self.flight();
        let room = self.flight_limit().saturating_sub(flight);
        let room = if flight == 0 { room.max(mss) } else { room };
        if self.scoreboard.lost() > 0 {
            if room < mss {
                return None;
            }
            let whole = |bytes: u32| bytes - bytes % mss;
            let max = whole(room.min(max).min(self.pace_quantum(shared, mss))).max(mss);
            let (start, len) = self.scoreboard.next_lost(max)?;
            return Some(Part {
                start,
                len: self.extended(start, len, mss),
                kind: PartKind::Again,
            });
        }
        if self.search.is_some()
            && let Some(part) = self.search_part(now, mss, room)
        {
            return Some(part);
        }
        self.new_part(shared, mss, max, room)
    }

    /// A short answer with nothing in its way: the rest of this chapter would say the same.
    #[inline]
    fn plain_part(&self, now: Instant, mss: u32) -> Option<Part> {
        let len = self.unsent();
        let is_plain = len.wrapping_sub(1) < mss
            && self.pending.probe == Probe::None
            && self.recovery.is_calm()
            && self.scoreboard.is_plain()
            && (self.scoreboard.is_empty() || !self.features.nagle)
            && len <= self.usable_window()
            && self.scoreboard.in_flight() + len < self.congestion.size()
            && now >= self.timers.pace_at;
        is_plain.then_some(Part { start: self.send.next, len, kind: PartKind::New })
    }

    /// What the timers, or the beginning of a recovery, want to be sent whatever the windows.
    fn probe_part(&mut self, probe: Probe, mss: u32) -> Option<Part> {
        match probe {
            Probe::None => None,
            Probe::Retransmission => {
                let (start, len) = self.scoreboard.next_lost(mss)?;
                Some(Part { start, len: self.extended(start, len, mss), kind: PartKind::Again })
            }
            // RFC 8985 section 7.3: new data if there is some and the window lets, or else the last segment.
            Probe::TailLoss => {
                let unsent = self.unsent();
                let window = self.usable_window();
                if unsent > 0 && window >= unsent.min(mss) {
                    let len = unsent.min(mss);
                    if let Some(probe) = &mut self.recovery.tail_probe {
                        probe.end = self.send.next + len;
                    }
                    return Some(Part { start: self.send.next, len, kind: PartKind::New });
                }
                // While losses are repaired the first may be what is missing; the last one has arrived.
                let (start, len) = if self.recovery.is_active() {
                    let first = self.scoreboard.front()?;
                    (first.start, first.len.min(mss))
                } else {
                    let last = self.scoreboard.back()?;
                    let len = last.len.min(mss);
                    (last.start + (last.len - len), len)
                };
                if let Some(probe) = &mut self.recovery.tail_probe {
                    probe.is_retransmission = true;
                }
                Some(Part { start, len, kind: PartKind::Probe })
            }
            Probe::Window => {
                if let Some((start, len)) = self.scoreboard.next_lost(mss) {
                    return Some(Part { start, len, kind: PartKind::Again });
                }
                let unsent = self.unsent();
                let len = unsent.min(self.usable_window().clamp(1, mss));
                (unsent > 0).then_some(Part { start: self.send.next, len, kind: PartKind::New })
            }
        }
    }

    /// A short segment at the end of what was sent takes new data along when it goes again (RFC 9293 section
    /// 3.8.1: repacketization).
    fn extended(&mut self, start: SeqNumber, len: u32, mss: u32) -> u32 {
        let is_last = start + len == self.send.next && !self.fin_is_sent();
        if !is_last || len >= mss {
            return len;
        }
        let more = (mss - len).min(self.usable_window()).min(self.unsent());
        self.scoreboard.extend_last(more);
        self.send.next = self.send.next + more;
        len + more
    }

    fn new_part(&mut self, shared: &Shared, mss: u32, max: u32, room: u32) -> Option<Part> {
        let unsent = self.unsent();
        if unsent == 0 {
            return None;
        }
        let budget = Budget {
            unsent,
            window: self.usable_window(),
            congestion: room,
            mss,
            part_max: {
                let max = max.min(self.pace_quantum(shared, mss));
                (max - max % mss).max(mss)
            },
        };
        let is_alone = self.scoreboard.is_empty();
        let is_paced = self.congestion.pacing_rate(&self.rtt, &shared.config).is_some();
        let len = budget.len(
            is_alone,
            self.features.nagle,
            is_paced,
            self.send.window_max,
            self.congestion.size(),
        );
        if len == 0 && budget.congestion < unsent.min(mss).max(1) {
            self.send.limited_at = self.send.next;
        }
        if budget.congestion <= len || (len > 0 && budget.congestion < unsent.min(budget.window)) {
            // The window is, or is about to be, what holds back.
            self.send.limited_at = self.send.next + len;
        }
        if len == 0 {
            return None;
        }
        let data = self.send_buffer.end().distance_from(self.send.next).min(len);
        let cut = self.send_buffer.cut(self.send.next, data, mss);
        let len = if cut < data { cut } else { len };
        Some(Part { start: self.send.next, len, kind: PartKind::New })
    }

    /// What was never sent, the FIN included.
    #[inline]
    pub(super) fn unsent(&self) -> u32 {
        let end = self.send_buffer.end() + u32::from(self.state.is_finishing());
        if end.is_after(self.send.next) { end.distance_from(self.send.next) } else { 0 }
    }

    /// RFC 9293 section 3.8.6.2.1: U.
    #[inline]
    pub(super) fn usable_window(&self) -> u32 {
        let edge = self.send.unacknowledged + self.send.window;
        if edge.is_after(self.send.next) { edge.distance_from(self.send.next) } else { 0 }
    }

    /// What may be in flight: by RFC 9937 while losses are repaired, else the congestion window.
    #[inline]
    fn flight_limit(&self) -> u32 {
        match self.recovery.active() {
            Some(episode) if self.is_clocked_by_recovery() => episode.window(),
            _ => self.congestion.size(),
        }
    }

    #[inline]
    fn may_pace(&mut self, now: Instant) -> bool {
        self.timers.is_paced = now < self.timers.pace_at && !self.is_clocked_by_recovery();
        !self.timers.is_paced
    }

    /// RFC 9937 says for each acknowledgement what leaves at once: more than arrives only where that is safe, and what
    /// waits until the next one is lost.
    #[inline]
    fn is_clocked_by_recovery(&self) -> bool {
        self.is_reducing() && !self.congestion.controls_recovery()
    }

    /// Bytes that may leave at once: those of a millisecond, and two segments at least.
    #[inline]
    fn pace_quantum(&self, shared: &Shared, mss: u32) -> u32 {
        match self.congestion.pacing_rate(&self.rtt, &shared.config) {
            None => u32::MAX,
            Some(rate) => (rate / 1_000).clamp(2 * u64::from(mss), u32::MAX.into()) as u32,
        }
    }

    /// The next transmission waits as long as this one takes at the pacing rate.
    #[inline]
    pub(super) fn pace(&mut self, shared: &Shared, now: Instant, len: u32) {
        let Some(rate) = self.congestion.pacing_rate(&self.rtt, &shared.config) else { return };
        let takes = Duration::from_micros(u64::from(len) * 1_000_000 / rate.max(1));
        // What was late is caught up with, as far as the slack goes.
        let slack = self.congestion.pacing_slack(&self.rtt).max(PACE_SLACK);
        self.timers.pace_at = self.timers.pace_at.max(now - slack) + takes;
    }
}

/// Timers may be late by so much without costing bandwidth.
const PACE_SLACK: Duration = Duration::from_millis(1);

impl Budget {
    /// RFC 9293 section 3.8.6.2.1, sender's silly window avoidance, and section 3.7.4, Nagle: whole segments, but
    /// for the last of what there is. Many segments at once where the window lets, since the acknowledgements of
    /// what is in flight make room for more.
    fn len(
        &self,
        is_alone: bool,
        nagle: bool,
        is_paced: bool,
        window_max: u32,
        congestion: u32,
    ) -> u32 {
        let len = self.unsent.min(self.window).min(self.congestion).min(self.part_max);
        let whole = len - len % self.mss;
        if len == self.unsent && (whole == len || is_alone || !nagle) {
            return len;
        }
        if whole == 0 {
            // Half of the largest window that the peer ever had is worth a segment.
            let is_worthwhile = len == self.window && len > 0 && len >= window_max / 2;
            return if is_worthwhile && is_alone { len } else { 0 };
        }
        let worthwhile = self.part_max.min(congestion / WINDOW_PARTS);
        if is_alone || is_paced || whole >= worthwhile - worthwhile % self.mss { whole } else { 0 }
    }
}

/// The part of a window that is worth a transmission: as Linux has it, so that acknowledgements keep coming.
const WINDOW_PARTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Budget = Budget {
        unsent: 250_000,
        window: 256_000,
        congestion: 256_000,
        mss: 1_000,
        part_max: 64_000,
    };

    fn len(budget: &Budget, is_alone: bool) -> u32 {
        budget.len(is_alone, false, false, 256_000, 256_000)
    }

    #[test]
    fn rfc_9293_3_8_6_2_1_segments_are_as_long_as_can_be() {
        assert_eq!(len(&PLENTY, true), 64_000);
        assert_eq!(len(&Budget { part_max: 1_000, ..PLENTY }, false), 1_000);
        assert_eq!(len(&Budget { window: 14_600, ..PLENTY }, true), 14_000);
        assert_eq!(len(&Budget { window: 500, ..PLENTY }, false), 0);
        assert_eq!(len(&Budget { congestion: 6_000, ..PLENTY }, false), 0);
        assert_eq!(len(&Budget { unsent: 70, ..PLENTY }, false), 70);
    }

    #[test]
    fn rfc_9293_3_7_4_nagle_holds_back_what_is_short() {
        let short = Budget { unsent: 70, ..PLENTY };
        assert_eq!(short.len(false, true, false, 256_000, 256_000), 0);
        assert_eq!(short.len(true, true, false, 256_000, 256_000), 70);
        let whole = Budget { unsent: 2_000, ..PLENTY };
        assert_eq!(whole.len(false, true, false, 256_000, 256_000), 2_000);
    }

    #[test]
    fn rfc_9293_3_8_6_2_1_each_reason_to_send_and_to_wait() {
        let (alone, busy, nagle, paced) = (true, false, true, true);
        for (budget, is_alone, nagle, is_paced, window_max, congestion, len) in [
            // All that there is: whole segments always, the rest if nothing is in flight or Nagle is off.
            (Budget { unsent: 3_000, ..PLENTY }, busy, nagle, false, 256_000, 9_000, 3_000),
            (Budget { unsent: 3_001, ..PLENTY }, busy, nagle, false, 256_000, 9_000, 3_000),
            (Budget { unsent: 3_001, ..PLENTY }, busy, false, false, 256_000, 9_000, 3_001),
            (Budget { unsent: 3_001, ..PLENTY }, alone, nagle, false, 256_000, 9_000, 3_001),
            (Budget { unsent: 999, ..PLENTY }, busy, nagle, false, 256_000, 9_000, 0),
            // Less than a segment, since the window lets no more: half of the largest that it was.
            (Budget { window: 999, ..PLENTY }, alone, false, false, 1_998, 9_000, 999),
            (Budget { window: 999, ..PLENTY }, alone, false, false, 1_999, 9_000, 999),
            (Budget { window: 999, ..PLENTY }, alone, false, false, 2_000, 9_000, 0),
            (Budget { window: 999, ..PLENTY }, busy, false, false, 1_998, 9_000, 0),
            (Budget { window: 0, ..PLENTY }, alone, false, false, 0, 9_000, 0),
            (Budget { congestion: 999, ..PLENTY }, alone, false, false, 1_000, 9_000, 0),
            // Some of it: a third of the congestion window is worth it, or what one transmission has at most.
            (Budget { congestion: 2_999, ..PLENTY }, busy, false, false, 256_000, 9_000, 0),
            (Budget { congestion: 3_000, ..PLENTY }, busy, false, false, 256_000, 9_000, 3_000),
            (Budget { congestion: 3_999, ..PLENTY }, busy, false, false, 256_000, 11_999, 3_000),
            (Budget { congestion: 3_999, ..PLENTY }, busy, false, false, 256_000, 12_000, 0),
            (Budget { congestion: 2_999, ..PLENTY }, alone, false, false, 256_000, 9_000, 2_000),
            (Budget { congestion: 2_999, ..PLENTY }, busy, false, paced, 256_000, 9_000, 2_000),
            (Budget { part_max: 4_000, ..PLENTY }, busy, false, false, 256_000, 90_000, 4_000),
        ] {
            let found = budget.len(is_alone, nagle, is_paced, window_max, congestion);
            let Budget { unsent, window, congestion: room, .. } = budget;
            assert_eq!(found, len, "{unsent} {window} {room} {is_alone} {nagle} {is_paced}");
        }
    }
}
