//! Looking: before the process sleeps it looks at the rings for a while, where that pays, by [`shared_ring::Looking`]'s rule.

use shared_ring::{Looking, Rings};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// For how long: about what it takes a process to sleep and to be woken.
const WINDOW: Duration = Duration::from_micros(50);

/// With one CPU a look would keep the other side from it.
pub(super) fn of_this_machine() -> Looking {
    let has_more = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    if has_more { Looking::new(WINDOW) } else { Looking::never() }
}

/// Looks, and where that finds nothing, waits by `sleep`, for `timeout` at most.
pub(super) fn wait(
    looking: &Looking,
    rings: &Rings,
    timeout: Option<Duration>,
    sleep: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    if !rings.is_awaiting() {
        return sleep(timeout);
    }
    let start = Instant::now();
    // What came by other ways is not kept waiting by what comes by this one.
    if looking.look(rings, timeout, || start.elapsed()) || !rings.may_sleep() {
        return sleep(Some(Duration::ZERO));
    }
    let start = Instant::now();
    let outcome = sleep(timeout);
    looking.learn_of_sleep(start.elapsed());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn without_flows_it_sleeps_at_once_and_as_long_as_it_is_told() {
        let told = Cell::new(None);
        let sleep = |timeout| {
            told.set(timeout);
            Ok(())
        };
        let timeout = Some(Duration::from_secs(3));
        wait(&Looking::new(WINDOW), &Rings::default(), timeout, sleep).unwrap();
        assert_eq!(told.get(), timeout);
    }
}
