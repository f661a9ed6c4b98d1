//! Congestion control: how much may be on its way (RFC 5681), behind one small trait.

mod bbr;
mod cubic;
mod hystart;
mod reno;

use crate::config::Config;
use crate::rtt::Rtt;
use crate::scoreboard::{Delivery, Stamp};
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use bbr::Bbr;
use cubic::Cubic;
use reno::Reno;

/// What decides the congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 9438, with HyStart++ (RFC 9406).
    Cubic,
    /// RFC 5681, counting bytes (RFC 3465).
    Reno,
    /// BBR: a model of the path's bandwidth and round-trip time, instead of loss.
    Bbr,
    /// Nothing: only the peer's window counts. For links that lose nothing.
    Off,
}

/// The window, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// RFC 5681: cwnd.
    pub(crate) size: u32,
    /// RFC 5681: ssthresh.
    pub(crate) threshold: u32,
    /// SMSS.
    pub(crate) mss: u32,
}

impl Window {
    #[inline]
    /// The slow start threshold, unless it is still the first, which is above all windows.
    pub(crate) fn known_threshold(&self) -> Option<u32> {
        (self.threshold < WINDOW_MAX).then_some(self.threshold)
    }

    pub(crate) fn is_in_slow_start(&self) -> bool {
        self.size < self.threshold
    }

    /// RFC 5681 section 3.1, equation 2, where bytes count (RFC 3465). There is no other limit per
    /// acknowledgement: what a stretched one lets go is paced.
    fn grow_exponentially(&mut self, acknowledged: u32) -> u32 {
        let room = self.threshold.saturating_sub(self.size);
        let count = acknowledged.min(room);
        self.grow(count);
        acknowledged - count
    }

    fn grow(&mut self, bytes: u32) {
        self.size = self.size.saturating_add(bytes).min(WINDOW_MAX);
    }
}

/// RFC 7323 section 2.3: no window is larger.
const WINDOW_MAX: u32 = 1 << 30;

/// An acknowledgement, as far as congestion control is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgement<'a> {
    pub(crate) now: Instant,
    pub(crate) delivery: &'a Delivery,
    pub(crate) rtt: &'a Rtt,
    /// SND.UNA and SND.NXT.
    pub(crate) unacknowledged: SeqNumber,
    pub(crate) next: SeqNumber,
    /// Octets in flight, before and after.
    pub(crate) flight_before: u32,
    pub(crate) in_flight: u32,
    /// The window was what limited the flight.
    pub(crate) is_limited: bool,
    /// Losses are being repaired, and the flight is controlled by that.
    pub(crate) is_recovering: bool,
}

/// One way to decide the window. Numbers are bytes, and bytes per second.
trait Controller {
    /// Something arrived.
    fn on_acknowledgement(&mut self, window: &mut Window, ack: &Acknowledgement<'_>);

    /// Something was lost or marked, for the first time in this flight: sets the threshold.
    fn on_congestion(&mut self, window: &mut Window, now: Instant);

    /// The retransmission timer expired; the window is made small by who calls.
    fn on_timeout(&mut self, window: &mut Window, now: Instant) {
        self.on_congestion(window, now);
    }

    /// The last congestion or time-out was none. The window is put back by who calls.
    fn on_undo(&mut self);

    /// Nothing was in flight for so long.
    fn on_idle(&mut self, _idle: Duration) {}
}

/// The congestion control of a connection.
#[derive(Debug)]
pub(crate) struct Congestion {
    pub(crate) window: Window,
    control: Control,
}

/// State beyond the window is made when the window limits for the first time: most connections never come
/// to that.
#[derive(Debug)]
enum Control {
    Cubic(Option<Box<Cubic>>),
    Reno(Option<Box<Reno>>),
    Bbr(Box<Bbr>),
    Off,
}

impl Congestion {
    pub(crate) fn new(config: &Config, mss: u16, now: Instant) -> Self {
        let mss = u32::from(mss);
        let window = Window { size: initial_window(config, mss), threshold: WINDOW_MAX, mss };
        let control = match config.congestion_control {
            Algorithm::Cubic => Control::Cubic(None),
            Algorithm::Reno => Control::Reno(None),
            Algorithm::Bbr => Control::Bbr(Box::new(Bbr::new(now))),
            Algorithm::Off => Control::Off,
        };
        Self { window, control }
    }

