//! Style, and the tests that need no guest.

use super::summary::Summary;
use command::{
    cargo,
    child::Child,
    failure::{Failure, Result},
    programs::Install,
};
use image_builder::page;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

/// Between the end of its output and the end of cargo.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long hogs are at it in the long form.
const LONG_HOG_SECONDS: &str = "60";

/// Runs them. Each test that cargo ran counts as one.
pub(super) fn run(install: Install, is_long: bool, summary: &mut Summary) -> Result {
    summary.step("format (mend with `cargo fmt`)", is_formatted()?);
    summary.step("clippy", tidy::clippy(cargo::command().arg("clippy"))?);
    summary.step("clippy of the images", tidy::clippy_images()?);
    summary.step("tidy", tidy::check()?);
    eprintln!("xtask: the protocol cores for WebAssembly");
    summary.step("cores for WebAssembly", page::check_cores(install)?);
    for mut command in [tests(), failing_allocations()] {
        if is_long {
            command.env("HOG_SECONDS", LONG_HOG_SECONDS);
        }
        let (output, success) = run_tests(&command)?;
        summary.libtest(&output, success);
    }
    if is_long {
        summary.step("broken lines of the fixed sample", mutants::run_fixed_sample(install)?);
    }
    Ok(())
}

fn is_formatted() -> Result<bool> {
    eprintln!("xtask: cargo fmt --all --check");
    cargo::succeeds(cargo::command().args(["fmt", "--all", "--check"]))
}

fn tests() -> Command {
    let mut command = cargo::command();
    command.args(["test", "--no-fail-fast"]);
    command
}

/// Failed allocations that unwind ask for the compiler's switch, and so for artifacts of their own.
fn failing_allocations() -> Command {
    let mut command = cargo::command();
    command.args(["test", "--package", "sweep", "--test", "allocations"]);
    command.args(["--features", "failing-allocator", "--profile", "sweep"]);
    command.args(["--target", "x86_64-unknown-linux-gnu"]).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// What a run of tests prints, and whether it succeeds. What is not `ok` is printed at once.
fn run_tests(command: &Command) -> Result<(String, bool)> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    eprintln!("xtask: cargo {}", words.join(" "));
    let mut child = Child::start(command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
    })?;
    let mut output = String::new();
    if let Some(stdout) = child.streams().stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
            if !line.ends_with("... ok") {
                println!("{line}");
            }
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child.wait(END_LIMIT).ok_or_else(|| Failure::new("cargo test does not end"))?;
    Ok((output, status.success()))
}
