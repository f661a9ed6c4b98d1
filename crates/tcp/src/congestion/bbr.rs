//! BBR: paces at the path's bandwidth and keeps a multiple of bandwidth times round trip in flight, as
//! measured, whatever is lost (draft-cardwell-iccrg-bbr-congestion-control-00, "BBR version 1").

use super::{Acknowledgement, Controller, Window};
use crate::rtt::Rtt;
use crate::scoreboard::{Latest, Stamp};
use crate::time::{Duration, Instant};

/// Gains in 1/256. Section 4.1.1.3: 2 / ln 2.
const UNIT: u64 = 256;
const GAIN_HIGH: u64 = 739;
const GAIN_DRAIN: u64 = 88;
const GAIN_WINDOW: u64 = 2 * UNIT;
/// Section 4.3.4.3.
const CYCLE: [u64; 8] = [UNIT * 5 / 4, UNIT * 3 / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// Rounds that the bandwidth filter looks back.
const BANDWIDTH_ROUNDS: u32 = 10;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
const SEGMENTS_MIN: u32 = 4;
/// Rounds of each half of the filter that remembers by how much acknowledgements exceed the bandwidth.
const EXCESS_ROUNDS: u32 = 5;
/// They are allowed for up to what the bandwidth carries in this time.
const EXCESS_MAX: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBandwidth,
    ProbeRtt,
}

#[derive(Debug)]
pub(super) struct Bbr {
    mode: Mode,
    /// Octets delivered, modulo 2^32, and when; when the flight that is being measured began.
    delivered: u32,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Samples up to this number of delivered octets say nothing of the path.
    app_limited_until: Option<u32>,
    round: u32,
    round_end: u32,
    is_round_start: bool,
    bandwidth: MaxFilter,
    min_rtt: Duration,
    min_rtt_at: Instant,
    probe_rtt_until: Option<Instant>,
    /// Section 4.3.2.2: the bandwidth has not grown by a quarter for three rounds.
    full_bandwidth: u64,
    full_rounds: u8,
    is_full: bool,
    cycle_index: usize,
    cycle_at: Instant,
    /// The window before it was made small, to be put back.
    prior_window: u32,
    is_recovering: bool,
    /// Section 4.2.3.4: one round in which what arrives decides what leaves, and whether that begins now.
    conserves_until: Option<u32>,
    begins_to_conserve: bool,
    excess: Excess,
    is_idle_restart: bool,
}

