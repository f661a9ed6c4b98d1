//! Style, and the tests that need no guest.

use super::summary::Summary;
use command::{
    cargo,
    child::Child,
    failure::{Failure, Result},
};
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

/// Between the end of its output and the end of cargo.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Runs them. Each test that cargo ran counts as one.
pub(super) fn run(summary: &mut Summary) -> Result {
    summary.step("format (mend with `cargo fmt`)", is_formatted()?);
    summary.step("clippy", tidy::clippy(cargo::command().arg("clippy"))?);
    summary.step("clippy of the images", tidy::clippy_images()?);
    summary.step("tidy", tidy::check()?);
    let (output, success) = test()?;
    summary.libtest(&output, success);
    Ok(())
}

fn is_formatted() -> Result<bool> {
    eprintln!("xtask: cargo fmt --all --check");
    cargo::succeeds(cargo::command().args(["fmt", "--all", "--check"]))
}

/// What `cargo test` prints, and whether it succeeds. What is not `ok` is printed at once.
fn test() -> Result<(String, bool)> {
    eprintln!("xtask: cargo test");
    let mut command = cargo::command();
    command.args(["test", "--no-fail-fast"]);
    let mut child = Child::start(&command, |command| {
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
