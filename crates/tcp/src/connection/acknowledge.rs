//! Acknowledgements: what has arrived, what is lost, and what follows for the sender.

use super::{Connection, Probe};
use crate::config::Shared;
use crate::congestion::Acknowledgement;
use crate::recovery::{Episode, Kind};
use crate::scoreboard::Delivery;
use crate::segment::{Flags, Segment};
use crate::sequence::SeqNumber;
use crate::time::Instant;

/// What a segment says about what was sent.
struct Heard {
    /// SND.UNA before, and the octets in flight.
    unacknowledged: SeqNumber,
    flight: u32,
    /// It acknowledges something in sequence.
    is_advance: bool,
    /// Losses were being repaired before it came, and the window did not grow.
    is_recovering: bool,
    /// What is in flight was lost by a time-out, as far as it is known.
    is_after_timeout: bool,
    /// RFC 2883: octets that the peer had twice.
    duplicate: u32,
    /// Something became known of what arrived, in sequence or not.
    delivery: Delivery,
}

impl Connection {
    /// RFC 9293 section 3.10.7.4, fifth, for a segment whose acknowledgement is acceptable.
    pub(super) fn process_acknowledgement(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        len: u32,
    ) {
        let window_before = self.send.window;
        self.update_window(segment);
        let mut heard = Heard {
            unacknowledged: self.send.unacknowledged,
            flight: self.flight(),
            is_advance: segment.ack.is_after(self.send.unacknowledged),
            is_recovering: self.is_reducing(),
            is_after_timeout: self.recovery.is_active() && !self.is_reducing(),
            duplicate: 0,
            delivery: Delivery::NONE,
        };
        if heard.is_advance {
            self.take_acknowledged(shared, now, segment.ack, &mut heard.delivery);
        }
        if self.features.sack {
            self.take_sack(now, segment, &mut heard);
        } else {
            let is_same = !heard.is_advance && len == 0 && self.send.window == window_before;
            self.count_duplicates(segment, is_same, &mut heard);
        }
        self.sample_round_trip(now, segment, &heard);
        self.end_window_probe(&heard);
        self.resolve_tail_probe(shared, now, &heard);
        self.detect_losses(now, segment, &mut heard);
        if self.search.is_some() {
            heard.delivery.lost = self.resolve_search(now, heard.delivery.lost);
        }
        self.recover(shared, now, segment, &heard);
        self.tell_congestion_control(now, &heard);
        let is_news = heard.is_advance || heard.delivery.delivered > 0;
        if is_news {
            self.arm_retransmission(shared, now);
        } else if self.send.window > 0 && window_before == 0 {
            self.on_window_opened(shared, now);
        }
        if heard.is_advance {
            self.after_acknowledged(shared);
        }
    }

    /// Everything before `ack` has arrived.
    #[inline]
    pub(super) fn take_acknowledged(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        ack: SeqNumber,
        delivery: &mut Delivery,
    ) {
        self.scoreboard.acknowledge(ack, now, delivery);
        self.send_buffer.acknowledge(ack, &mut shared.memory);
        self.send.unacknowledged = ack;
        self.progress_at = now;
        self.rtt.end_backoff();
    }

    /// Octets that are on their way; each duplicate without SACK says that a segment has left the network.
    #[inline]
    pub(super) fn flight(&self) -> u32 {
        let arrived = u32::from(self.recovery.duplicates) * u32::from(self.send.mss);
        self.scoreboard.in_flight().saturating_sub(arrived)
    }

    /// RFC 9293 section 3.10.7.4, fifth: SND.WL1 and SND.WL2 keep old segments from changing the window.
    fn update_window(&mut self, segment: &Segment) {
        let send = &self.send;
        let is_newer = send.window_seq.is_before(segment.seq)
            || (send.window_seq == segment.seq && segment.ack.is_at_or_after(send.window_ack));
        if is_newer {
            self.set_window(segment, u32::from(segment.window) << self.send.scale);
        }
    }

