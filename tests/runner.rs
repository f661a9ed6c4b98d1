//! `cargo xtask test`: every kind of test, and a summary.

use crate::{
    boot,
    interop::{http, services},
    xen,
};
use command::{
    cargo,
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    paths,
    programs::{self, Install, Program},
};
use image_builder::image;
use lab::{
    harness::{Case, Harness},
    namespace, peers, process,
    xen::Dom0,
};
use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The hidden verb by which a case runs in a process and a network namespace of its own.
pub(crate) const CASE_VERB: &str = "case";
/// The guests of two cases fill the two processors that a common runner has.
const CASES_AT_ONCE: usize = 2;
/// Between a case's own deadline and the end that the runner makes.
const DEADLINE_SLACK: Duration = Duration::from_secs(5);

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            lexopt::Arg::Value(word) => words.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let selection = Selection::new(&words);
    let started = Instant::now();
    let mut tally = Tally::default();
    if selection.unit {
        unit(&mut tally)?;
    }
    let cases = selection.cases();
    if !cases.is_empty() {
        run_cases(&cases, install, &mut tally)?;
    } else if !selection.unit {
        fail!("no test has `{}` in its name", selection.filter);
    }
    tally.print(started.elapsed());
    Ok(if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one case, in the namespace that the runner made.
pub(crate) fn case_main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let name = arguments.value()?.to_string_lossy().into_owned();
    let kernel = PathBuf::from(arguments.value()?);
    let process = PathBuf::from(arguments.value()?);
    let Some(case) = all_cases().find(|case| case.name == name) else {
        fail!("there is no case `{name}`");
    };
    let mut harness = Harness::new(kernel, process)?;
    (case.run)(&mut harness)?;
    Ok(ExitCode::SUCCESS)
}

/// What the command line asks for.
struct Selection {
    unit: bool,
    boot: bool,
    interop: bool,
    xen: bool,
    filter: String,
}

impl Selection {
    fn new(words: &[String]) -> Self {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (kind, filter) = match words.split_first() {
            Some((kind @ (&"unit" | &"boot" | &"interop" | &"xen"), rest)) => (Some(*kind), rest),
            _ => (None, words.as_slice()),
        };
        let wants = |name: &str| kind.is_none_or(|kind| kind == name);
        let filter = filter.join(" ");
        Self {
            unit: wants("unit") && filter.is_empty(),
            boot: wants("boot"),
            interop: wants("interop"),
            xen: wants("xen"),
            filter,
        }
    }

    fn cases(&self) -> Vec<&'static Case> {
        let boot = boot::CASES.iter().filter(|_| self.boot);
        let interop = http::CASES.iter().chain(services::CASES).filter(|_| self.interop);
        let xen = xen::CASES.iter().filter(|_| self.xen);
        boot.chain(interop).chain(xen).filter(|case| case.name.contains(&self.filter)).collect()
    }
}

fn all_cases() -> impl Iterator<Item = &'static Case> {
    let interop = http::CASES.iter().chain(services::CASES);
    boot::CASES.iter().chain(interop).chain(xen::CASES)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    fn print(&self, took: Duration) {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failed in &self.failed {
            println!("failed: {failed}");
        }
        println!("in {} s", took.as_secs());
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
    }

    fn step(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }
}

/// Style and the tests that need no guest. Each `cargo test` line counts its tests.
fn unit(tally: &mut Tally) -> Result {
    tally.step("format (mend with `cargo fmt`)", cargo(&["fmt", "--all", "--check"])?);
    tally.step("clippy", tidy::clippy(cargo::command().arg("clippy"))?);
    tally.step(
        "clippy of the image",
        tidy::clippy(&mut image::Options::default().cargo("clippy", "dev"))?,
    );
    tally.step("tidy", tidy::check()?);
    let mut command = cargo::command();
    command.args(["test", "--no-fail-fast"]);
    eprintln!("xtask: cargo test");
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
    })?;
    let mut output = String::new();
    if let Some(stdout) = child.streams().stdout.take() {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stdout))
            .map_while(std::result::Result::ok)
        {
            if !line.ends_with("... ok") {
                println!("{line}");
            }
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child
        .wait(Duration::from_secs(5))
        .ok_or_else(|| Failure::new("cargo test does not end"))?;
    count(&output, status.success(), tally);
    Ok(())
}

