//! One run: threads, the progress line, results.

use crate::allowed;
use crate::machine::{self, Meeting, Outcome, Setup};
use crate::options::Options;
use crate::progress::ProgressLine;
use crate::results::Results;
use load::{Progress, Report, Run, Scenario, Share};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the progress line looks whether the run has ended.
const TICK: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// Puts the load on, and says what came of it.
///
/// # Errors
/// Why there was no run, or its results could not be written: files are opened before it, and the text is printed in any case.
pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let scenario = options.scenario()?;
    let address = allowed::address(&scenario.place, &options.allow)?;
    let sockets = u64::from(scenario.connections) + u64::from(scenario.connection.half_open);
    machine::allow_sockets(sockets)?;
    log_to_standard_error();
    let results = Results::open(options)?;
    let setup = setup(options, scenario, address)?;
    let before = machine::cpu_time();
    let outcomes = with_threads(&setup, options.quiet)?;
    let cpu = machine::cpu_time().saturating_sub(before);
    explain_unopened(&setup)?;
    let report = report(&setup, outcomes, cpu)?;
    results.write(&report)?;
    Ok(report)
}

fn setup(
    options: &Options,
    scenario: Scenario,
    address: std::net::SocketAddr,
) -> Result<Setup, String> {
    let threads = options.threads.min(scenario.connections);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 2, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| error.to_string())?;
    }
    let authorities = match &options.cacert {
        Some(file) => {
            let said = |error| format!("{}: {error}", file.display());
            Some(std::fs::read(file).map_err(said)?)
        }
        None => None,
    };
    Ok(Setup {
        scenario,
        address,
        authorities,
        fingerprint: options.fingerprint,
        threads,
        start: Instant::now(),
        stop,
        meeting: Mutex::new(Meeting::default()),
        begin: AtomicU64::new(0),
        progress: (0..threads).map(|_| Mutex::default()).collect(),
    })
}

fn with_threads(setup: &Setup, quiet: bool) -> Result<Vec<Outcome>, String> {
    std::thread::scope(|scope| {
        let share = |index| Share { index, of: setup.threads };
        let threads: Vec<_> = (0..setup.threads)
            .map(|index| scope.spawn(move || machine::run(setup, share(index))))
            .collect();
        let mut line = ProgressLine::new();
        let mut shown = 0;
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(TICK);
            let elapsed = elapsed(setup);
            if !quiet && elapsed >= SECOND * (shown + 1) {
                shown = elapsed.as_secs() as u32;
                line.show(&setup.scenario, progress(setup), elapsed);
            }
            // One that could not start would be waited for by the others.
            if threads.iter().any(|thread| thread.is_finished())
                && setup.begin.load(Ordering::Acquire) == 0
            {
                setup.begin.store(1, Ordering::Release);
                setup.stop.store(true, Ordering::Relaxed);
            }
        }
        line.end();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Outcome, String>>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
        };
        threads.into_iter().map(join).collect()
    })
}

fn elapsed(setup: &Setup) -> Duration {
    match setup.begin.load(Ordering::Acquire) {
        0 => Duration::ZERO,
        begin => setup.now().saturating_sub(Duration::from_nanos(begin)),
    }
}

fn progress(setup: &Setup) -> Progress {
    let mut all = Progress::default();
    for thread in &setup.progress {
        if let Ok(progress) = thread.lock() {
            all.add(&progress);
        }
    }
    all
}

/// Says what became of connections that were not opened; if that is all of them, there was no run.
fn explain_unopened(setup: &Setup) -> Result<(), String> {
    let Ok(meeting) = setup.meeting.lock() else { return Ok(()) };
    let Some(error) = meeting.error else { return Ok(()) };
    let (all, place) = (setup.scenario.connections, &setup.scenario.place);
    if meeting.unopened == all {
        return Err(format!("no connection to {place}: {error}"));
    }
    let unopened = meeting.unopened;
    eprintln!(
        "aqueduct-load: {unopened} of {all} connections to {place} were not there at the begin: {error}"
    );
    Ok(())
}

fn report(setup: &Setup, outcomes: Vec<Outcome>, cpu: Duration) -> Result<Report, String> {
    let longest_turn = outcomes.iter().map(|outcome| outcome.longest_turn).max();
    let run = Run {
        threads: setup.threads,
        cpu: Some(cpu),
        longest_turn: longest_turn.unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let recorders = outcomes.into_iter().filter_map(|outcome| outcome.recorder);
    let merged = recorders.reduce(|mut all, recorder| {
        all.merge(recorder);
        all
    });
    let merged = merged.ok_or("nothing was recorded")?;
    Ok(Report::new(&setup.scenario, merged, &run))
}

/// What protocols below warn of: a few lines, since thousands of connections may warn of the same.
fn log_to_standard_error() {
    struct Lines(AtomicU64);
    const LINES_MAX: u64 = 5;
    impl log::Log for Lines {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.0.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
                eprintln!("aqueduct-load: {}", record.args());
            }
        }

        fn flush(&self) {}
    }
    if log::set_boxed_logger(Box::new(Lines(AtomicU64::new(0)))).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
