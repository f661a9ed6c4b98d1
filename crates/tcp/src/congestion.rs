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

        /// One without anything in flight, which says this.
        pub(crate) fn acknowledgement<'a>(&'a self, delivery: &'a Delivery) -> Acknowledgement<'a> {
            Acknowledgement {
                now: self.now,
                delivery,
                rtt: &self.rtt,
                unacknowledged: SeqNumber(0),
                next: SeqNumber(0),
                flight_before: 0,
                in_flight: 0,
                is_limited: true,
                is_recovering: false,
            }
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

    #[test]
    fn rfc_6928_2_an_initial_window_is_ten_segments_of_1460_or_two_larger_ones() {
        let config = Config::default();
        let rows = [(1_000, 10_000), (1_461, 14_600), (7_300, 14_600), (7_301, 14_602)];
        for (mss, window) in rows {
            assert_eq!(initial_window(&config, mss), window);
        }
    }

    #[test]
    fn what_is_paced_and_how_fast() {
        let config = Config::default();
        let unpaced = Config { pacing: false, ..Config::default() };
        let (fast, slow) = (testing::Path::new(1).rtt, testing::Path::new(100).rtt);
        for (algorithm, size, threshold, rate, slack) in [
            // Twice a window in a round trip while it is young, and six fifths of it later.
            (Algorithm::Cubic, 10_000, 1 << 30, None, 25_000),
            (Algorithm::Cubic, 10_001, 1 << 30, Some(200_020), 25_000),
            (Algorithm::Reno, 20_000, 40_002, Some(400_000), 25_000),
            (Algorithm::Reno, 20_000, 40_001, Some(240_000), 0),
            (Algorithm::Cubic, 20_000, 20_000, Some(240_000), 0),
            (Algorithm::Off, 20_000, 20_000, None, 0),
        ] {
            let mut congestion = testing::congestion(algorithm);
            (congestion.window.size, congestion.window.threshold) = (size, threshold);
            assert_eq!(congestion.pacing_rate(&slow, &config), rate, "{algorithm:?} {size}");
            assert_eq!(congestion.pacing_rate(&slow, &unpaced), None);
            assert_eq!(congestion.pacing_rate(&fast, &config), None);
            assert_eq!(congestion.pacing_rate(&Rtt::UNKNOWN, &config), None);
            assert_eq!(congestion.pacing_slack(&slow).micros(), slack, "{algorithm:?} {size}");
            assert_eq!(congestion.delivery_rate(), None);
            assert_eq!(congestion.controls_recovery(), algorithm == Algorithm::Off);
            assert!(!congestion.measures_deliveries());
        }
        let mut congestion = testing::congestion(Algorithm::Cubic);
        congestion.window.size = 20_000;
        assert!(congestion.pacing_rate(&testing::Path::new(2).rtt, &config).is_some());
        let bbr = testing::congestion(Algorithm::Bbr);
        assert!(bbr.controls_recovery() && bbr.measures_deliveries());
        // 2 / ln 2 of the initial window in a round trip.
        assert_eq!(bbr.pacing_rate(&slow, &config), Some(288_671));
        assert_eq!((bbr.pacing_slack(&slow), bbr.delivery_rate()), (Duration::ZERO, None));
    }

    #[test]
    fn a_window_grows_only_where_it_limits_and_nothing_is_repaired() {
        for (is_limited, is_recovering, size) in
            [(true, false, 11_000), (false, false, 10_000), (true, true, 10_000)]
        {
            for algorithm in [Algorithm::Cubic, Algorithm::Reno] {
                let mut congestion = testing::congestion(algorithm);
                let delivery = Delivery { acknowledged: 1_000, delivered: 1_000, ..Delivery::NONE };
                congestion.on_acknowledgement(&Acknowledgement {
                    now: Instant::START,
                    delivery: &delivery,
                    rtt: &Rtt::UNKNOWN,
                    unacknowledged: SeqNumber(1_000),
                    next: SeqNumber(1_000),
                    flight_before: 10_000,
                    in_flight: 9_000,
                    is_limited,
                    is_recovering,
                });
                assert_eq!(congestion.size(), size, "{algorithm:?} {is_limited}");
            }
        }
        let mut window = Window { size: (1 << 30) - 5, threshold: 1 << 30, mss: 1_000 };
        assert_eq!((window.grow_exponentially(1_000), window.size), (995, 1 << 30));
        assert!(!window.is_in_slow_start() && window.known_threshold().is_none());
        window.threshold -= 1;
        assert_eq!(window.known_threshold(), Some((1 << 30) - 1));
        window.grow(u32::MAX);
        assert_eq!(window.size, 1 << 30);
    }

    #[test]
    fn what_was_put_back_and_what_a_pause_leaves() {
        let config = Config::default();
        let rto = Duration::from_millis(300);
        for (algorithm, size, idle, left, threshold) in [
            (Algorithm::Cubic, 80_000, 300_000, 80_000, 1_000),
            (Algorithm::Cubic, 80_000, 300_001, 40_000, 60_000),
            (Algorithm::Cubic, 80_000, 599_999, 40_000, 60_000),
            (Algorithm::Reno, 80_000, 600_000, 20_000, 60_000),
            (Algorithm::Reno, 80_000, 900_000, 10_000, 60_000),
            (Algorithm::Reno, 10_000, 900_000, 10_000, 1_000),
            (Algorithm::Off, 80_000, 900_000, 1 << 30, 1_000),
            (Algorithm::Bbr, 80_000, 900_000, 80_000, 1_000),
        ] {
            let mut congestion = testing::congestion(algorithm);
            (congestion.window.size, congestion.window.threshold) = (size, 1_000);
            congestion.on_idle(&config, Duration::from_micros(idle), rto);
            let found = (congestion.size(), congestion.window.threshold);
            assert_eq!(found, (left, threshold), "{algorithm:?} {size} {idle}");
        }
        for (window, back, left) in [
            ((10_000, 5_000), (20_000, 30_000), (20_000, 30_000)),
            ((40_000, 50_000), (20_000, 30_000), (40_000, 50_000)),
        ] {
            let mut congestion = testing::congestion(Algorithm::Cubic);
            (congestion.window.size, congestion.window.threshold) = window;
            congestion.undo(back.0, back.1);
            assert_eq!((congestion.window.size, congestion.window.threshold), left);
        }
        for (algorithm, left) in [(Algorithm::Cubic, 5_000), (Algorithm::Off, 10_000)] {
            let mut congestion = testing::congestion(algorithm);
            congestion.window.threshold = 5_000;
            congestion.on_recovered();
            assert_eq!(congestion.window.size, left);
            congestion.set_mss(777);
            assert_eq!(congestion.window.mss, 777);
        }
    }
}