    /// RFC 2018 section 3, RFC 2883.
    fn take_sack(&mut self, now: Instant, segment: &Segment, heard: &mut Heard) {
        let blocks = segment.options.sack.as_slice();
        for (index, block) in blocks.iter().enumerate() {
            if !block.start.is_before(block.end) {
                continue;
            }
            // RFC 2883 section 4: the first may be below the acknowledgement, or inside of the second.
            let is_duplicate = index == 0
                && (!block.end.is_after(segment.ack)
                    || blocks.get(1).is_some_and(|second| {
                        block.start.is_at_or_after(second.start) && !block.end.is_after(second.end)
                    }));
            if is_duplicate {
                let is_recent = self.send.unacknowledged.distance_from(block.start) < DUPLICATE_MAX
                    || block.start.is_at_or_after(self.send.unacknowledged);
                if is_recent {
                    heard.duplicate = block.end.distance_from(block.start);
                }
            } else if block.start.is_at_or_after(self.send.unacknowledged)
                && !block.end.is_after(self.send.next)
            {
                self.scoreboard.sack(*block, now, &mut heard.delivery);
            }
        }
        if heard.duplicate > 0 {
            let is_of_probe = self.recovery.tail_probe.is_some_and(|probe| probe.is_retransmission);
            if !is_of_probe {
                self.recovery.rack.widen(self.send.unacknowledged, self.send.next);
            }
        }
    }

    /// RFC 5681 section 2, for peers without SACK.
    fn count_duplicates(&mut self, segment: &Segment, is_same: bool, heard: &mut Heard) {
        if heard.is_advance {
            let segments = heard.delivery.acknowledged / u32::from(self.send.mss).max(1);
            // A partial acknowledgement covers what the duplicates were for, but for the segment lost next.
            let left = u32::from(self.recovery.duplicates).saturating_sub(segments.max(1) - 1);
            self.recovery.duplicates = if self.recovery.is_active() { left as u16 } else { 0 };
        } else if is_same
            && !self.scoreboard.is_empty()
            && !segment.flags.has_any(Flags::SYN | Flags::FIN)
        {
            let segments = self.scoreboard.in_flight() / u32::from(self.send.mss).max(1);
            if u32::from(self.recovery.duplicates) < segments {
                self.recovery.duplicates += 1;
                heard.delivery.delivered = u32::from(self.send.mss);
            }
        }
    }

    /// RFC 6298 section 3; RFC 7323 section 4.1 where what is acknowledged was sent twice.
    fn sample_round_trip(&mut self, now: Instant, segment: &Segment, heard: &Heard) {
        if let Some((longest, shortest)) = heard.delivery.rtt {
            self.rtt.sample(now, longest, shortest);
        } else if heard.is_advance
            && self.features.timestamps
            && let Some(timestamps) = segment.options.timestamps
        {
            let ticks = self.timestamp(now).wrapping_sub(timestamps.echo);
            if timestamps.echo != 0 && ticks < ROUND_TRIP_TICKS_MAX {
                let sample = crate::time::Duration::from_millis(ticks.max(1).into());
                self.rtt.sample(now, sample, self.rtt.min().unwrap_or(sample).max(sample));
            }
        }
    }

    /// A window that has opened without the octet that probed it: that one was thrown away.
    fn end_window_probe(&mut self, heard: &Heard) {
        if self.timers.is_probing_window() && self.send.window > 0 && !heard.is_advance {
            self.scoreboard.lose_all();
            self.rtt.end_backoff();
            self.timers.stop_retransmission();
        }
    }

    /// RFC 8985 section 7.4.2.
    fn resolve_tail_probe(&mut self, shared: &mut Shared, now: Instant, heard: &Heard) {
        let Some(probe) = self.recovery.tail_probe else { return };
        if self.send.unacknowledged.is_before(probe.end) {
            return;
        }
        let was_lost = probe.is_retransmission
            && heard.duplicate == 0
            && self.send.unacknowledged.is_after(probe.end);
        self.recovery.tail_probe = None;
        if was_lost && !self.recovery.is_active() {
            self.begin_episode(shared, now, Kind::Reduction, heard.flight);
        }
    }