impl Bbr {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            mode: Mode::Startup,
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            app_limited_until: None,
            round: 0,
            round_end: 0,
            is_round_start: false,
            bandwidth: MaxFilter::default(),
            min_rtt: Duration::ENDLESS,
            min_rtt_at: now,
            probe_rtt_until: None,
            full_bandwidth: 0,
            full_rounds: 0,
            is_full: false,
            cycle_index: 0,
            cycle_at: now,
            prior_window: 0,
            is_recovering: false,
            conserves_until: None,
            begins_to_conserve: false,
            excess: Excess::new(now),
            is_idle_restart: false,
        }
    }

    pub(super) fn stamp(&mut self, now: Instant, in_flight: u32) -> Stamp {
        if in_flight == 0 {
            (self.first_sent_at, self.delivered_at) = (now, now);
            self.is_idle_restart = self.app_limited_until.is_some();
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at.micros() as u32,
            first_sent_at: self.first_sent_at.micros() as u32,
            is_app_limited: self.app_limited_until.is_some(),
        }
    }

    pub(super) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = Some(self.delivered.wrapping_add(in_flight.max(1)));
    }

    /// Bytes per second that the path carries, as far as was measured; 0 before.
    pub(super) fn bandwidth(&self) -> u64 {
        self.bandwidth.get()
    }

    pub(super) fn pacing_rate(&self, window: &Window, rtt: &Rtt) -> u64 {
        let gain = self.pacing_gain();
        let bandwidth = self.bandwidth.get();
        if bandwidth == 0 {
            // Section 4.2.1: the initial window in a round trip, or in a millisecond.
            let rtt = rtt.smoothed().unwrap_or(Duration::from_millis(1)).micros().max(1);
            return u64::from(window.size) * 1_000_000 / rtt * GAIN_HIGH / UNIT;
        }
        // One in a hundred is left, so that no queue forms (as Linux has it).
        let rate = bandwidth * gain / UNIT;
        (rate - rate / 100).max(1)
    }

    pub(super) fn on_recovered(&mut self, window: &mut Window) {
        self.is_recovering = false;
        self.conserves_until = None;
        window.size = window.size.max(self.prior_window);
    }

    fn pacing_gain(&self) -> u64 {
        match self.mode {
            Mode::Startup => GAIN_HIGH,
            Mode::Drain => GAIN_DRAIN,
            Mode::ProbeBandwidth => CYCLE.get(self.cycle_index).copied().unwrap_or(UNIT),
            Mode::ProbeRtt => UNIT,
        }
    }

    fn window_gain(&self) -> u64 {
        match self.mode {
            Mode::Startup | Mode::Drain => GAIN_HIGH,
            Mode::ProbeBandwidth => GAIN_WINDOW,
            Mode::ProbeRtt => UNIT,
        }
    }

    /// Bytes in flight at that gain; `None` before anything was measured.
    fn target(&self, gain: u64) -> Option<u32> {
        if self.min_rtt == Duration::ENDLESS || self.bandwidth.get() == 0 {
            return None;
        }
        let product = self.bandwidth.get().saturating_mul(self.min_rtt.micros()) / 1_000_000;
        Some((product * gain / UNIT).min(u64::from(super::WINDOW_MAX)) as u32)
    }

    fn measure(&mut self, latest: &Latest, ack: &Acknowledgement<'_>) {
        let stamp = latest.stamp;
        self.delivered = self.delivered.wrapping_add(ack.delivery.delivered);
        self.delivered_at = ack.now;
        self.first_sent_at = latest.sent_at;
        if (self.delivered.wrapping_sub(self.app_limited_until.unwrap_or(self.delivered)) as i32)
            > 0
        {
            self.app_limited_until = None;
        }
        self.is_round_start = (stamp.delivered.wrapping_sub(self.round_end) as i32) >= 0;
        if self.is_round_start {
            self.round_end = self.delivered;
            self.round = self.round.wrapping_add(1);
        }
        let sent_for = (latest.sent_at.micros() as u32).wrapping_sub(stamp.first_sent_at);
        let arrived_for = (ack.now.micros() as u32).wrapping_sub(stamp.delivered_at);
        let interval = u64::from(sent_for.max(arrived_for));
        // What arrives faster than any round trip is an artefact.
        if interval == 0 || Duration::from_micros(interval) < ack.rtt.min().unwrap_or_default() {
            return;
        }
        let count = u64::from(self.delivered.wrapping_sub(stamp.delivered));
        let rate = count * 1_000_000 / interval;
        if !stamp.is_app_limited || rate >= self.bandwidth.get() {
            self.bandwidth.put(self.round, rate);
        }
    }

    /// Section 4.3.2.
    fn check_full(&mut self, is_app_limited: bool) {
        if self.is_full || !self.is_round_start || is_app_limited {
            return;
        }
        let bandwidth = self.bandwidth.get();
        if bandwidth >= self.full_bandwidth + self.full_bandwidth / 4 {
            (self.full_bandwidth, self.full_rounds) = (bandwidth, 0);
        } else {
            self.full_rounds += 1;
            self.is_full = self.full_rounds >= 3;
        }
    }

    fn change_mode(&mut self, ack: &Acknowledgement<'_>) {
        if self.mode == Mode::Startup && self.is_full {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain
            && self.target(UNIT).is_some_and(|target| ack.in_flight <= target)
        {
            self.probe_bandwidth(ack.now);
        }
        if self.mode == Mode::ProbeBandwidth && self.is_phase_over(ack) {
            self.cycle_index = (self.cycle_index + 1) % CYCLE.len();
            self.cycle_at = ack.now;
        }
    }

    /// Section 4.3.4.3.
    fn is_phase_over(&self, ack: &Acknowledgement<'_>) -> bool {
        let is_long = ack.now.since(self.cycle_at) > self.min_rtt;
        let gain = self.pacing_gain();
        let reached = |gain| self.target(gain).is_some_and(|target| ack.flight_before >= target);
        if gain > UNIT {
            is_long && (ack.delivery.lost > 0 || reached(gain))
        } else if gain < UNIT {
            is_long || self.target(UNIT).is_some_and(|target| ack.flight_before <= target)
        } else {
            is_long
        }
    }

    fn probe_bandwidth(&mut self, now: Instant) {
        self.mode = Mode::ProbeBandwidth;
        // Anywhere but at the phase that drains; the time is as good as chance.
        self.cycle_index = match now.micros() as usize / 7 % 7 {
            0 => 0,
            index => index + 1,
        };
        self.cycle_at = now;
    }

    /// Section 4.3.5: now and then the queue is drained, to see how long the path is.
    fn update_min_rtt(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        let is_expired = ack.now.since(self.min_rtt_at) > MIN_RTT_WINDOW;
        if let Some((_, sample)) = ack.delivery.rtt
            && (sample <= self.min_rtt || is_expired)
        {
            (self.min_rtt, self.min_rtt_at) = (sample, ack.now);
        }
        if is_expired && !self.is_idle_restart && self.mode != Mode::ProbeRtt {
            self.mode = Mode::ProbeRtt;
            self.prior_window = self.prior_window.max(window.size);
            self.probe_rtt_until = None;
        }
        if self.mode == Mode::ProbeRtt {
            let is_drained = ack.in_flight <= SEGMENTS_MIN * window.mss;
            match self.probe_rtt_until {
                None if is_drained => self.probe_rtt_until = Some(ack.now + PROBE_RTT_TIME),
                Some(until) if ack.now >= until => {
                    self.min_rtt_at = ack.now;
                    window.size = window.size.max(self.prior_window);
                    if self.is_full {
                        self.probe_bandwidth(ack.now);
                    } else {
                        self.mode = Mode::Startup;
                    }
                }
                _ => {}
            }
        }
        self.is_idle_restart = false;
    }

    fn set_window(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        let count = ack.delivery.delivered;
        if self.conserves_until.is_some_and(|until| (self.delivered.wrapping_sub(until) as i32) > 0)
        {
            self.conserves_until = None;
        }
        // Section 4.2.3.4: what was lost does not leave again beside what is in flight.
        window.size = window.size.saturating_sub(ack.delivery.lost).max(window.mss);
        if core::mem::take(&mut self.begins_to_conserve) {
            window.size = ack.in_flight + count;
        }
        if self.conserves_until.is_some() {
            window.size = window.size.max(ack.in_flight + count);
        } else if let Some(target) = self.target(self.window_gain()) {
            // Room for segments that a device cuts, at both ends (section 4.2.3.2).
            let quantum = (self.bandwidth.get() / 1_000).clamp(2 * u64::from(window.mss), 65_536);
            let target = target.saturating_add(3 * quantum as u32);
            let target = target.saturating_add(self.excess.get(self.bandwidth.get()));
            if self.is_full {
                window.size = window.size.saturating_add(count).min(target);
            } else if window.size < target || self.delivered < 10 * window.mss {
                window.grow(count);
            }
        } else {
            window.grow(count);
        }
        window.size = window.size.max(SEGMENTS_MIN * window.mss);
        if self.mode == Mode::ProbeRtt {
            window.size = window.size.min(SEGMENTS_MIN * window.mss);
        }
    }
}

