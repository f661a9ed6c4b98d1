//! Round-trip time and retransmission time-out (RFC 6298).

use crate::config::Config;
use crate::time::{Duration, Instant};

/// What is known of the round-trip time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    /// SRTT and RTTVAR in microseconds; both 0 before the first sample.
    smoothed: u32,
    variation: u32,
    /// The shortest of the last minutes, in microseconds.
    min: u32,
    /// When, in seconds.
    min_at: u32,
    /// How often the time-out was doubled.
    backoff: u8,
    /// RFC 6298 section 5.7: the SYN was lost, begin with 3 s.
    syn_was_lost: bool,
}

/// Paths change: an older minimum does not count any more.
const MIN_WINDOW_SECONDS: u32 = 300;
const BACKOFF_MAX: u8 = 16;

impl Rtt {
    pub(crate) const UNKNOWN: Self = Self {
        smoothed: 0,
        variation: 0,
        min: u32::MAX,
        min_at: 0,
        backoff: 0,
        syn_was_lost: false,
    };

    /// RFC 6298 section 2. `smallest` is the sample with the least delay, for those who look for the path's
    /// own time.
    #[inline]
    pub(crate) fn sample(&mut self, now: Instant, sample: Duration, smallest: Duration) {
        let sample = sample.micros().clamp(1, MAX_MICROS) as u32;
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (sample, sample / 2);
        } else {
            let difference = self.smoothed.abs_diff(sample);
            self.variation = self.variation - self.variation / 4 + difference / 4;
            self.smoothed = (self.smoothed - self.smoothed / 8 + sample / 8).max(1);
        }
        let smallest = smallest.micros().clamp(1, MAX_MICROS) as u32;
        if smallest <= self.min || now.seconds().wrapping_sub(self.min_at) > MIN_WINDOW_SECONDS {
            (self.min, self.min_at) = (smallest, now.seconds());
        }
    }

    /// SRTT, once there was a sample.
    #[inline]
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.smoothed > 0).then_some(Duration::from_micros(self.smoothed.into()))
    }

    /// RTTVAR, once there was a sample.
    pub(crate) fn variation(&self) -> Option<Duration> {
        (self.smoothed > 0).then_some(Duration::from_micros(self.variation.into()))
    }

    /// The shortest of the last minutes, once there was a sample.
    pub(crate) fn min(&self) -> Option<Duration> {
        (self.min < u32::MAX).then_some(Duration::from_micros(self.min.into()))
    }

    /// RFC 6298 sections 2.3 to 2.5 and 5.5. The variation counts for no less than the minimum, so that a
    /// peer's delayed acknowledgements are waited for whatever the path.
    #[inline]
    pub(crate) fn timeout(&self, config: &Config) -> Duration {
        let base = if self.smoothed == 0 {
            if self.syn_was_lost { config.rto_initial.times(3) } else { config.rto_initial }
        } else {
            let variation = Duration::from_micros(4 * u64::from(self.variation));
            Duration::from_micros(self.smoothed.into()).plus(variation.max(config.rto_min))
        };
        if self.backoff == 0 {
            return base.min(config.rto_max);
        }
        base.times(1 << self.backoff.min(BACKOFF_MAX)).min(config.rto_max)
    }

    /// RFC 6298 section 5.5.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// Something new was acknowledged: the path works.
    #[inline]
    pub(crate) fn end_backoff(&mut self) {
        self.backoff = 0;
    }

    /// RFC 6298 section 5.7.
    pub(crate) fn syn_was_lost(&mut self) {
        self.syn_was_lost = true;
    }
}