    /// Bytes that may be in flight.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        match self.control {
            Control::Off => WINDOW_MAX,
            _ => self.window.size,
        }
    }

    /// Its window says how much may leave during recovery; else RFC 9937 does.
    pub(crate) fn controls_recovery(&self) -> bool {
        matches!(self.control, Control::Bbr(_) | Control::Off)
    }

    #[inline]
    pub(crate) fn on_acknowledgement(&mut self, ack: &Acknowledgement<'_>) {
        let is_growing = ack.is_limited && !ack.is_recovering;
        let window = &mut self.window;
        match &mut self.control {
            Control::Bbr(bbr) => bbr.on_acknowledgement(window, ack),
            Control::Cubic(cubic) if is_growing => {
                let cubic = cubic.get_or_insert_with(|| Box::new(Cubic::new(ack.unacknowledged)));
                cubic.on_acknowledgement(window, ack);
            }
            Control::Reno(reno) if is_growing => {
                reno.get_or_insert_default().on_acknowledgement(window, ack);
            }
            _ => {}
        }
    }

    pub(crate) fn on_congestion(&mut self, now: Instant, next: SeqNumber) {
        self.with(next, |controller, window| controller.on_congestion(window, now));
    }

    pub(crate) fn on_timeout(&mut self, now: Instant, next: SeqNumber) {
        self.with(next, |controller, window| controller.on_timeout(window, now));
    }

    /// What was believed lost was not: the window that was is put back.
    pub(crate) fn undo(&mut self, size: u32, threshold: u32) {
        self.window.size = self.window.size.max(size);
        self.window.threshold = self.window.threshold.max(threshold);
        self.with(SeqNumber(0), |controller, _| controller.on_undo());
    }

    /// RFC 5681 section 4.1: after a pause, the restart window. The threshold remembers what was
    /// (RFC 7661 section 4.4 in spirit: three quarters).
    pub(crate) fn on_idle(&mut self, config: &Config, idle: Duration, rto: Duration) {
        if !matches!(self.control, Control::Off | Control::Bbr(_)) && idle > rto {
            let window = &mut self.window;
            let restart = initial_window(config, window.mss);
            if window.size > restart {
                window.threshold = window.threshold.max(window.size - window.size / 4);
                // Halved for each time-out that has passed, as Linux does (RFC 2861).
                let halvings = (idle.micros() / rto.micros().max(1)).min(31) as u32;
                window.size = (window.size >> halvings).max(restart);
            }
        }
        self.with(SeqNumber(0), |controller, _| controller.on_idle(idle));
    }

    /// The segment size has changed.
    pub(crate) fn set_mss(&mut self, mss: u16) {
        self.window.mss = u32::from(mss);
    }

    /// Bytes per second at which to send; `None` for as fast as the window lets.
    #[inline]
    pub(crate) fn pacing_rate(&self, rtt: &Rtt, config: &Config) -> Option<u64> {
        match &self.control {
            Control::Bbr(bbr) => Some(bbr.pacing_rate(&self.window, rtt)),
            Control::Off => None,
            _ => {
                // RFC 6928: an initial window may leave at once.
                let initial = config.initial_window_segments * self.window.mss;
                if self.window.size <= initial || !config.pacing {
                    return None;
                }
                let rtt = rtt.smoothed().filter(|rtt| *rtt >= PACED_RTT_MIN)?;
                let rate = u64::from(self.window.size) * 1_000_000 / rtt.micros();
                // As Linux: fast enough to double within a round trip, or else not to hinder growth.
                Some(if self.is_young() { rate * 2 } else { rate * 6 / 5 })
            }
        }
    }

    /// By how much a transmission may be early after a pause. While no congestion is near that is a quarter of a round trip,
    /// half of a window at that rate: a page on a connection that has carried larger ones need not wait.
    #[inline]
    pub(crate) fn pacing_slack(&self, rtt: &Rtt) -> Duration {
        match &self.control {
            Control::Cubic(_) | Control::Reno(_) if self.is_young() => {
                rtt.smoothed().unwrap_or_default().divided(4)
            }
            _ => Duration::default(),
        }
    }

    fn is_young(&self) -> bool {
        self.window.size < self.window.threshold / 2
    }

    /// Bytes per second that arrive, if that is measured and there was something.
    pub(crate) fn delivery_rate(&self) -> Option<u64> {
        match &self.control {
            Control::Bbr(bbr) => Some(bbr.bandwidth()).filter(|rate| *rate > 0),
            _ => None,
        }
    }

    /// It needs to know of every delivery.
    #[inline]
    pub(crate) fn measures_deliveries(&self) -> bool {
        matches!(self.control, Control::Bbr(_))
    }

    /// What to remember of the delivery with a transmission.
    #[inline]
    pub(crate) fn stamp(&mut self, now: Instant, in_flight: u32) -> Stamp {
        match &mut self.control {
            Control::Bbr(bbr) => bbr.stamp(now, in_flight),
            _ => Stamp::default(),
        }
    }

    /// The application has nothing more to send, and the window is not full.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        if let Control::Bbr(bbr) = &mut self.control
            && in_flight < self.window.size
        {
            bbr.on_app_limited(in_flight);
        }
    }

    /// Losses have been repaired.
    pub(crate) fn on_recovered(&mut self) {
        match &mut self.control {
            Control::Bbr(bbr) => bbr.on_recovered(&mut self.window),
            Control::Off => {}
            _ => self.window.size = self.window.size.min(self.window.threshold),
        }
    }

    fn with(&mut self, next: SeqNumber, act: impl FnOnce(&mut dyn Controller, &mut Window)) {
        let window = &mut self.window;
        match &mut self.control {
            Control::Cubic(cubic) => {
                let cubic = cubic.get_or_insert_with(|| Box::new(Cubic::new(next)));
                act(&mut **cubic, window);
            }
            Control::Reno(reno) => act(&mut **reno.get_or_insert_default(), window),
            Control::Bbr(bbr) => act(&mut **bbr, window),
            Control::Off => {}
        }
    }
}

