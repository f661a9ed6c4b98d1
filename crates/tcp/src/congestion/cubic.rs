//! CUBIC: the window as a cubic function of the time since the last congestion (RFC 9438).

use super::hystart::HyStart;
use super::{Acknowledgement, Controller, Window};
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Cubic {
    hystart: HyStart,
    epoch: Option<Epoch>,
    /// W_max, in bytes; 0 before there was congestion.
    window_max: u32,
    /// cwnd_prior, in bytes.
    window_prior: u32,
    /// What to go back to when the congestion was none.
    saved: (u32, Option<Epoch>),
}

/// A time of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// The time until the window is W_max, in milliseconds: K.
    rise_millis: u64,
    /// The window at which the curve is flat, in bytes.
    origin: u32,
    /// W_est, in 1/256 bytes.
    reno: u64,
    /// Growth that is less than a byte so far: (target - cwnd) * acknowledged, of which cwnd make a byte.
    rest: u64,
}

impl Cubic {
    pub(super) fn new(next: SeqNumber) -> Self {
        Self {
            hystart: HyStart::new(next),
            epoch: None,
            window_max: 0,
            window_prior: 0,
            saved: (0, None),
        }
    }

    fn avoid(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        let (max, prior) = (self.window_max, self.window_prior);
        let epoch = self.epoch.get_or_insert_with(|| Epoch::new(ack.now, window, max));
        let size = u64::from(window.size);
        let count = u64::from(ack.delivery.delivered);
        let elapsed = ack.now.since(epoch.start);
        // RFC 9438 section 4.3: Reno's window with the same decrease.
        let is_past = epoch.reno >= u64::from(prior) << 8;
        let numerator = if is_past { 17 } else { 9 };
        epoch.reno += ((count * u64::from(window.mss)) << 8) / size * numerator / 17;
        let reno = (epoch.reno >> 8).min(u64::from(super::WINDOW_MAX)) as u32;
        if epoch.window(elapsed, window.mss) < reno {
            window.size = window.size.max(reno);
            return;
        }
        // Section 4.2 and 4.4: a round trip ahead, and at most half as much again.
        let ahead = elapsed.plus(ack.rtt.smoothed().unwrap_or_default());
        let target =
            epoch.window(ahead, window.mss).clamp(window.size, window.size + window.size / 2);
        epoch.rest += u64::from(target - window.size) * count;
        window.grow((epoch.rest / size) as u32);
        epoch.rest %= size;
    }
}

impl Epoch {
    /// RFC 9438 section 4.2.
    fn new(now: Instant, window: &Window, max: u32) -> Self {
        let below = max.saturating_sub(window.size);
        // K = cbrt((W_max - cwnd) / C), with C = 0.4 segments per second cubed.
        let cubed = u64::from(below) * 2_500_000_000 / u64::from(window.mss);
        Self {
            start: now,
            rise_millis: cube_root(cubed),
            origin: max.max(window.size),
            reno: u64::from(window.size) << 8,
            rest: 0,
        }
    }

    /// W_cubic(t) in bytes.
    fn window(&self, elapsed: Duration, mss: u32) -> u32 {
        let millis = elapsed.micros() / 1_000;
        let offset = millis.abs_diff(self.rise_millis).min(OFFSET_MILLIS_MAX);
        let change = offset * offset * offset / 1_000_000 * u64::from(mss) * 4 / 10_000;
        let change = change.min(u64::from(super::WINDOW_MAX)) as u32;
        if millis < self.rise_millis {
            self.origin.saturating_sub(change)
        } else {
            self.origin.saturating_add(change).min(super::WINDOW_MAX)
        }
    }
}

/// So that the cube of it fits; the window is at its maximum long before.
const OFFSET_MILLIS_MAX: u64 = 200_000;

impl Controller for Cubic {
    fn on_acknowledgement(&mut self, window: &mut Window, ack: &Acknowledgement<'_>) {
        if window.is_in_slow_start() {
            let growth = self.hystart.growth(window, ack);
            window.grow_exponentially(growth);
        } else {
            self.avoid(window, ack);
        }
    }

    fn on_congestion(&mut self, window: &mut Window, _: Instant) {
        self.saved = (self.window_max, self.epoch.take());
        self.window_prior = window.size;
        // RFC 9438 section 4.7: fast convergence makes room for new flows.
        self.window_max = if window.size < self.window_max {
            (u64::from(window.size) * 17 / 20) as u32
        } else {
            window.size
        };
        // Section 4.6: 0.7.
        window.threshold = ((u64::from(window.size) * 7 / 10) as u32).max(2 * window.mss);
    }

    /// Section 4.9.2.
    fn on_undo(&mut self) {
        (self.window_max, self.epoch) = self.saved;
    }

    /// Section 5.8: time without data does not count.
    fn on_idle(&mut self, idle: Duration) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start = epoch.start + idle;
        }
    }
}

