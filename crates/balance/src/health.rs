//! Health of one place: failures, by which it is left out for a time, and probes.

use crate::config::{Ejection, Probes};
use crate::window::{Counts, Window};
use core::time::Duration;

/// The part of its share with which a place begins, in thousandths.
const FIRST_SHARE: u64 = 100;

/// The health of one place.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// When it was last taken into use. What was asked before that says nothing about it.
    since: Duration,
    failures_in_row: u32,
    recent: Window,
    /// It has returned, and answered nothing well since: its next failure is enough.
    is_on_trial: bool,
    ejected_until: Option<Duration>,
    /// How often it was ejected, less by one for each time that it was in use as long as it was ejected.
    ejections: u32,
    ejected_for: Duration,
    probing: Probing,
}

/// What the probes say.
#[derive(Clone, Debug)]
struct Probing {
    is_ill: bool,
    /// Answers in a row that contradict `is_ill`.
    contradictions: u32,
    /// When it is to be asked; none while it is.
    due: Option<Duration>,
}

impl Health {
    /// That of a place that is new.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            since: now,
            failures_in_row: 0,
            recent: Window::default(),
            is_on_trial: false,
            ejected_until: None,
            ejections: 0,
            ejected_for: Duration::ZERO,
            probing: Probing { is_ill: false, contradictions: 0, due: Some(now) },
        }
    }

    pub(crate) fn ejected_until(&self) -> Option<Duration> {
        self.ejected_until
    }

    /// Whether the probes say that it is ill.
    pub(crate) fn is_ill(&self) -> bool {
        self.probing.is_ill
    }

    /// A request that was begun at `started` was answered well.
    pub(crate) fn success(&mut self, now: Duration, started: Duration) {
        if self.is_of_today(started) {
            self.recent.count(now, false);
            self.failures_in_row = 0;
            self.is_on_trial = false;
        }
    }

    /// A request that was begun at `started` failed: whether that is one too many.
    pub(crate) fn failure(&mut self, now: Duration, started: Duration, rules: &Ejection) -> bool {
        if !self.is_of_today(started) {
            return false;
        }
        self.recent.count(now, true);
        self.failures_in_row += 1;
        let Counts { all, special } = self.recent.counts(now);
        let is_often = all >= u64::from(rules.requests_min)
            && special * 100 >= all * u64::from(rules.failure_percent_max);
        self.is_on_trial || self.failures_in_row >= rules.failures_max || is_often
    }

    /// Leaves the place out, for longer each time; for how long.
    pub(crate) fn eject(&mut self, now: Duration, rules: &Ejection) -> Duration {
        let in_use = now.saturating_sub(self.since).as_millis();
        let forgiven = in_use.checked_div(self.ejected_for.as_millis()).unwrap_or(0);
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.ejections = self.ejections.saturating_sub(forgiven).saturating_add(1);
        let factor = 1_u32.checked_shl(self.ejections - 1).unwrap_or(u32::MAX);
        self.ejected_for = rules.time_first.saturating_mul(factor).min(rules.time_max);
        self.ejected_until = Some(now.saturating_add(self.ejected_for));
        self.ejected_for
    }

    /// Takes the place into use if it was left out until now; whether it was.
    pub(crate) fn take_back(&mut self, now: Duration) -> bool {
        let is_over = self.ejected_until.is_some_and(|until| until <= now);
        if is_over {
            self.ejected_until = None;
            self.is_on_trial = true;
            self.begin(now);
        }
        is_over
    }

    /// When the place has to be looked at again, by the clock.
    pub(crate) fn next_deadline(&self, probes: Option<&Probes>) -> Option<Duration> {
        let due = probes.and(self.probing.due);
        [self.ejected_until, due].into_iter().flatten().min()
    }

    /// Whether it is to be asked now. It is then taken for asked.
    pub(crate) fn take_probe(&mut self, now: Duration) -> bool {
        self.probing.due.take_if(|due| *due <= now).is_some()
    }

    /// A probe was answered, or not in time; whether that changes what the place is taken for.
    pub(crate) fn probed(
        &mut self,
        now: Duration,
        random: u64,
        is_well: bool,
        probes: &Probes,
    ) -> bool {
        // Within a tenth of the interval, so that many who ask do not come to ask at once.
        let share = 900 + u32::try_from(random % 201).unwrap_or(0);
        self.probing.due = Some(now.saturating_add(probes.interval / 1000 * share));
        if is_well != self.probing.is_ill {
            self.probing.contradictions = 0;
            return false;
        }
        self.probing.contradictions += 1;
        let needed = if is_well { probes.successes_min } else { probes.failures_max };
        if self.probing.contradictions < needed {
            return false;
        }
        (self.probing.is_ill, self.probing.contradictions) = (!is_well, 0);
        if is_well {
            self.begin(now);
        }
        true
    }

    /// Its share at present, in thousandths.
    pub(crate) fn share(&self, now: Duration, slow_start: Duration) -> u64 {
        let in_use = now.saturating_sub(self.since);
        if in_use >= slow_start {
            return 1000;
        }
        let grown =
            in_use.as_millis() * u128::from(1000 - FIRST_SHARE) / slow_start.as_millis().max(1);
        FIRST_SHARE + u64::try_from(grown).unwrap_or(0)
    }

    /// Whether a request was begun since the place was taken into use.
    fn is_of_today(&self, started: Duration) -> bool {
        self.ejected_until.is_none() && started >= self.since
    }

    fn begin(&mut self, now: Duration) {
        self.since = now;
        self.failures_in_row = 0;
        self.recent = Window::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rules() -> Ejection {
        Ejection {
            failures_max: 3,
            requests_min: 10,
            time_first: s(4),
            time_max: s(20),
            ..Ejection::default()
        }
    }

    #[test]
    fn failures_in_a_row_are_one_too_many_at_the_limit() {
        let mut health = Health::new(s(0));
        assert!(!health.failure(s(1), s(1), &rules()));
        assert!(!health.failure(s(1), s(1), &rules()));
        health.success(s(1), s(1));
        assert!(!health.failure(s(1), s(1), &rules()));
        assert!(!health.failure(s(1), s(1), &rules()));
        assert!(health.failure(s(1), s(1), &rules()));
    }

    #[test]
    fn half_of_enough_recent_requests_is_too_many_too() {
        let mut health = Health::new(s(0));
        for _ in 0..4 {
            health.success(s(1), s(1));
            assert!(!health.failure(s(1), s(1), &rules()));
        }
        health.success(s(1), s(1));
        assert!(health.failure(s(1), s(1), &rules()), "5 of 10");
        health.success(s(1), s(1));
        health.success(s(1), s(1));
        assert!(!health.failure(s(1), s(1), &rules()), "6 of 13");
    }

    #[test]
    fn it_is_ejected_for_longer_each_time_up_to_a_limit_and_forgiven_in_time() {
        let mut health = Health::new(s(0));
        let mut now = s(0);
        for seconds in [4, 8, 16, 20, 20] {
            assert_eq!(health.eject(now, &rules()), s(seconds));
            assert!(!health.take_back(now + s(seconds) - Duration::from_nanos(1)));
            now += s(seconds);
            assert!(health.take_back(now));
        }
        // Five ejections; 60 s of service are three times 20 s.
        assert_eq!(health.eject(now + s(60), &rules()), s(16));
    }

    #[test]
    fn after_its_return_one_failure_is_enough_until_a_success() {
        let mut health = Health::new(s(0));
        health.eject(s(1), &rules());
        assert!(!health.failure(s(2), s(0), &rules()), "it is out already");
        assert!(health.take_back(s(5)));
        assert!(!health.failure(s(6), s(4), &rules()), "begun before it was out");
        health.success(s(6), s(4));
        assert!(health.failure(s(6), s(5), &rules()));
        health.success(s(6), s(5));
        assert!(!health.failure(s(6), s(5), &rules()));
    }

    #[test]
    fn probes_change_what_it_is_taken_for_after_enough_answers_in_a_row() {
        let probes = Probes { interval: s(10), failures_max: 2, successes_min: 3 };
        let mut health = Health::new(s(1));
        assert!(!health.take_probe(s(0)));
        assert!(health.take_probe(s(1)));
        assert!(!health.take_probe(s(1)), "it is being asked");
        let mut answer = |is_well| {
            let changed = health.probed(s(1), 100, is_well, &probes);
            (changed, health.is_ill())
        };
        assert_eq!(answer(false), (false, false));
        assert_eq!(answer(true), (false, false));
        assert_eq!(answer(false), (false, false));
        assert_eq!(answer(false), (true, true));
        assert_eq!(answer(true), (false, true));
        assert_eq!(answer(true), (false, true));
        assert_eq!(answer(true), (true, false));
        assert_eq!(health.next_deadline(Some(&probes)), Some(s(11)));
        assert_eq!(health.next_deadline(None), None);
    }

    #[test]
    fn its_share_grows_from_a_tenth() {
        let health = Health::new(s(10));
        let share = |now| health.share(s(now), s(10));
        assert_eq!([10, 15, 19, 20, 99].map(share), [100, 550, 910, 1000, 1000]);
        assert_eq!(health.share(s(10), s(0)), 1000);
    }
}
