//! Window: two counts over the last ten seconds.

use core::time::Duration;

/// Parts of the window, each of one second.
const SLOTS: usize = 10;

/// Counts what there was, and how much of it was of a special kind, in the last ten seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    slots: [Counts; SLOTS],
    /// The second that the newest slot counts.
    second: u64,
}

/// How many there were, and how many of them were special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: u64,
    pub(crate) special: u64,
}

impl Window {
    /// How long it looks back.
    pub(crate) const SECONDS: u64 = SLOTS as u64;

    /// Counts one.
    pub(crate) fn count(&mut self, now: Duration, is_special: bool) {
        self.advance(now);
        let slot = &mut self.slots[(self.second % Self::SECONDS) as usize];
        slot.all += 1;
        slot.special += u64::from(is_special);
    }

    /// Both counts.
    pub(crate) fn counts(&mut self, now: Duration) -> Counts {
        self.advance(now);
        self.slots.iter().fold(Counts::default(), |sum, slot| Counts {
            all: sum.all + slot.all,
            special: sum.special + slot.special,
        })
    }

    /// Empties the slots of the seconds that have passed.
    fn advance(&mut self, now: Duration) {
        let second = now.as_secs().max(self.second);
        let passed = (second - self.second).min(Self::SECONDS);
        for back in 0..passed {
            self.slots[((second - back) % Self::SECONDS) as usize] = Counts::default();
        }
        self.second = second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(window: &mut Window, second: u64) -> (u64, u64) {
        let Counts { all, special } = window.counts(Duration::from_secs(second));
        (all, special)
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let mut window = Window::default();
        window.count(Duration::from_secs(5), true);
        window.count(Duration::from_secs(7), false);
        assert_eq!(at(&mut window, 14), (2, 1));
        assert_eq!(at(&mut window, 15), (1, 0));
        assert_eq!(at(&mut window, 17), (0, 0));
        window.count(Duration::from_secs(1000), true);
        assert_eq!(at(&mut window, 1000), (1, 1));
    }
}
