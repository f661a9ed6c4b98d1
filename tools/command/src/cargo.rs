//! Cargo, started by a tool that cargo started.

use crate::{
    child::Child,
    failure::{Result, fail},
    paths,
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// The cargo that started us, in the workspace.
pub fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::workspace());
    command
}

/// Whether a command of cargo's succeeds. What it prints goes to standard error: standard output is a verb's own.
///
/// # Errors
///
/// Cargo cannot be started.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    let mut cargo = Child::start(command, |command| {
        command.stdin(Stdio::null()).stdout(std::io::stderr());
    })?;
    // With its compilers it is a group that a signal ends (`interrupt`).
    loop {
        if let Some(status) = cargo.wait(Duration::from_secs(3600)) {
            return Ok(status.success());
        }
    }
}

/// Builds something, or says that `what` does not build.
///
/// # Errors
///
/// It does not build, or cargo cannot be started.
pub fn build(command: &mut Command, what: &str) -> Result {
    if succeeds(command)? {
        Ok(())
    } else {
        fail!("{what} does not build; cargo's messages are above")
    }
}
