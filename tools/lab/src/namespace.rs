//! Network namespaces: a network of its own for a test or a measurement.

use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    programs,
};
use std::{
    ffi::OsStr,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

/// A command that runs its arguments in a new network namespace, with a user namespace where we are not root.
pub fn command() -> Command {
    let unshare = programs::find("unshare").unwrap_or_else(|| "unshare".into());
    let mut command = Command::new(unshare);
    let options: &[&str] =
        if programs::is_root() { &["--net"] } else { &["--user", "--map-root-user", "--net"] };
    command.args(options).arg("--");
    command
}

/// Runs this very program with other words in a new network namespace, to its end.
///
/// # Errors
///
/// It does not start, or does not end in time.
pub fn again(words: impl IntoIterator<Item: AsRef<OsStr>>, limit: Duration) -> Result<ExitCode> {
    let own = std::env::current_exe().or_say(|| "cannot find this program itself".into())?;
    let mut command = command();
    command.arg(own).args(words);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    match child.wait(limit) {
        Some(status) if status.success() => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => fail!("not done within {limit:?}"),
    }
}

/// Tries one out, with a TAP in it.
///
/// # Errors
///
/// This machine does not allow it.
pub fn check() -> Result {
    let tried =
        programs::output(command().args(["ip", "tuntap", "add", "dev", "tap0", "mode", "tap"]));
    tried
        .map(drop)
        .map_err(|failure| Failure(format!("no network namespace with a TAP here: {failure}")))
}