impl Controller for Bbr {
    fn on_acknowledgement(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        let Some(latest) = ack.delivery.latest else { return };
        self.measure(&latest, ack);
        if self.is_full {
            let (bandwidth, count) = (self.bandwidth.get(), ack.delivery.delivered);
            self.excess.update(ack.now, self.round, bandwidth, count, window.size);
        }
        self.check_full(latest.stamp.is_app_limited);
        self.change_mode(ack);
        self.update_min_rtt(window, ack);
        self.set_window(window, ack);
    }

    fn on_congestion(&mut self, window: &mut Window, _: Instant) {
        if !self.is_recovering && self.mode != Mode::ProbeRtt {
            self.prior_window = window.size;
        }
        self.begins_to_conserve = !self.is_recovering;
        self.is_recovering = true;
        // Until what was in flight has arrived or is lost.
        self.conserves_until = Some(self.delivered.wrapping_add(window.size.min(1 << 20) / 2));
    }

    fn on_timeout(&mut self, window: &mut Window, now: Instant) {
        self.on_congestion(window, now);
        (self.conserves_until, self.begins_to_conserve) = (None, false);
        self.full_bandwidth = 0;
        self.full_rounds = 0;
    }

    fn on_undo(&mut self) {
        self.full_bandwidth = 0;
        self.full_rounds = 0;
    }
}

