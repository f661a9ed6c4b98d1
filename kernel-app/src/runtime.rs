//! Main loop: takes frames in, runs tasks, sends frames, waits.

use crate::app::App;
use crate::platform::Driver;
use flow::task::Executor;
use flow::time::{Timers, earlier};

/// Task polls between two looks at the network: enough to serve a full batch of arrivals, few
/// enough that arrivals are not kept waiting.
const POLLS_MAX: usize = 1024;

/// Runs the appliance until it was asked to stop and has come to rest.
///
/// Each turn takes in what arrived, runs the tasks that this woke, and sends what they wrote: an
/// answer leaves together with the acknowledgement of its question.
pub fn run(driver: &mut impl Driver, executor: &Executor, timers: &Timers, app: &App) {
    let mut stopping = false;
    loop {
        let now = driver.now();
        timers.advance(now);
        executor.advance(now);
        let mut trace = executor.trace().turn();
        let more_arrived = driver.ingress(now);
        trace.step("ingress");
        let more_to_run = executor.turn(POLLS_MAX);
        trace.step("tasks");
        driver.egress(now);
        trace.step("egress");
        if driver.task_log_requested() {
            app.log_tasks();
        }
        if !stopping && driver.stop_requested() {
            stopping = true;
            app.stop();
            continue;
        }
        if stopping && app.has_stopped(driver.undelivered()) {
            return;
        }
        if !more_arrived && !more_to_run {
            driver.wait(earlier(timers.next_deadline(), app.next_deadline()));
            trace.step("wait");
        }
    }
}