    /// RFC 8985 section 6.2; RFC 6582 without SACK.
    fn detect_losses(&mut self, now: Instant, segment: &Segment, heard: &mut Heard) {
        let delivery = &mut heard.delivery;
        if !self.features.sack {
            let is_third =
                self.recovery.duplicates >= DUPLICATE_THRESHOLD && !self.recovery.is_active();
            let is_partial = heard.is_advance
                && self.recovery.active().is_some_and(|episode| {
                    episode.kind == Kind::Fast && self.send.unacknowledged.is_before(episode.point)
                });
            if is_third || is_partial {
                delivery.lost += self.scoreboard.lose_front(u32::from(self.send.mss));
                self.pending.probe = Probe::Retransmission;
            }
            return;
        }
        self.recovery.rack.is_reordering_seen |= delivery.is_reordered;
        if let Some(latest) = &delivery.latest {
            let is_echo_older = self.is_echo_before_resending(segment);
            self.recovery.rack.update(latest, &self.rtt, is_echo_older, now);
        }
        if delivery.delivered > 0 {
            self.detect_lost(now, delivery);
        }
    }

    /// RFC 8985 section 6.2, step 5; sets the timer for what may be lost soon.
    pub(super) fn detect_lost(&mut self, now: Instant, delivery: &mut Delivery) {
        let rack = &self.recovery.rack;
        let (mss, is_recovering) = (u32::from(self.send.mss), self.recovery.is_active());
        let window = rack.window(&self.scoreboard, &self.rtt, mss, is_recovering);
        let (latest, round_trip) = (rack.latest(), rack.round_trip());
        let wait = self.scoreboard.detect_lost(latest, round_trip, window, now, delivery);
        self.timers.reorder(wait.map(|wait| now + wait.max(super::timers::SHORTEST)));
    }

    /// RFC 3522: the acknowledgement was caused by the original, not by what was sent again.
    fn is_echo_before_resending(&self, segment: &Segment) -> bool {
        let first = self.recovery.active().and_then(|episode| episode.first_resent);
        let echo = segment.options.timestamps.filter(|_| self.features.timestamps);
        match (first, echo) {
            (Some((_, first)), Some(echo)) if echo.echo != 0 => {
                (echo.echo.wrapping_sub(first) as i32) < 0
            }
            _ => false,
        }
    }

    fn recover(&mut self, shared: &mut Shared, now: Instant, segment: &Segment, heard: &Heard) {
        if self.is_spurious(segment, heard) {
            self.undo(shared);
        }
        self.end_episode(heard);
        let is_loss = heard.delivery.lost > 0;
        // RFC 3168 section 6.1.2: once in a window.
        let is_marked = self.features.ecn
            && segment.flags.has(Flags::ECE)
            && self.send.unacknowledged != self.send.next;
        if is_marked {
            shared.counters.congestion_echoes += 1;
        }
        match self.recovery.active() {
            None if is_loss => self.begin_episode(shared, now, Kind::Fast, heard.flight),
            None if is_marked => self.begin_episode(shared, now, Kind::Reduction, heard.flight),
            Some(episode) if episode.kind == Kind::Reduction && is_loss => {
                if let Some(episode) = self.recovery.active_mut() {
                    episode.kind = Kind::Fast;
                    episode.prior.0 = 0;
                }
            }
            _ => {}
        }
        let (in_flight, window) = (self.flight(), self.congestion.window);
        let is_safe = heard.is_advance && !is_loss;
        if (heard.delivery.delivered > 0 || is_loss)
            && let Some(episode) = self.recovery.active_mut()
        {
            let delivered = heard.delivery.delivered;
            episode.acknowledged(delivered, in_flight, window.threshold, window.mss, is_safe);
        }
    }

    /// RFC 3522 and RFC 3708, of any recovery; RFC 5682 of a time-out.
    fn is_spurious(&mut self, segment: &Segment, heard: &Heard) -> bool {
        let is_echo_older = self.is_echo_before_resending(segment);
        let unacknowledged = self.send.unacknowledged;
        let Some(episode) = self.recovery.last_mut().filter(|episode| episode.prior.0 > 0) else {
            return false;
        };
        if heard.duplicate > 0 && episode.resent_octets > 0 {
            episode.resent_octets = episode.resent_octets.saturating_sub(heard.duplicate);
            if episode.resent_octets == 0 {
                return true;
            }
        }
        if episode.is_over {
            return false;
        }
        let is_original = episode.detects_spurious
            && heard.delivery.original_sent_at.is_some_and(|at| at < episode.began_at);
        // RFC 3522 section 3.2: the first acknowledgement of what was sent again first.
        let is_first = heard.is_advance
            && episode.first_resent.is_some_and(|(start, _)| {
                unacknowledged.is_after(start) && !heard.unacknowledged.is_after(start)
            });
        (is_first && is_echo_older) || is_original
    }

