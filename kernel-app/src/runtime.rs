//! The loop that everything runs in.

use crate::platform::Driver;
use core::time::Duration;
use flow::task::Executor;
use flow::time::Timers;

/// Task polls between two looks at the network: enough to serve a full batch of arrivals, few
/// enough that arrivals are not kept waiting.
const POLLS_MAX: usize = 1024;

/// Runs until `stopped` says that the appliance has come to rest after being asked to stop;
/// `stop` is called once, when that is asked.
///
/// Each turn takes in what arrived, runs the tasks that this woke, and sends what they wrote: an
/// answer leaves together with the acknowledgement of its question.
pub fn run(
    driver: &mut impl Driver,
    executor: &Executor,
    timers: &Timers,
    mut stop: impl FnMut(Duration),
    mut stopped: impl FnMut(Duration) -> bool,
) {
    let mut stopping = false;
    loop {
        let now = driver.now();
        timers.advance(now);
        let more_arrived = driver.ingress(now);
        let more_to_run = executor.run(POLLS_MAX);
        driver.egress(now);
        if !stopping && driver.stop_requested() {
            stopping = true;
            stop(now);
            continue;
        }
        if stopping && stopped(now) {
            return;
        }
        if !more_arrived && !more_to_run && executor.is_idle() {
            driver.wait(timers.next_deadline());
        }
    }
}
