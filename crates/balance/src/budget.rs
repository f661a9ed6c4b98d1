//! Retry budget: further tries are a share of the requests, so that a service that fails is not buried by them.

use crate::config::Retries;
use crate::window::Window;
use core::time::Duration;

/// Counts first tries and further ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    tries: Window,
}

impl Budget {
    /// A request was tried for the first time.
    pub(crate) fn first(&mut self, now: Duration) {
        self.tries.count(now, false);
    }

    /// Takes a further try out of the budget, if it has one.
    pub(crate) fn take(&mut self, now: Duration, retries: &Retries) -> bool {
        let counts = self.tries.counts(now);
        let requests = counts.all - counts.special;
        let share = requests * u64::from(retries.percent_max) / 100;
        let allowed = share + u64::from(retries.per_second_min) * Window::SECONDS;
        if counts.special >= allowed {
            return false;
        }
        self.tries.count(now, true);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_tries_are_a_share_of_the_requests_and_a_few_more() {
        let retries = Retries { tries_max: 3, percent_max: 20, per_second_min: 1 };
        let mut budget = Budget::default();
        let now = Duration::from_secs(3);
        let takes =
            |budget: &mut Budget, now| (0..100).filter(|_| budget.take(now, &retries)).count();
        assert_eq!(takes(&mut budget, now), 10);
        for _ in 0..14 {
            budget.first(now);
        }
        assert_eq!(takes(&mut budget, now), 2);
        budget.first(now);
        assert_eq!(takes(&mut budget, now), 1);
        assert_eq!(takes(&mut budget, now + Duration::from_secs(9)), 0);
        assert_eq!(takes(&mut budget, now + Duration::from_secs(10)), 10);
    }

    #[test]
    fn a_budget_of_nothing_has_nothing() {
        let retries = Retries { tries_max: 3, percent_max: 0, per_second_min: 0 };
        let mut budget = Budget::default();
        budget.first(Duration::ZERO);
        assert!(!budget.take(Duration::ZERO, &retries));
    }
}
