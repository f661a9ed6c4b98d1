//! The runner of all tests: what is selected is built, run and summed up.

mod selection;
mod summary;
mod unit;

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, Install, Program},
};
use image_builder::{hermit, image};
use lab::{
    harness::{Appliance, Case, Harness},
    namespace, newcomer, peers, process,
    xen::Dom0,
};
use selection::Selection;
use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use summary::{Skips, Summary};

/// The hidden verb by which a case runs in a process and a network namespace of its own.
pub(crate) const CASE_VERB: &str = "case";
/// Behind a case's other words: its long form is wanted.
const LONG: &str = "--long";
/// The guests of two cases fill the two processors that a common runner has.
const CASES_AT_ONCE: usize = 2;
/// So many cases that fail are run once more, alone: what fails for want of a processor passes then. The summary tells of them.
/// Where more fail, it is no accident.
const SECOND_ATTEMPTS_MAX: usize = 5;
/// Between a case's own deadline and the end that the runner makes.
const DEADLINE_SLACK: Duration = Duration::from_secs(5);

/// Runs what the words select, of style, unit tests and these cases.
pub(crate) fn main(mut arguments: lexopt::Parser, cases: &[&'static Case]) -> Result<ExitCode> {
    let (mut install, mut is_long) = (Install::Yes, false);
    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            lexopt::Arg::Long("long") => is_long = true,
            lexopt::Arg::Value(word) => words.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let selection = Selection::new(&words);
    let started = Instant::now();
    let mut summary = Summary::default();
    if selection.unit() {
        unit::run(install, is_long, &mut summary)?;
    }
    let (cases, left_out): (Vec<_>, Vec<_>) =
        selection.of(cases).into_iter().partition(|case| is_long || !case.is_long_only);
    if !cases.is_empty() {
        let skips = Skips::said_by(std::env::var_os("CI").as_deref());
        run_cases(&cases, is_long, install, skips, &mut summary)?;
    } else if !left_out.is_empty() && !selection.unit() {
        fail!("tests with `{}` in their names run only with --long", selection.filter());
    } else if !selection.unit() {
        fail!("no test has `{}` in its name", selection.filter());
    }
    summary.print(started.elapsed());
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one case, in the namespace that the runner made.
pub(crate) fn case_main(
    mut arguments: lexopt::Parser,
    cases: &[&'static Case],
) -> Result<ExitCode> {
    let name = arguments.value()?.to_string_lossy().into_owned();
    let mut appliance = || -> Result<Appliance> {
        Ok(Appliance { kernel: arguments.value()?.into(), process: arguments.value()?.into() })
    };
    let (shipped, trial) = (appliance()?, appliance()?);
    let is_long = arguments.next()?.is_some();
    let Some(case) = cases.iter().find(|case| case.name == name) else {
        fail!("there is no case `{name}`");
    };
    let mut harness = Harness::new(shipped, trial, is_long)?;
    (case.run)(&mut harness)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds what the cases need, then runs them a few at a time.
fn run_cases(
    cases: &[&'static Case],
    is_long: bool,
    install: Install,
    skips: Skips,
    summary: &mut Summary,
) -> Result {
    let needs = [&[&programs::QEMU, &programs::IP], needs_of(cases).as_slice()].concat();
    programs::need(&needs, install)?;
    let are_on_their_own = cases.iter().all(|case| case.is_on_its_own);
    let build = |options: image::Options, process: fn() -> Result<PathBuf>| -> Result<Appliance> {
        if are_on_their_own {
            return Ok(Appliance { kernel: PathBuf::new(), process: PathBuf::new() });
        }
        Ok(Appliance { kernel: image::build(&options, install)?.shipped, process: process()? })
    };
    let shipped = build(image::Options::default(), process::build)?;
    let trial = build(image::Options::trial(), process::build_trial)?;
    if cases.iter().any(|case| case.name.contains("hermit")) {
        for options in [hermit::Options::default(), hermit::Options::trial()] {
            hermit::build(&options, install)?;
        }
    }
    if cases.iter().any(|case| case.name == "boot/http_only") {
        image::build(&image::Options::http_only(), install)?;
    }
    if cases.iter().any(|case| case.name.starts_with("load_image/")) {
        image::build(&image::Options::load(), install)?;
    }
    if cases.iter().any(|case| case.name.starts_with("xen/")) {
        Dom0::get(install)?;
    }
    peers::prepare(&cases.iter().map(|case| case.name).collect::<Vec<_>>(), install)?;
    if let Err(reason) = namespace::check() {
        cases.iter().for_each(|case| summary.skip(format!("{} ({reason})", case.name), skips));
        return Ok(());
    }
    let cases = &with_their_machines(cases, install, skips, summary);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((&mut *summary, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let result = run_case(case, is_long, [&shipped, &trial]);
                    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    let (summary, failed) = &mut *shared;
                    summary.case(case.name, started.elapsed(), &result);
                    failed.extend(result.is_err().then_some(*case));
                }
            });
        }
    });
    let (_, failed) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.len() <= SECOND_ATTEMPTS_MAX {
        for case in failed {
            summary.second_attempt(case.name, &run_case(case, is_long, [&shipped, &trial]));
        }
    }
    Ok(())
}

/// Those of the cases whose own machine can be made here; the others are skipped, which is told.
fn with_their_machines(
    cases: &[&'static Case],
    install: Install,
    skips: Skips,
    summary: &mut Summary,
) -> Vec<&'static Case> {
    let (of_newcomers, mut rest): (Vec<_>, Vec<_>) =
        cases.iter().partition(|case| case.name.starts_with("newcomer/"));
    if of_newcomers.is_empty() {
        return rest;
    }
    match newcomer::prepare(install) {
        Ok(()) => rest.extend(of_newcomers),
        Err(why) => {
            of_newcomers.iter().for_each(|it| summary.skip(format!("{} ({why})", it.name), skips));
        }
    }
    rest
}

fn needs_of(cases: &[&'static Case]) -> Vec<&'static Program> {
    cases.iter().flat_map(|case| case.needs.iter().copied()).collect()
}

/// One case in a process and a network namespace of its own; both are gone afterwards.
fn run_case(case: &Case, is_long: bool, appliances: [&Appliance; 2]) -> Result {
    let scratch = paths::Scratch::new()?;
    let log = scratch.path("log");
    let file = std::fs::File::create(&log).or_say(|| "cannot write a log".into())?;
    let second = file.try_clone().or_say(|| "cannot write a log".into())?;
    let own = std::env::current_exe().or_say(|| "cannot find the runner itself".into())?;
    let mut command = namespace::command();
    command.arg(own).args([CASE_VERB, case.name]);
    for Appliance { kernel, process } in appliances {
        command.arg(kernel).arg(process);
    }
    command.args(is_long.then_some(LONG));
    let limit = case.limit(is_long);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(file).stderr(second);
    })?;
    let status = child.wait(limit + DEADLINE_SLACK);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(_) => fail!("{}", said().trim_end()),
        None => fail!("not done within {limit:?}; it said:\n{}", said().trim_end()),
    }
}
