//! Timers: retransmission (RFC 6298), probes, delayed acknowledgements, keep-alive, and the ends of waiting.

use super::{AckState, CloseReason, Connection, Events, Probe, State};
use crate::config::Shared;
use crate::recovery::{Episode, Kind, TailProbe};
use crate::scoreboard::Delivery;
use crate::time::{Duration, Instant};

/// When what is due. Timers are numbers: to set one is a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    retransmit_at: Instant,
    kind: Retransmit,
    pub(super) acknowledge_at: Instant,
    /// The end of the open, of silence, of FIN-WAIT-2 or of TIME-WAIT.
    pub(super) idle_at: Instant,
    /// When the next segment may leave, and whether one waits for that.
    pub(super) pace_at: Instant,
    pub(super) is_paced: bool,
    keep_alives: u8,
}

/// What the one timer that watches over the flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retransmit {
    /// RFC 6298.
    Timeout,
    /// RFC 8985 section 7.2.
    TailProbe,
    /// RFC 8985 section 6.2, step 5.
    Reordering,
    /// RFC 9293 section 3.8.6.1: nothing is in flight, or an octet that probes a window.
    Window,
}

/// No timer of the recovery is shorter.
pub(super) const SHORTEST: Duration = Duration::from_millis(2);
/// Probes of one tail, before the retransmission timer.
const TAIL_PROBES_MAX: u8 = 3;
/// RFC 8985 section 7.2: WCDelAckT.
const DELAYED_ACK_WORST: Duration = Duration::from_millis(200);

impl Timers {
    pub(super) const OFF: Self = Self {
        retransmit_at: Instant::NEVER,
        kind: Retransmit::Timeout,
        acknowledge_at: Instant::NEVER,
        idle_at: Instant::NEVER,
        pace_at: Instant::START,
        is_paced: false,
        keep_alives: 0,
    };

    pub(super) fn stop(&mut self) {
        *self = Self::OFF;
    }

    pub(super) fn stop_retransmission(&mut self) {
        (self.retransmit_at, self.kind) = (Instant::NEVER, Retransmit::Timeout);
    }

    pub(super) fn is_probing_window(&self) -> bool {
        self.kind == Retransmit::Window && self.retransmit_at != Instant::NEVER
    }

