//! Busy polling: before a loop sleeps it looks at the rings for a while, where that pays.
//!
//! To sleep and to be woken costs both sides more than a short exchange itself. KVM polls for a halted guest for the same
//! reason (`halt_poll_ns`), and by the same rule: only where the last sleep was so short that looking would have found its
//! end. Where it did not, since the other side needs this CPU to get on, it is tried more and more seldom.

use crate::Rings;
use core::cell::Cell;
use core::hint;
use core::time::Duration;

/// Looks at the rings between two at the clock.
const LOOKS: usize = 16;
/// Waits without polling, after one poll that found nothing, and after many.
const REST_MIN: u32 = 4;
const REST_MAX: u32 = 4096;

/// Whether a loop polls its rings before it sleeps, and for how long.
#[derive(Debug)]
pub struct BusyPoll {
    /// For how long: about what sleeping and being woken takes. Zero is never.
    window: Duration,
    /// The last sleep was short.
    may_pay: Cell<bool>,
    /// Waits that are still without.
    rest: Cell<u32>,
    /// How long the next rest is.
    next_rest: Cell<u32>,
}

impl BusyPoll {
    /// For at most so long at once, which is about what it takes to sleep and to be woken.
    pub fn new(window: Duration) -> Self {
        let (rest, next_rest) = (Cell::new(0), Cell::new(REST_MIN));
        Self { window, may_pay: Cell::new(false), rest, next_rest }
    }

    /// A loop that never polls: on a machine with one CPU it would keep the other side from it.
    pub fn never() -> Self {
        Self::new(Duration::ZERO)
    }

    /// Polls for a while, if that may pay, but no longer than `limit`, by this clock. Whether it found something: the tasks that
    /// wait for it are woken.
    pub fn poll(
        &self,
        rings: &Rings,
        limit: Option<Duration>,
        clock: impl Fn() -> Duration,
    ) -> bool {
        if !self.is_due() || !rings.is_awaiting() {
            return false;
        }
        let window = limit.map_or(self.window, |limit| limit.min(self.window));
        let end = clock().saturating_add(window);
        let is_found = loop {
            if (0..LOOKS).any(|_| {
                hint::spin_loop();
                rings.poll()
            }) {
                break true;
            }
            if clock() >= end {
                break false;
            }
        };
        self.learn_of_poll(is_found);
        is_found
    }

    /// The loop slept for so long, while tasks waited for what others do in rings.
    pub fn learn_of_sleep(&self, slept: Duration) {
        self.rest.set(self.rest.get().saturating_sub(1));
        self.may_pay.set(slept <= 2 * self.window);
    }

    fn is_due(&self) -> bool {
        !self.window.is_zero() && self.may_pay.get() && self.rest.get() == 0
    }

    fn learn_of_poll(&self, is_found: bool) {
        let next = self.next_rest.get();
        if is_found {
            self.next_rest.set((next / 2).max(REST_MIN));
        } else {
            self.rest.set(next);
            self.next_rest.set((2 * next).min(REST_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(50);
    const SHORT: Duration = Duration::from_micros(100);
    const LONG: Duration = Duration::from_micros(101);

    #[test]
    fn it_polls_after_a_short_sleep_alone() {
        let busy_poll = BusyPoll::new(WINDOW);
        assert!(!busy_poll.is_due());
        busy_poll.learn_of_sleep(SHORT);
        assert!(busy_poll.is_due());
        busy_poll.learn_of_sleep(LONG);
        assert!(!busy_poll.is_due());
    }

    #[test]
    fn polls_that_find_nothing_become_rare() {
        let busy_poll = BusyPoll::new(WINDOW);
        let sleeps_until_it_polls = || {
            let mut sleeps = 0;
            while !busy_poll.is_due() {
                busy_poll.learn_of_sleep(SHORT);
                sleeps += 1;
            }
            sleeps
        };
        assert_eq!(sleeps_until_it_polls(), 1);
        for rest in [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096] {
            busy_poll.learn_of_poll(false);
            assert_eq!(sleeps_until_it_polls(), rest);
        }
        for _ in 0..3 {
            busy_poll.learn_of_poll(true);
            assert!(busy_poll.is_due());
        }
        busy_poll.learn_of_poll(false);
        assert_eq!(sleeps_until_it_polls(), 512);
    }

    #[test]
    fn who_never_polls_does_not_after_any_sleep() {
        let busy_poll = BusyPoll::never();
        busy_poll.learn_of_sleep(Duration::ZERO);
        assert!(!busy_poll.is_due());
    }
}