/// With a shorter round trip, timers cost more than bursts.
const PACED_RTT_MIN: Duration = Duration::from_millis(2);

/// RFC 6928 section 2, in segments as configured.
fn initial_window(config: &Config, mss: u32) -> u32 {
    let segments = config.initial_window_segments;
    (segments * mss).min((segments * 1_460).max(2 * mss))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Acknowledgements of a flight on a path with that round trip.
    pub(crate) struct Path {
        pub(crate) now: Instant,
        pub(crate) rtt: Rtt,
        pub(crate) next: SeqNumber,
    }

    impl Path {
        pub(crate) fn new(millis: u64) -> Self {
            let mut rtt = Rtt::UNKNOWN;
            let sample = Duration::from_millis(millis);
            rtt.sample(Instant::START, sample, sample);
            Self { now: Instant::START, rtt, next: SeqNumber(0) }
        }

        /// A round trip in which the window is sent, and acknowledged by twos.
        pub(crate) fn round(&mut self, congestion: &mut Congestion, millis: u64) {
            let size = congestion.size();
            let sample = Duration::from_millis(millis);
            self.rtt.sample(self.now, sample, sample);
            let mut una = self.next;
            self.next = self.next + size;
            while una != self.next {
                let count = self.next.distance_from(una).min(2 * congestion.window.mss);
                let delivery = Delivery {
                    acknowledged: count,
                    delivered: count,
                    rtt: Some((sample, sample)),
                    ..Delivery::NONE
                };
                una = una + count;
                congestion.on_acknowledgement(&Acknowledgement {
                    now: self.now,
                    delivery: &delivery,
                    rtt: &self.rtt,
                    unacknowledged: una,
                    // What was acknowledged has made room.
                    next: una + size,
                    flight_before: size,
                    in_flight: size,
                    is_limited: true,
                    is_recovering: false,
                });
            }
            self.now = self.now + sample;
        }
    }

    pub(crate) fn congestion(algorithm: Algorithm) -> Congestion {
        let config = Config { congestion_control: algorithm, ..Config::default() };
        Congestion::new(&config, 1_000, Instant::START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6928_2_initial_windows() {
        let config = Config::default();
        assert_eq!(initial_window(&config, 1_460), 14_600);
        assert_eq!(initial_window(&config, 536), 5_360);
        assert_eq!(initial_window(&config, 9_000), 18_000);
    }

    #[test]
    fn rfc_5681_4_1_a_pause_is_a_new_beginning() {
        let config = Config::default();
        let mut congestion = Congestion::new(&config, 1_000, Instant::START);
        congestion.window.size = 80_000;
        let rto = Duration::from_millis(300);
        congestion.on_idle(&config, Duration::from_millis(200), rto);
        assert_eq!(congestion.size(), 80_000);
        congestion.on_idle(&config, Duration::from_millis(700), rto);
        assert_eq!(congestion.size(), 20_000);
        congestion.on_idle(&config, Duration::from_secs(70), rto);
        assert_eq!(congestion.size(), 10_000);
    }
}