/// By how much acknowledgements come in larger bunches than the bandwidth says: who waits for the next bunch needs that much
/// more in flight (draft-cardwell-iccrg-bbr-congestion-control-02 section 4.5.9).
#[derive(Debug)]
struct Excess {
    /// The interval since which they are counted, and the octets.
    since: Instant,
    octets: u64,
    /// The most of the last rounds, and of those before.
    most: [u32; 2],
    /// When they change places.
    round_end: u32,
}

impl Excess {
    fn new(now: Instant) -> Self {
        Self { since: now, octets: 0, most: [0; 2], round_end: EXCESS_ROUNDS }
    }

    fn update(&mut self, now: Instant, round: u32, bandwidth: u64, count: u32, window: u32) {
        if (round.wrapping_sub(self.round_end) as i32) >= 0 {
            self.most = [0, self.most[0]];
            self.round_end = round.wrapping_add(EXCESS_ROUNDS);
        }
        let expected = bandwidth.saturating_mul(now.since(self.since).micros()) / 1_000_000;
        let expected = if self.octets <= expected {
            (self.since, self.octets) = (now, 0);
            0
        } else {
            expected
        };
        self.octets += u64::from(count);
        let excess = (self.octets - expected).min(u64::from(window)) as u32;
        self.most[0] = self.most[0].max(excess);
    }

    fn get(&self, bandwidth: u64) -> u32 {
        let most = self.most[0].max(self.most[1]);
        let limit = bandwidth.saturating_mul(EXCESS_MAX.micros()) / 1_000_000;
        u64::from(most).min(limit) as u32
    }
}

/// The largest of the last rounds (Kathleen Nichols' windowed filter: the best three, by age).
#[derive(Debug, Default)]
struct MaxFilter {
    best: [(u32, u64); 3],
}

impl MaxFilter {
    fn get(&self) -> u64 {
        self.best[0].1
    }

    fn put(&mut self, round: u32, value: u64) {
        let sample = (round, value);
        let is_old =
            |best: (u32, u64), part: u32| round.wrapping_sub(best.0) > BANDWIDTH_ROUNDS * part / 4;
        if value >= self.best[0].1 || is_old(self.best[2], 4) {
            self.best = [sample; 3];
            return;
        }
        if value >= self.best[1].1 {
            (self.best[1], self.best[2]) = (sample, sample);
        } else if value >= self.best[2].1 {
            self.best[2] = sample;
        }
        if is_old(self.best[0], 4) {
            self.best = [self.best[1], self.best[2], sample];
            if is_old(self.best[0], 4) {
                self.best = [self.best[1], self.best[2], sample];
            }
        } else if self.best[1].0 == self.best[0].0 && is_old(self.best[1], 1) {
            (self.best[1], self.best[2]) = (sample, sample);
        } else if self.best[2].0 == self.best[1].0 && is_old(self.best[2], 2) {
            self.best[2] = sample;
        }
    }
}

#[cfg(test)]
mod tests;
