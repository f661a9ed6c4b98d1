//! `cargo xtask test`: hands on to the tests' own program, the package `aqueduct-tests`.

use command::{
    cargo,
    failure::{OrSay, Result},
    paths,
};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

pub(crate) fn main(words: &[OsString]) -> Result<ExitCode> {
    let mut build = cargo::command();
    cargo::build(
        build.args(["build", "--quiet", "--package", "aqueduct-tests"]),
        "the tests' runner",
    )?;
    let runner = paths::target().join("debug/aqueduct-tests");
    let error = Command::new(runner).args(words).exec();
    Err(error).or_say(|| "cannot start the tests' runner".into())
}
