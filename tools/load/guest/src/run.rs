//! The run: the server is waited for, asked, and what came of it is said.

use crate::{RunState, Stage, Verdict};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::time::Duration;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{ConnectError, Connector, Target};
use load::{ProgressLine, Recorder, Report, Run, Scenario, Share};
use load_generator::Shared;

/// How often a server is tried that does not answer.
const TRY_EVERY: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Lines that the log takes at once, and how soon one more (`aqueduct::log_limit`).
const LINES_AT_ONCE: usize = 40;
const LINE_EVERY: Duration = Duration::from_millis(100);

/// What a run needs of the appliance.
pub(crate) struct Environment {
    pub(crate) spawner: Spawner,
    pub(crate) timers: Timers,
    /// For measuring turns, where that costs little.
    pub(crate) clock: Option<fn() -> Duration>,
    pub(crate) switch_off: fn(Verdict),
}

/// Makes the run of a scenario, by way of `connector`.
///
/// # Errors
/// A request cannot be put on the wire.
pub(crate) fn run<C: Connector>(
    environment: Environment,
    state: Rc<RunState>,
    scenario: Scenario,
    target: Target,
    connector: C,
) -> Result<impl Future<Output = ()>, String> {
    let shared = Shared::new(&scenario, Share::ALL, target.clone(), &environment.timers)?;
    Ok(async move {
        let made = match wait_for(&environment.timers, &scenario, &target, &connector).await {
            Ok(()) => made(&environment, &state, &scenario, &shared, &connector).await,
            Err(error) => Err(error),
        };
        let made = made
            .map_err(|error| format!("no connection to {} by {target}: {error}", scenario.place));
        let verdict = match &made {
            Ok(report) if report.failed == 0 => Verdict::Succeeded,
            _ => Verdict::Failed,
        };
        match made {
            Ok(report) => {
                tell(&environment.timers, &report.to_text()).await;
                state.set(Stage::Over(Rc::new(report)));
            }
            Err(reason) => {
                log::error!("no run: {reason}");
                state.set(Stage::NotMade(reason));
            }
        }
        if scenario.guest.power_off {
            (environment.switch_off)(verdict);
        }
    })
}

/// Waits until the server lets a connection come to be: it may be a guest that starts at the same time.
async fn wait_for(
    timers: &Timers,
    scenario: &Scenario,
    target: &Target,
    connector: &impl Connector,
) -> Result<(), ConnectError> {
    let give_up_at = timers.now() + scenario.guest.wait;
    loop {
        let deadline = (timers.now() + scenario.timeout).min(give_up_at.max(timers.now() + SECOND));
        let tried = timers.before(deadline, connector.connect(target)).await;
        match tried.unwrap_or(Err(ConnectError::TimedOut)) {
            Ok(_) => return Ok(()),
            Err(error @ (ConnectError::NotAllowed | ConnectError::Unsupported)) => {
                return Err(error);
            }
            Err(error) if timers.now() >= give_up_at => return Err(error),
            Err(_) => timers.sleep(TRY_EVERY).await,
        }
    }
}

async fn made<C: Connector>(
    environment: &Environment,
    state: &RunState,
    scenario: &Scenario,
    shared: &Rc<Shared>,
    connector: &C,
) -> Result<Report, ConnectError> {
    state.shared.replace(Some(shared.clone()));
    load_generator::start(shared, connector, &environment.spawner);
    let mut watch = Watch::new(environment);
    let recorder = load_generator::run(shared, |shared| watch.look(state, scenario, shared)).await;
    let unopened = shared.counts().error.unwrap_or(ConnectError::Refused);
    let recorder: Recorder = recorder.ok_or(unopened)?;
    let run = Run {
        threads: 1,
        cpu: None,
        longest_turn: watch.longest_turn,
        version: env!("CARGO_PKG_VERSION").to_string(),
    };
    Ok(Report::new(scenario, recorder, &run))
}

/// Looks at a run while it goes on.
struct Watch {
    timers: Timers,
    clock: Option<fn() -> Duration>,
    began: Option<Duration>,
    seconds: u32,
    line: ProgressLine,
    longest_turn: Duration,
}

impl Watch {
    fn new(environment: &Environment) -> Self {
        Self {
            timers: environment.timers.clone(),
            clock: environment.clock,
            began: None,
            seconds: 0,
            line: ProgressLine::default(),
            longest_turn: Duration::ZERO,
        }
    }

    fn look(&mut self, state: &RunState, scenario: &Scenario, shared: &Shared) {
        let now = self.timers.now();
        if !shared.is_ready() {
            return;
        }
        let began = *self.began.get_or_insert(now);
        if let Some(clock) = self.clock {
            // The turn's time is that of its begin: as late is what is written down in it.
            self.longest_turn = self.longest_turn.max(clock().saturating_sub(now));
        }
        let elapsed = now - began;
        if elapsed >= SECOND * (self.seconds + 1) && !shared.has_ended() {
            self.seconds = elapsed.as_secs() as u32;
            let line = self.line.line(scenario, shared.progress(), elapsed);
            log::info!("{line}");
            state.set(Stage::Running(line));
        }
    }
}

/// Writes the results into the log, line by line, and no faster than it takes them.
async fn tell(timers: &Timers, text: &str) {
    for (number, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        if number >= LINES_AT_ONCE {
            timers.sleep(LINE_EVERY).await;
        }
        log::info!(target: "results", "{line}");
    }
}

#[cfg(test)]
mod tests;