/// The whole part.
fn cube_root(number: u64) -> u64 {
    let mut root = 0_u64;
    for bit in (0..22).rev() {
        let more = root | 1 << bit;
        if more.checked_pow(3).is_some_and(|cube| cube <= number) {
            root = more;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Path, congestion};
    use super::super::*;
    use super::cube_root;

    #[test]
    fn cube_roots() {
        for (number, root) in [(0, 0), (1, 1), (7, 1), (8, 2), (26, 2), (27, 3), (1 << 60, 1 << 20)]
        {
            assert_eq!(cube_root(number), root);
        }
    }

    #[test]
    fn rfc_9438_4_2_the_window_comes_back_to_where_it_was_after_k() {
        let (mut congestion, mut path) = (congestion(Algorithm::Cubic), Path::new(100));
        congestion.window.size = 1_000_000;
        congestion.on_congestion(path.now, path.next);
        congestion.on_recovered();
        assert_eq!(congestion.size(), 700_000);
        // K = cbrt(300 / 0.4) = 9.08 s.
        for _ in 0..90 {
            path.round(&mut congestion, 100);
        }
        assert!((980_000..1_010_000).contains(&congestion.size()), "{}", congestion.size());
        for _ in 0..60 {
            path.round(&mut congestion, 100);
        }
        assert!(congestion.size() > 1_050_000, "{}", congestion.size());
    }

    #[test]
    fn rfc_9438_4_3_on_a_short_path_it_is_no_slower_than_reno() {
        let (mut congestion, mut path) = (congestion(Algorithm::Cubic), Path::new(1));
        congestion.window.size = 20_000;
        congestion.on_congestion(path.now, path.next);
        congestion.on_recovered();
        for _ in 0..30 {
            path.round(&mut congestion, 1);
        }
        assert!((26_000..40_000).contains(&congestion.size()), "{}", congestion.size());
    }

    #[test]
    fn rfc_9438_4_9_2_an_undone_congestion_leaves_no_trace() {
        let (mut congestion, path) = (congestion(Algorithm::Cubic), Path::new(1));
        congestion.window.size = 20_000;
        congestion.on_congestion(path.now, path.next);
        congestion.on_recovered();
        congestion.undo(20_000, WINDOW_MAX);
        assert_eq!((congestion.size(), congestion.window.threshold), (20_000, WINDOW_MAX));
    }

    fn window(size: u32) -> Window {
        Window { size, threshold: 1, mss: 1_000 }
    }

    /// C = 0.4 segments per second cubed: after K + t seconds there are 0.4 t^3 segments more than W_max.
    #[test]
    fn rfc_9438_4_2_the_cubic_function() {
        // K = cbrt(300 / 0.4) = 9.0856 s.
        let epoch = super::Epoch::new(Instant::START, &window(700_000), 1_000_000);
        assert_eq!((epoch.rise_millis, epoch.origin), (9_085, 1_000_000));
        for (millis, bytes) in [
            (0, 700_078),
            (8_085, 999_600),
            (9_084, 1_000_000),
            (9_085, 1_000_000),
            (10_085, 1_000_400),
            (14_085, 1_050_000),
            (19_085, 1_400_000),
        ] {
            let found = epoch.window(Duration::from_millis(millis), 1_000);
            assert!(found.abs_diff(bytes) <= 80, "{millis}: {found}");
        }
        assert_eq!(epoch.window(Duration::from_secs(1 << 40), 1_000), 1 << 30);
        // Above W_max the curve begins where the window is.
        let epoch = super::Epoch::new(Instant::START, &window(2_000_000), 1_000_000);
        assert_eq!((epoch.rise_millis, epoch.origin), (0, 2_000_000));
        let found = epoch.window(Duration::from_secs(10), 1_000);
        assert_eq!(found, 2_400_000);
        // A curve that would begin below nothing.
        let epoch = super::Epoch::new(Instant::START, &window(0), 10_000);
        assert_eq!(epoch.window(Duration::ZERO, 1_000_000), 0);
    }

    #[test]
    fn rfc_9438_4_6_and_4_7_a_congestion_takes_three_tenths_and_makes_room_for_others() {
        let mut cubic = Cubic::new(SeqNumber(0));
        for (size, threshold, max) in [
            (1_000_000, 700_000, 1_000_000),
            // Below W_max: 0.85 of the window is the next one.
            (800_000, 560_000, 680_000),
            (680_000, 476_000, 680_000),
            (679_999, 475_999, 577_999),
            (1_000, 2_000, 850),
        ] {
            let mut window = window(size);
            cubic.on_congestion(&mut window, Instant::START);
            assert_eq!((window.threshold, cubic.window_max), (threshold, max), "{size}");
            assert_eq!((window.size, cubic.window_prior), (size, size));
        }
        cubic.on_undo();
        assert_eq!(cubic.window_max, 577_999);
    }

    /// Each step by hand: Reno's window with 9/17 of a segment for a window, then one; or the cubic function a round trip
    /// ahead.
    #[test]
    fn rfc_9438_4_3_and_4_4_growth_for_each_acknowledgement() {
        let mut path = Path::new(100);
        let mut cubic = Cubic::new(SeqNumber(0));
        let mut window = window(20_000);
        cubic.on_congestion(&mut window, path.now);
        window.size = 14_000;
        let grow = |cubic: &mut Cubic, path: &Path, window: &mut Window, count| {
            let delivery = Delivery { acknowledged: count, delivered: count, ..Delivery::NONE };
            cubic.avoid(window, &path.acknowledgement(&delivery));
            window.size
        };
        // A window acknowledged at once is 1,000 * 9 / 17 = 529 bytes; the cubic function says 14,000, and 14,702 later.
        assert_eq!(grow(&mut cubic, &path, &mut window, 14_000), 14_529);
        path.now = path.now + Duration::from_millis(100);
        assert_eq!(grow(&mut cubic, &path, &mut window, 14_529), 15_058);
        // K is 2,466 ms. At 2,000 ms the function says 19,960, and a round trip later 19,981: a tenth of the way to that.
        path.now = path.now + Duration::from_millis(1_900);
        assert_eq!(grow(&mut cubic, &path, &mut window, 1_505), 15_550);
        // At most half as much again.
        path.now = path.now + Duration::from_secs(60);
        assert_eq!(grow(&mut cubic, &path, &mut window, 15_550), 23_325);
        // Where there was no congestion before, Reno's window grows by a whole segment.
        cubic = Cubic::new(SeqNumber(0));
        window.size = 14_000;
        assert_eq!(grow(&mut cubic, &path, &mut window, 14_000), 15_000);
    }
}
