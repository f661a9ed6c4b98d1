//! `cargo xtask fuzz [TARGET] [--seconds N]`: the targets of `tests/fuzz`, under libFuzzer, and the long forms of the tests
//! of `tests/sweep`.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
};

/// libFuzzer's runtime is C++.
const CXX: Program = Program { name: "g++", package: "g++" };
/// The target that is none of libFuzzer's.
const SWEEP: &str = "sweep";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Coverage for libFuzzer by stable switches of the compiler, so that no nightly is needed; and our own checks on.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";

/// Runs fuzz targets under libFuzzer, and the long forms of the tests of `tests/sweep`
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// Which one [default: all, one after the other]
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Seconds of each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

const NOTES: &str = "\
Examples:
  cargo xtask fuzz --seconds 600
  cargo xtask fuzz tcp_connection";

pub(crate) fn main(words: &Words, install: Install) -> Result<ExitCode> {
    let Words { target: only, seconds } = words;
    let mut targets = targets()?;
    targets.push(SWEEP.into());
    let wanted: Vec<_> =
        targets.iter().filter(|name| only.as_ref().is_none_or(|only| only == *name)).collect();
    if wanted.is_empty() {
        fail!(
            "there is no fuzz target `{}`; there are {}",
            only.as_deref().unwrap_or_default(),
            targets.join(", ")
        );
    }
    programs::need(&[&programs::CC, &CXX], install)?;
    let mut crashed = Vec::new();
    for name in wanted {
        let is_sound = if name == SWEEP { sweep(*seconds)? } else { fuzz(name, *seconds)? };
        if !is_sound {
            crashed.push(name.as_str());
        }
    }
    if crashed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    fail!("crashed: {}; the inputs are in {}", crashed.join(", "), paths::made("fuzz")?.display())
}

/// The targets' names: each is a file.
fn targets() -> Result<Vec<String>> {
    let files = files::list(&folder())?;
    let names = files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    let names = names.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.filter(|name| name != "main").collect();
    names.sort();
    Ok(names)
}

fn folder() -> PathBuf {
    paths::root().join("tests/fuzz")
}

/// Hogs for so long, panics at each wait, and allocations that fail, each in turn; whether nobody else noticed.
fn sweep(seconds: u32) -> Result<bool> {
    let mut hogs = cargo::command();
    hogs.args(["test", "--package", "sweep", "--test", "hogs", "--test", "panics"]);
    hogs.env("HOG_SECONDS", seconds.to_string());
    // As `cargo xtask test unit` has it.
    let mut allocations = cargo::command();
    allocations.args(["test", "--package", "sweep", "--test", "allocations"]);
    allocations.args(["--features", "failing-allocator", "--profile", "sweep"]);
    allocations.args(["--target", TARGET]).env("RUSTC_BOOTSTRAP", "1");
    for command in [&mut hogs, &mut allocations] {
        command.current_dir(paths::root());
        if !command.status().or_say(|| "cannot start cargo".into())?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing was found.
fn fuzz(name: &str, seconds: u32) -> Result<bool> {
    let corpus = folder().join("corpus").join(name);
    files::make_folder(&corpus)?;
    // New inputs go to a folder of their own; what is worth keeping is copied to the corpus by hand.
    let found = paths::made(&format!("fuzz/{name}"))?;
    let mut command = cargo::command();
    command.args(["test", "--release", "--target", TARGET, "--target-dir"]);
    command.arg(paths::made("fuzz-build")?).args(["--package", "fuzz", "--"]);
    command.arg(&found).arg(&corpus).env("FUZZ_TARGET", name);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/crash-", found.display()));
    command.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").stdin(Stdio::null());
    eprintln!("xtask: fuzzing {name} for {seconds} s");
    Ok(command.status().or_say(|| "cannot start cargo".into())?.success())
}
