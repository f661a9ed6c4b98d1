//! Progress: what is said while a run goes on.

use crate::{Progress, Scenario, Shape};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Makes a line of each second, with the rate since the last one.
#[derive(Clone, Debug, Default)]
pub struct ProgressLine {
    last: Progress,
    shown_at: Duration,
}

impl ProgressLine {
    /// How far it is, so long after the begin.
    pub fn line(&mut self, scenario: &Scenario, now: Progress, elapsed: Duration) -> String {
        let seconds = elapsed.saturating_sub(self.shown_at).as_secs_f64().max(0.001);
        let rate = (now.succeeded - self.last.succeeded) as f64 / seconds;
        let asked = match &scenario.shape {
            Shape::Open(schedule) => format!(" of {:.0} asked", schedule.rate.mean()),
            Shape::Closed { .. } => String::new(),
        };
        let (open, failed) = (now.open(), now.failed);
        (self.last, self.shown_at) = (now, elapsed);
        let (at, all) = (elapsed.as_secs(), scenario.duration.as_secs_f64());
        format!("{at} of {all} s: {rate:.0} answers a second{asked}, {open} open, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Place, Rate, Schedule, Spacing};

    #[test]
    fn a_line_has_the_rate_since_the_last_one() {
        let place = Place::parse("http://127.0.0.1").unwrap().0;
        let mut scenario = Scenario::new(place, "/");
        let mut line = ProgressLine::default();
        let counts = |succeeded, started| Progress { succeeded, started, ..Progress::default() };
        let second = Duration::from_secs(1);
        let text = line.line(&scenario, counts(100, 164), second);
        assert_eq!(text, "1 of 10 s: 100 answers a second, 64 open, 0 failed");
        let rate = Rate::Constant(500.0);
        scenario.shape = Shape::Open(Schedule { rate, spacing: Spacing::Even });
        let text = line.line(&scenario, counts(400, 400), 3 * second);
        assert_eq!(text, "3 of 10 s: 150 answers a second of 500 asked, 0 open, 0 failed");
    }
}
