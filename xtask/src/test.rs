//! `cargo xtask test`: hands on to the tests' own program, the package `aqueduct-tests`.

use crate::values::Raw;
use command::{
    cargo,
    failure::{OrSay, Result},
    paths,
    programs::Install,
};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

/// Runs every test, or a kind of them, or those whose names contain a text
///
/// Tests of the Hermit kernel, which is an experiment, run only when `hermit` is the kind or in the text.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// unit, boot, interop or xen; or a text
    #[arg(value_name = "KIND")]
    kind: Option<OsString>,
    /// What is in the names of those that run
    filter: Option<OsString>,
}

const NOTES: &str = "\
Examples:
  cargo xtask test
  cargo xtask test unit
  cargo xtask test interop gopher";

pub(crate) fn main(words: &Words, install: Install) -> Result<ExitCode> {
    let mut given: Vec<_> = words.kind.iter().chain(&words.filter).cloned().collect();
    if install == Install::OnlyTell {
        given.push("--no-install".into());
    }
    hand_on(&given)
}

/// One case alone.
pub(crate) fn case(raw: &Raw) -> Result<ExitCode> {
    hand_on(&[&[OsString::from("case")], raw.words.as_slice()].concat())
}

fn hand_on(words: &[OsString]) -> Result<ExitCode> {
    let mut build = cargo::command();
    cargo::build(build.args(["build", "--package", "aqueduct-tests"]), "the tests' runner")?;
    let runner = paths::target().join("debug/aqueduct-tests");
    let error = Command::new(runner).args(words).exec();
    Err(error).or_say(|| "cannot start the tests' runner".into())
}
