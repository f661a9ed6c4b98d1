//! Busy polling: before the process sleeps it looks at the rings for a while, where that pays, by [`shared_ring::BusyPoll`]'s
//! rule.

use shared_ring::{BusyPoll, Rings};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// For so long. With one CPU a poll would keep the other side from it.
pub(super) fn of_this_machine(window: Duration) -> BusyPoll {
    let has_more = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    if has_more { BusyPoll::new(window) } else { BusyPoll::never() }
}

/// Polls, and where that finds nothing, waits by `sleep`, for `timeout` at most.
pub(super) fn wait(
    busy_poll: &BusyPoll,
    rings: &Rings,
    timeout: Option<Duration>,
    sleep: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    if !rings.is_awaiting() {
        return sleep(timeout);
    }
    let start = Instant::now();
    // What came by other ways is not kept waiting by what comes by this one.
    if busy_poll.poll(rings, timeout, || start.elapsed()) || !rings.may_sleep() {
        return sleep(Some(Duration::ZERO));
    }
    let start = Instant::now();
    let outcome = sleep(timeout);
    busy_poll.learn_of_sleep(start.elapsed());
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
        wait(&BusyPoll::new(Duration::from_micros(50)), &Rings::default(), timeout, sleep).unwrap();
        assert_eq!(told.get(), timeout);
    }
}