    /// Sets or ends the wait for what may have been overtaken.
    pub(super) fn reorder(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            (self.retransmit_at, self.kind) = (at, Retransmit::Reordering);
        } else if self.kind == Retransmit::Reordering {
            self.stop_retransmission();
        }
    }

    /// The peer has been heard of.
    #[inline]
    pub(super) fn heard(&mut self) {
        self.keep_alives = 0;
    }

    fn next(&self) -> Instant {
        let next = self.retransmit_at.min(self.acknowledge_at).min(self.idle_at);
        if self.is_paced { next.min(self.pace_at) } else { next }
    }
}

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; [`Instant::NEVER`] for not
    /// at all. Every other call may change it.
    #[inline]
    pub fn next_deadline(&self) -> Instant {
        self.timers.next()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        if now >= self.timers.acknowledge_at {
            self.timers.acknowledge_at = Instant::NEVER;
            self.pending.acknowledgement = AckState::Now;
        }
        if now >= self.timers.pace_at {
            self.timers.is_paced = false;
        }
        if now >= self.timers.retransmit_at {
            self.timers.retransmit_at = Instant::NEVER;
            match self.timers.kind {
                Retransmit::Timeout => self.on_retransmission_timeout(shared, now),
                Retransmit::TailProbe => self.on_probe_timeout(shared, now),
                Retransmit::Reordering => self.on_reordering_timeout(shared, now),
                Retransmit::Window => self.on_window_timeout(shared, now),
            }
        }
        if now >= self.timers.idle_at {
            self.on_idle_timeout(shared, now);
        }
    }

    /// Something was acknowledged: the timer starts anew for what is still in flight (RFC 6298 section 5.3).
    #[inline]
    pub(super) fn arm_retransmission(&mut self, shared: &Shared, now: Instant) {
        if self.timers.kind == Retransmit::Reordering && self.timers.retransmit_at != Instant::NEVER
        {
            return;
        }
        if self.scoreboard.is_empty() {
            return self.timers.stop_retransmission();
        }
        let timeout = now + self.rtt.timeout(&shared.config);
        (self.timers.retransmit_at, self.timers.kind) = match self.probe_at(now, timeout) {
            Some(probe) => (probe, Retransmit::TailProbe),
            None => (timeout, Retransmit::Timeout),
        };
    }

    /// Something was sent (RFC 6298 section 5.1, RFC 8985 section 7.2).
    #[inline]
    pub(super) fn arm_after_sending(&mut self, shared: &Shared, now: Instant) {
        let is_armed = self.timers.retransmit_at != Instant::NEVER;
        match self.timers.kind {
            Retransmit::Reordering if is_armed => {}
            Retransmit::Timeout if is_armed => {
                if let Some(probe) = self.probe_at(now, self.timers.retransmit_at) {
                    (self.timers.retransmit_at, self.timers.kind) = (probe, Retransmit::TailProbe);
                }
            }
            Retransmit::Window => {
                // Before the next probe, or as the retransmission timer of what filled the window.
                let at = now + self.rtt.timeout(&shared.config);
                if self.send.window > 0 {
                    (self.timers.retransmit_at, self.timers.kind) = (at, Retransmit::Timeout);
                } else {
                    self.timers.retransmit_at = at.min(self.silent_until(shared));
                }
            }
            _ => self.arm_retransmission(shared, now),
        }
    }

    /// RFC 8985 section 7.2: when the tail is probed, where the retransmission timer would expire at `timeout`.
    ///
    /// That is while nothing is amiss, and, beyond the RFC, while losses are repaired and nothing is left to be sent
    /// again: where the acknowledgement that would end the repair gets lost, a time-out of 200 ms is a hundred
    /// round trips of a local network. A probe that gets lost is followed by others, each after twice the time.
    #[inline]
    fn probe_at(&self, now: Instant, timeout: Instant) -> Option<Instant> {
        let sent = self.recovery.tail_probe.map_or(0, |probe| probe.count);
        let is_calm = match self.recovery.active() {
            None => self.scoreboard.is_plain(),
            Some(episode) => episode.kind != Kind::Timeout && self.scoreboard.lost() == 0,
        };
        let may_probe = self.features.sack
            && sent < TAIL_PROBES_MAX
            && is_calm
            && self.rtt.backoff() == 0
            && self.state.is_synchronized();
        if !may_probe {
            return None;
        }
        let probe = self.rtt.smoothed()?.times(2 << sent).max(SHORTEST.times(1 << sent));
        // What fills a gap is acknowledged at once (RFC 5681 section 4.2).
        let is_alone =
            self.scoreboard.in_flight() <= u32::from(self.send.mss) && !self.recovery.is_active();
        let at = now + if is_alone { probe.plus(DELAYED_ACK_WORST) } else { probe };
        // At the time of the time-out, if that comes first; but not again and again.
        if at < timeout {
            return Some(at);
        }
        let is_first = sent == 0 && !self.recovery.is_active();
        is_first.then_some(timeout)
    }

    /// Nothing can be sent since the window is too small, and nothing is in flight that would be answered:
    /// the peer is asked, lest the answer that opened the window was lost.
    pub(super) fn arm_window_probe(&mut self, shared: &Shared, now: Instant) {
        if self.timers.retransmit_at == Instant::NEVER && self.scoreboard.is_empty() {
            let timeout = self.rtt.timeout(&shared.config);
            if now.since(self.heard_at) > timeout {
                // There was nothing to say; the silence that counts begins now.
                self.progress_at = now;
            }
            let at = now + timeout;
            (self.timers.retransmit_at, self.timers.kind) = (at, Retransmit::Window);
        }
    }

    /// A SYN was sent.
    pub(super) fn arm_syn(&mut self, shared: &Shared, now: Instant) {
        let at = now + self.rtt.timeout(&shared.config);
        (self.timers.retransmit_at, self.timers.kind) = (at, Retransmit::Timeout);
    }

    /// RFC 6298 section 5.4 to 5.6.
    fn on_retransmission_timeout(&mut self, shared: &mut Shared, now: Instant) {
        if now.since(self.progress_at) >= shared.config.user_timeout {
            return self.give_up(shared);
        }
        if matches!(self.state, State::SynSent | State::SynReceived) {
            return self.on_syn_timeout(shared, now);
        }
        if self.scoreboard.is_empty() {
            return;
        }
        shared.counters.retransmission_timeouts += 1;
        self.give_up_search_probe(now);
        self.find_black_hole(shared, now);
        if self.scoreboard.is_reneged() {
            self.scoreboard.forget_sacked();
        }
        self.begin_timeout(now);
        self.lose_after_timeout(now);
        self.recovery.tail_probe = None;
        self.recovery.duplicates = 0;
        self.rtt.back_off();
        // RFC 5681 section 3.1: the loss window.
        self.congestion.window.size = self.congestion.window.mss;
        self.pending.probe = Probe::Retransmission;
        (self.timers.pace_at, self.timers.is_paced) = (Instant::START, false);
        // The user's limit does not wait for the next, doubled time-out.
        let limit = self.progress_at + shared.config.user_timeout;
        (self.timers.retransmit_at, self.timers.kind) =
            ((now + self.rtt.timeout(&shared.config)).min(limit), Retransmit::Timeout);
    }

    /// A closed window has opened. What the peer dropped while it was closed is sent again at once, not when a
    /// timer says so that was backed off in the meantime.
    pub(super) fn on_window_opened(&mut self, shared: &Shared, now: Instant) {
        if self.scoreboard.is_empty() {
            self.timers.stop_retransmission();
        } else if self.rtt.backoff() > 0 && self.scoreboard.lose_all() > 0 {
            self.rtt.end_backoff();
            self.pending.probe = Probe::Retransmission;
            self.arm_retransmission(shared, now);
        }
    }

    /// RFC 5681 section 3.1, equation 4, once for a flight.
    fn begin_timeout(&mut self, now: Instant) {
        let was_active = self.recovery.active().map(|episode| episode.kind);
        if was_active == Some(Kind::Timeout) {
            return;
        }
        let window = self.congestion.window;
        let prior = match self.recovery.active() {
            Some(episode) => episode.prior,
            None => {
                self.congestion.on_timeout(now, self.send.next);
                (window.size, window.threshold)
            }
        };
        let flight = self.scoreboard.in_flight();
        let mut episode = Episode::new(Kind::Timeout, self.send.next, flight, prior, now);
        // RFC 5682 section 3.1: not when losses were known before.
        episode.detects_spurious =
            was_active.is_none() && self.features.sack && self.rtt.backoff() == 0;
        self.recovery.begin(episode);
    }

    /// RFC 8985 section 6.3: what was sent less than a round trip ago may still be on its way.
    fn lose_after_timeout(&mut self, now: Instant) {
        if self.features.sack
            && let Some(round_trip) = self.rtt.smoothed()
        {
            let window = self.rtt.min().unwrap_or_default().divided(4);
            self.scoreboard.lose_sent_before(now - round_trip.plus(window));
        } else {
            self.scoreboard.lose_all();
        }
    }

    /// RFC 8985 section 7.3.
    fn on_probe_timeout(&mut self, shared: &mut Shared, now: Instant) {
        if self.scoreboard.is_empty() {
            return;
        }
        shared.counters.loss_probes += 1;
        let count = self.recovery.tail_probe.map_or(0, |probe| probe.count) + 1;
        self.pending.probe = Probe::TailLoss;
        (self.timers.pace_at, self.timers.is_paced) = (Instant::START, false);
        // Until the probe is sent: it may not come to that.
        (self.timers.retransmit_at, self.timers.kind) =
            (now + self.rtt.timeout(&shared.config), Retransmit::Timeout);
        self.recovery.tail_probe =
            Some(TailProbe { end: self.send.next, is_retransmission: false, count });
    }

    fn on_reordering_timeout(&mut self, shared: &mut Shared, now: Instant) {
        self.timers.kind = Retransmit::Timeout;
        let (mut delivery, flight) = (Delivery::NONE, self.flight());
        self.detect_lost(now, &mut delivery);
        if delivery.lost > 0 && !self.recovery.is_active() {
            self.begin_episode(shared, now, Kind::Fast, flight);
        }
        let window = self.congestion.window;
        let in_flight = self.flight();
        if let Some(episode) = self.recovery.active_mut() {
            episode.acknowledged(0, in_flight, window.threshold, window.mss, false);
        }
        if self.timers.retransmit_at == Instant::NEVER {
            self.arm_retransmission(shared, now);
        }
    }

    /// RFC 9293 section 3.8.6.1: as long as the peer answers, the connection stays.
    fn on_window_timeout(&mut self, shared: &mut Shared, now: Instant) {
        let limit = self.silent_until(shared);
        if now >= limit {
            return self.give_up(shared);
        }
        let due = self.sent_at + self.rtt.timeout(&shared.config);
        if self.rtt.backoff() > 0 && now < due {
            // The peer was to be given up now, and has answered since.
            (self.timers.retransmit_at, self.timers.kind) = (due.min(limit), Retransmit::Window);
            return;
        }
        shared.counters.window_probes += 1;
        self.scoreboard.lose_all();
        self.rtt.back_off();
        self.pending.probe = Probe::Window;
        (self.timers.retransmit_at, self.timers.kind) =
            ((now + self.rtt.timeout(&shared.config)).min(limit), Retransmit::Window);
    }

    /// When a peer is given up that answers no probe of its window.
    fn silent_until(&self, shared: &Shared) -> Instant {
        self.heard_at.max(self.progress_at) + shared.config.user_timeout
    }

    fn on_idle_timeout(&mut self, shared: &mut Shared, now: Instant) {
        self.timers.idle_at = Instant::NEVER;
        match self.state {
            State::Closed => {}
            State::TimeWait => self.end(shared, CloseReason::Finished),
            State::SynSent | State::SynReceived => self.give_up(shared),
            State::FinWait2 if self.features.stopped_reading => self.abort(shared),
            _ => self.keep_alive(shared, now),
        }
    }

    /// RFC 9293 section 3.8.4: only when nothing is in flight, and nothing was heard.
    fn keep_alive(&mut self, shared: &mut Shared, now: Instant) {
        let config = &shared.config;
        let due =
            if self.timers.keep_alives == 0 { self.heard_at + config.keep_alive_idle } else { now };
        if now < due || !self.scoreboard.is_empty() {
            self.timers.idle_at = due.max(now + config.keep_alive_interval);
            return;
        }
        if self.timers.keep_alives >= config.keep_alive_probes {
            return self.give_up(shared);
        }
        self.timers.keep_alives += 1;
        self.timers.idle_at = now + config.keep_alive_interval;
        self.pending.keep_alive = true;
        shared.counters.keep_alive_probes += 1;
    }

    fn give_up(&mut self, shared: &mut Shared) {
        shared.counters.timed_out += 1;
        let is_known = self.state.is_synchronized();
        let next = self.send.next;
        self.end(shared, CloseReason::TimedOut);
        self.pending.reset = is_known.then_some(next);
        debug_assert!(self.events.has(Events::CLOSED), "an end is told");
    }
}
