//! Log limit: how many lines each origin may write, so that strangers who fail by the thousand neither fill the log nor push out
//! what others say (a serial line takes some hundred lines a second).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use log::Level;

/// What an origin may write at once, and how soon one more is due.
const BURST: u32 = 50;
const INTERVAL: Duration = Duration::from_millis(100);
/// Origins that are remembered: the one that was silent longest gives way.
const ORIGINS_MAX: usize = 32;
/// Lines that somebody asked for, each of them.
const UNLIMITED: &str = "access";

/// The generic cell rate algorithm (ITU-T I.371) for each target and level.
pub(crate) struct LogLimit {
    origins: Vec<Origin>,
}

struct Origin {
    target: String,
    level: Level,
    /// When all that was written would have been due, one after another.
    due: Duration,
    left_out: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self { origins: Vec::new() }
    }

    /// Whether a line may be written; how many of its kind were not since the last one.
    pub(crate) fn admit(&mut self, target: &str, level: Level, now: Duration) -> Option<u64> {
        // Whoever turned these on wants them.
        if target == UNLIMITED || level > Level::Info {
            return Some(0);
        }
        let origin = self.origin(target, level);
        if origin.due > now + INTERVAL * (BURST - 1) {
            origin.left_out += 1;
            return None;
        }
        origin.due = origin.due.max(now) + INTERVAL;
        Some(core::mem::take(&mut origin.left_out))
    }

    fn origin(&mut self, target: &str, level: Level) -> &mut Origin {
        let same = |origin: &Origin| origin.level == level && origin.target == target;
        let at = match self.origins.iter().position(same) {
            Some(at) => at,
            None => {
                if self.origins.len() == ORIGINS_MAX {
                    let silent = self.origins.iter().enumerate().min_by_key(|(_, it)| it.due);
                    let at = silent.map_or(0, |(at, _)| at);
                    self.origins.swap_remove(at);
                }
                let due = Duration::ZERO;
                self.origins.push(Origin { target: target.into(), level, due, left_out: 0 });
                self.origins.len() - 1
            }
        };
        &mut self.origins[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these lines are written, all at one time.
    fn written(limit: &mut LogLimit, target: &str, level: Level, now: Duration, lines: u32) -> u32 {
        (0..lines).map(|_| u32::from(limit.admit(target, level, now).is_some())).sum()
    }

    #[test]
    fn an_origin_writes_a_burst_and_then_at_its_rate() {
        let mut limit = LogLimit::new();
        let start = Duration::from_secs(1000);
        assert_eq!(written(&mut limit, "a", Level::Info, start, 1000), BURST);
        let soon = start + INTERVAL - Duration::from_millis(1);
        assert_eq!(limit.admit("a", Level::Info, soon), None);
        // The next one says how many were left out, once.
        assert_eq!(limit.admit("a", Level::Info, start + INTERVAL), Some(951));
        assert_eq!(limit.admit("a", Level::Info, start + INTERVAL), None);
        assert_eq!(limit.admit("a", Level::Info, start + 2 * INTERVAL), Some(1));
        let later = start + Duration::from_secs(60);
        assert_eq!(written(&mut limit, "a", Level::Info, later, 1000), BURST);
    }

    #[test]
    fn others_and_other_levels_are_not_touched() {
        let mut limit = LogLimit::new();
        written(&mut limit, "a", Level::Info, Duration::ZERO, 1000);
        for (target, level) in [("b", Level::Info), ("a", Level::Warn), ("a", Level::Error)] {
            assert_eq!(limit.admit(target, level, Duration::ZERO), Some(0));
        }
    }

    #[test]
    fn what_was_asked_for_is_unlimited() {
        let mut limit = LogLimit::new();
        for (target, level) in [("access", Level::Info), ("a", Level::Debug), ("a", Level::Trace)] {
            assert_eq!(written(&mut limit, target, level, Duration::ZERO, 1000), 1000);
        }
    }

    #[test]
    fn the_origin_that_was_silent_longest_gives_way() {
        let mut limit = LogLimit::new();
        for number in 0..ORIGINS_MAX {
            let target = alloc::format!("{number}");
            let now = Duration::from_secs(10 + number as u64);
            written(&mut limit, &target, Level::Info, now, 1000);
        }
        let now = Duration::from_secs(100);
        limit.admit("new", Level::Info, now);
        assert_eq!(limit.origins.len(), 32);
        assert!(!limit.origins.iter().any(|origin| origin.target == "0"));
        assert!(limit.origins.iter().any(|origin| origin.target == "1"));
    }
}