/// So that four variations fit into 32 bits.
const MAX_MICROS: u64 = 1 << 29;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn sample(rtt: &mut Rtt, count: u64) {
        rtt.sample(Instant::START, millis(count), millis(count));
    }

    #[test]
    fn rfc_6298_2_the_timeout_follows_samples() {
        let config = Config { rto_min: millis(1), ..Config::default() };
        let mut rtt = Rtt::UNKNOWN;
        assert_eq!(rtt.timeout(&config), Duration::from_secs(1));
        sample(&mut rtt, 100);
        assert_eq!(rtt.timeout(&config), millis(300));
        for _ in 0..100 {
            sample(&mut rtt, 100);
        }
        assert!(rtt.timeout(&config) < millis(102));
        assert_eq!(rtt.min(), Some(millis(100)));
    }

    #[test]
    fn rfc_6298_5_5_the_timeout_doubles_up_to_its_maximum() {
        let config = Config::default();
        let mut rtt = Rtt::UNKNOWN;
        rtt.back_off();
        assert_eq!(rtt.timeout(&config), Duration::from_secs(2));
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(&config), config.rto_max);
        rtt.end_backoff();
        assert_eq!(rtt.timeout(&config), Duration::from_secs(1));
    }

    #[test]
    fn rfc_6298_5_7_a_lost_syn_makes_the_first_timeout_three_seconds() {
        let mut rtt = Rtt::UNKNOWN;
        rtt.syn_was_lost();
        assert_eq!(rtt.timeout(&Config::default()), Duration::from_secs(3));
    }

    #[test]
    fn rfc_6298_2_3_the_means_move_by_an_eighth_and_a_quarter() {
        let config = Config { rto_min: millis(1), ..Config::default() };
        let mut rtt = Rtt::UNKNOWN;
        assert_eq!((rtt.smoothed(), rtt.variation(), rtt.min()), (None, None, None));
        for (count, smoothed, variation, min) in [
            (800, 800_000, 400_000, 800),
            // SRTT 7/8 of 800 and 1/8 of 1600, RTTVAR 3/4 of 400 and 1/4 of the difference of 800.
            (1_600, 900_000, 500_000, 800),
            (100, 800_000, 575_000, 100),
            (800, 800_000, 431_250, 100),
        ] {
            sample(&mut rtt, count);
            let micros = |duration: Option<Duration>| duration.unwrap().micros();
            assert_eq!((micros(rtt.smoothed()), micros(rtt.variation())), (smoothed, variation));
            assert_eq!(rtt.min(), Some(millis(min)));
            assert_eq!(rtt.timeout(&config).micros(), smoothed + 4 * variation);
        }
        // RFC 6298 section 2.4 and 2.5: neither shorter nor longer than that.
        let mut rtt = Rtt::UNKNOWN;
        sample(&mut rtt, 1);
        assert_eq!(rtt.timeout(&Config::default()).micros(), 201_000);
        sample(&mut rtt, 1 << 40);
        assert_eq!(rtt.timeout(&Config::default()), Duration::from_secs(60));
        assert_eq!(rtt.smoothed().unwrap().micros(), 1_000 - 125 + (1 << 29) / 8);
        let mut rtt = Rtt::UNKNOWN;
        rtt.sample(Instant::START, Duration::ZERO, Duration::ZERO);
        assert_eq!(
            (rtt.smoothed(), rtt.min()),
            (Some(Duration::from_micros(1)), Some(Duration::from_micros(1)))
        );
    }

    #[test]
    fn the_minimum_is_of_five_minutes() {
        let mut rtt = Rtt::UNKNOWN;
        for (seconds, count, min) in [
            (10, 50, 50),
            (200, 60, 50),
            (310, 60, 50),
            (311, 60, 60),
            (500, 60, 60),
            (800, 70, 60),
            (801, 70, 70),
        ] {
            let now = Instant::START + Duration::from_secs(seconds);
            rtt.sample(now, millis(900), millis(count));
            assert_eq!(rtt.min(), Some(millis(min)), "{seconds}");
        }
    }

    #[test]
    fn rfc_6298_5_5_each_timeout_is_twice_the_one_before() {
        let config = Config { rto_max: Duration::ENDLESS, ..Config::default() };
        let mut rtt = Rtt::UNKNOWN;
        for count in 0..20_u32 {
            assert_eq!(u32::from(rtt.backoff()), count);
            assert_eq!(rtt.timeout(&config), Duration::from_secs(1 << count.min(16)));
            rtt.back_off();
        }
        rtt.end_backoff();
        rtt.syn_was_lost();
        sample(&mut rtt, 100);
        assert_eq!(rtt.timeout(&config), millis(300));
    }
}