/// Adds the results that libtest printed.
fn count(output: &str, success: bool, tally: &mut Tally) {
    let failed_before = tally.failed.len();
    for line in output.lines().filter_map(|line| line.strip_prefix("test ")) {
        match line.rsplit_once(" ... ") {
            Some((_, "ok")) => tally.passed += 1,
            Some((name, "FAILED")) => tally.failed.push(name.to_owned()),
            Some((name, ignored)) if ignored.starts_with("ignored") => {
                tally.skipped.push(format!("{name} ({ignored})"));
            }
            _ => {}
        }
    }
    if !success && tally.failed.len() == failed_before {
        tally.failed.push("cargo test (it does not build; its messages are above)".into());
    }
}

fn cargo(arguments: &[&str]) -> Result<bool> {
    eprintln!("xtask: cargo {}", arguments.join(" "));
    cargo::succeeds(cargo::command().args(arguments))
}

/// Builds what the cases need, then runs them a few at a time.
fn run_cases(cases: &[&'static Case], install: Install, tally: &mut Tally) -> Result {
    let needs = [&[&programs::QEMU, &programs::IP], needs_of(cases).as_slice()].concat();
    programs::need(&needs, install)?;
    let kernel = image::build(&image::Options::default(), install)?.shipped;
    let process = process::build()?;
    if cases.iter().any(|case| case.name.starts_with("xen/")) {
        Dom0::get(install)?;
    }
    peers::prepare(&cases.iter().map(|case| case.name).collect::<Vec<_>>(), install)?;
    if let Err(reason) = namespace::check() {
        tally.skipped.extend(cases.iter().map(|case| format!("{} ({reason})", case.name)));
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(tally);
    std::thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let result = run_case(case, &kernel, &process);
                    let mut tally = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    match &result {
                        Ok(()) => println!(
                            "ok      {} ({:.1} s)",
                            case.name,
                            started.elapsed().as_secs_f32()
                        ),
                        Err(failure) => println!("FAILED  {}\n{failure}\n", case.name),
                    }
                    tally.step(case.name, result.is_ok());
                }
            });
        }
    });
    Ok(())
}

fn needs_of(cases: &[&'static Case]) -> Vec<&'static Program> {
    cases.iter().flat_map(|case| case.needs.iter().copied()).collect()
}

/// One case in a process and a network namespace of its own; both are gone afterwards.
fn run_case(case: &Case, kernel: &Path, process: &Path) -> Result {
    let scratch = paths::Scratch::new()?;
    let log = scratch.path("log");
    let file = std::fs::File::create(&log).or_say(|| "cannot write a log".into())?;
    let second = file.try_clone().or_say(|| "cannot write a log".into())?;
    let own = std::env::current_exe().or_say(|| "cannot find the runner itself".into())?;
    let mut command = namespace::command();
    command.arg(own).args([CASE_VERB, case.name]).arg(kernel).arg(process);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(file).stderr(second);
    })?;
    let status = child.wait(case.deadline + DEADLINE_SLACK);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(_) => fail!("{}", said().trim_end()),
        None => fail!("not done within {:?}; it said:\n{}", case.deadline, said().trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_a_kind_and_a_part_of_a_name() {
        let select = |words: &[&str]| {
            Selection::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        let all = select(&[]);
        assert!(all.unit && all.boot && all.interop);
        assert_eq!(all.cases().len(), all_cases().count());
        let some = select(&["boot", "power"]);
        assert!(!some.unit && some.boot && !some.interop);
        assert!(
            !some.cases().is_empty() && some.cases().iter().all(|case| case.name.contains("power"))
        );
        assert!(select(&["curl"]).interop);
    }

    #[test]
    fn case_names_are_unique() {
        let mut names: Vec<_> = all_cases().map(|case| case.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn libtest_lines_are_counted() {
        let mut tally = Tally::default();
        count(
            "test a::b ... ok\ntest c - d (line 3) ... FAILED\ntest e ... ignored, slow\ntest result: FAILED. 1 passed\n",
            false,
            &mut tally,
        );
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (1, 1, 1));
        count("error: nothing builds", false, &mut tally);
        assert_eq!(tally.failed.len(), 2);
    }
}
