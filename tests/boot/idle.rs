//! What a guest does that nobody asks for anything: nothing.

use bench::counter::Plugin;
use command::failure::{Result, fail};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, equal},
    http_client,
    qemu::Machine,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// For questions of a start, which neighbours are asked for some seconds.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_millis(100);
/// Windows of three seconds, and how many of them are without an instruction: what polls does so in each. Once a second a CPU without
/// a deadline timer sets its timer again.
const WINDOWS: usize = 30;
const QUIET_MIN: usize = 20;
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// An idle guest executes no instructions between its timers.
pub(super) fn executes_nothing(harness: &mut Harness) -> Result {
    let plugin = Plugin::build()?;
    for machine in [Machine::Microvm, Machine::Q35] {
        let counter = plugin.counter(machine.name())?;
        let more = counter.options.clone().map(Into::into).into();
        let bundle = Some(harness.bundle("", &[])?);
        let guest = harness.boot(&Setup { machine, bundle, more, ..Setup::default() })?;
        let started = Instant::now();
        loop {
            let mut quiet = 0;
            let begun = counter.now()?;
            for _ in 0..WINDOWS {
                let before = counter.now()?;
                thread::sleep(WINDOW);
                quiet += usize::from(counter.now()? == before);
            }
            if quiet >= QUIET_MIN {
                break;
            }
            if started.elapsed() > SETTLE_LIMIT {
                fail!(
                    "{}: {quiet} of {WINDOWS} windows of {WINDOW:?} were quiet, with {} instructions in all; {}",
                    machine.name(),
                    counter.now()? - begun,
                    guest.tail()
                );
            }
        }
        let before = counter.now()?;
        // That it counts, and the guest was not merely stuck.
        let status = http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).map(|answer| answer.status);
        equal("the status of an answer then", &status, &Some(200))?;
        equal("whether that took instructions", &(counter.now()? > before), &true)?;
    }
    Ok(())
}
