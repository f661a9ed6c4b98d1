//! Looking: before the loop sleeps it looks at the rings for a while, where that pays.
//!
//! To sleep and to be woken costs two processes more than a short exchange itself. KVM polls for a halted guest for the same
//! reason (`halt_poll_ns`), and by the same rule: only where the last sleep was so short that looking would have found its
//! end. Where it did not, since the other side needs this CPU to get on, it is tried more and more seldom.

use shared_ring::Rings;
use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// For how long: about what sleeping and being woken takes.
const WINDOW: Duration = Duration::from_micros(50);
/// Looks between two at the clock.
const LOOKS: usize = 16;
/// Waits without looking, after one look that found nothing, and after many.
const REST_MIN: u32 = 4;
const REST_MAX: u32 = 4096;

/// Whether the loop looks before it sleeps.
pub(super) struct Looking {
    /// The last sleep was short.
    may_pay: Cell<bool>,
    /// Waits that are still without.
    rest: Cell<u32>,
    /// How long the next rest is.
    next_rest: Cell<u32>,
    can_look: bool,
}

impl Default for Looking {
    /// On a machine with one CPU it would keep the other side from it, and never looks.
    fn default() -> Self {
        Self::new(thread::available_parallelism().is_ok_and(|count| count.get() > 1))
    }
}

impl Looking {
    fn new(can_look: bool) -> Self {
        let (rest, next_rest) = (Cell::new(0), Cell::new(REST_MIN));
        Self { may_pay: Cell::new(false), rest, next_rest, can_look }
    }

    /// Looks, and where that finds nothing, waits by `sleep`, for `timeout` at most.
    pub(super) fn wait(
        &self,
        rings: &Rings,
        timeout: Option<Duration>,
        sleep: impl FnOnce(Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        if !rings.is_awaiting() {
            return sleep(timeout);
        }
        let is_found = self.looks() && {
            let is_found = look(rings, timeout.map_or(WINDOW, |timeout| timeout.min(WINDOW)));
            self.learn_of_look(is_found);
            is_found
        };
        // What came by other ways is not kept waiting by what comes by this one.
        if is_found || !rings.may_sleep() {
            return sleep(Some(Duration::ZERO));
        }
        let start = Instant::now();
        let outcome = sleep(timeout);
        self.learn_of_sleep(start.elapsed());
        outcome
    }

    fn looks(&self) -> bool {
        self.can_look && self.may_pay.get() && self.rest.get() == 0
    }

    fn learn_of_look(&self, is_found: bool) {
        let next = self.next_rest.get();
        if is_found {
            self.next_rest.set((next / 2).max(REST_MIN));
        } else {
            self.rest.set(next);
            self.next_rest.set((2 * next).min(REST_MAX));
        }
    }

    fn learn_of_sleep(&self, slept: Duration) {
        self.rest.set(self.rest.get().saturating_sub(1));
        self.may_pay.set(slept <= 2 * WINDOW);
    }
}

fn look(rings: &Rings, window: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < window {
        for _ in 0..LOOKS {
            if rings.look() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(100);
    const LONG: Duration = Duration::from_micros(101);

    #[test]
    fn it_looks_after_a_short_sleep_alone() {
        let looking = Looking::new(true);
        assert!(!looking.looks());
        looking.learn_of_sleep(SHORT);
        assert!(looking.looks());
        looking.learn_of_sleep(LONG);
        assert!(!looking.looks());
    }

    #[test]
    fn looks_that_find_nothing_become_rare() {
        let looking = Looking::new(true);
        let sleeps_until_it_looks = || {
            let mut sleeps = 0;
            while !looking.looks() {
                looking.learn_of_sleep(SHORT);
                sleeps += 1;
            }
            sleeps
        };
        assert_eq!(sleeps_until_it_looks(), 1);
        for rest in [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096] {
            looking.learn_of_look(false);
            assert_eq!(sleeps_until_it_looks(), rest);
        }
        for _ in 0..3 {
            looking.learn_of_look(true);
            assert!(looking.looks());
        }
        looking.learn_of_look(false);
        assert_eq!(sleeps_until_it_looks(), 512);
    }

    #[test]
    fn one_cpu_never_looks() {
        let looking = Looking::new(false);
        looking.learn_of_sleep(Duration::ZERO);
        assert!(!looking.looks());
    }

    #[test]
    fn without_flows_it_sleeps_at_once_and_as_long_as_it_is_told() {
        let told = Cell::new(None);
        let sleep = |timeout| {
            told.set(timeout);
            Ok(())
        };
        let timeout = Some(Duration::from_secs(3));
        Looking::new(true).wait(&Rings::default(), timeout, sleep).unwrap();
        assert_eq!(told.get(), timeout);
    }
}
