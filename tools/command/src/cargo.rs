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
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_our_own_package) {
            command.env_remove(name);
        }
    }
    command
}

/// What cargo tells a program of the package that it is in. Some build scripts, as `ring`'s, run again when such a variable
/// changes: a cargo that we start would compile what another, started by hand, has compiled already, and the other way round.
fn is_of_our_own_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo, which runs this test, has told it of its package.
    #[test]
    fn another_cargo_is_started_as_by_hand() {
        let own = |name: &str| std::env::var_os(name).is_some();
        assert!(own("CARGO_PKG_NAME") && own("CARGO_MANIFEST_DIR") && own("CARGO"));
        let shown = "for it in $(env | sed 's/=.*//'); do echo $it; done";
        let mut shell = Command::new("sh");
        shell.args(["-c", shown]);
        for (name, value) in command().get_envs() {
            assert_eq!(value, None, "{name:?}");
            shell.env_remove(name);
        }
        let left = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        assert!(left.lines().any(|name| name == "CARGO"), "{left}");
        assert!(!left.contains("CARGO_PKG_") && !left.contains("CARGO_MANIFEST_"), "{left}");
    }
}