    /// RFC 4015: goes on as if nothing had been.
    fn undo(&mut self, shared: &mut Shared) {
        let Some(episode) = self.recovery.last_mut() else { return };
        let (size, threshold) = episode.prior;
        // What looked like a loss was overtaken.
        self.recovery.rack.is_reordering_seen |= episode.kind == Kind::Fast;
        self.congestion.undo(size, threshold);
        self.scoreboard.undo_lost();
        self.recovery.duplicates = 0;
        self.recovery.forget();
        self.pending.probe = Probe::None;
        shared.counters.undone += 1;
    }

    /// All that was sent before the loss has arrived.
    fn end_episode(&mut self, heard: &Heard) {
        let unacknowledged = self.send.unacknowledged;
        let next = self.send.next;
        let Some(episode) = self.recovery.last_mut() else { return };
        if unacknowledged.is_before(episode.point) {
            return;
        }
        if episode.is_over {
            // A round trip later nothing more is heard of it.
            if heard.is_advance {
                self.recovery.forget();
            }
            return;
        }
        episode.is_over = true;
        // Until the next flight is acknowledged, duplicates may tell that it was for nothing.
        episode.point = next;
        let is_timeout = episode.kind == Kind::Timeout;
        self.recovery.duplicates = 0;
        self.recovery.rack.recovered();
        if !is_timeout || self.congestion.controls_recovery() {
            self.congestion.on_recovered();
        }
    }

    pub(super) fn begin_episode(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        kind: Kind,
        flight: u32,
    ) {
        let window = self.congestion.window;
        self.congestion.on_congestion(now, self.send.next);
        let prior = if kind == Kind::Reduction { (0, 0) } else { (window.size, window.threshold) };
        self.recovery.begin(Episode::new(kind, self.send.next, flight, prior, now));
        if kind == Kind::Reduction {
            let (in_flight, window) = (self.flight(), self.congestion.window);
            if let Some(episode) = self.recovery.active_mut() {
                episode.acknowledged(0, in_flight, window.threshold, window.mss, false);
            }
            self.pending.window_reduced = self.features.ecn;
        } else {
            self.pending.probe = Probe::Retransmission;
        }
        shared.counters.recoveries += 1;
    }

    fn tell_congestion_control(&mut self, now: Instant, heard: &Heard) {
        if heard.delivery.delivered == 0 {
            return;
        }
        // RFC 3042 section 2: what only shows a gap does not open the window; unless gaps are how this path is.
        let is_gap = !heard.is_advance && !self.recovery.rack.is_reordering_seen;
        let is_recovering = is_gap || heard.is_recovering || self.is_reducing();
        let mut delivery = heard.delivery;
        if heard.is_after_timeout && !self.features.sack {
            // RFC 3465 section 2.3: what else it covers arrived before.
            delivery.delivered = delivery.delivered.min(self.congestion.window.mss);
        }
        self.congestion.on_acknowledgement(&Acknowledgement {
            now,
            delivery: &delivery,
            rtt: &self.rtt,
            unacknowledged: self.send.unacknowledged,
            next: self.send.next,
            flight_before: heard.flight,
            in_flight: self.scoreboard.in_flight(),
            is_limited: self.is_window_limited(heard.unacknowledged, heard.flight),
            is_recovering,
        });
    }

    /// What is in flight is controlled by RFC 9937; after a time-out it is slow start again.
    pub(super) fn is_reducing(&self) -> bool {
        self.recovery.active().is_some_and(|episode| episode.kind != Kind::Timeout)
    }

    /// RFC 7661 in short: a window that was not used does not grow.
    #[inline]
    pub(super) fn is_window_limited(&self, unacknowledged: SeqNumber, flight: u32) -> bool {
        let window = &self.congestion.window;
        let is_half_used = window.is_in_slow_start() && window.size < flight.saturating_mul(2);
        is_half_used || !unacknowledged.is_after(self.send.limited_at)
    }
}

/// RFC 5681 section 3.2.
const DUPLICATE_THRESHOLD: u16 = 3;
/// Duplicates of older octets are not believed.
const DUPLICATE_MAX: u32 = 1 << 30;
/// A minute.
const ROUND_TRIP_TICKS_MAX: u32 = 60_000;
