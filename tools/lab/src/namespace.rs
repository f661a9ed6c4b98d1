//! Network namespaces: a network of its own for a test or a measurement.

use command::{
    failure::{Failure, Result},
    programs,
};
use std::process::Command;

/// A command that runs its arguments in a new network namespace, with a user namespace where we are not root.
pub fn command() -> Command {
    let unshare = programs::find("unshare").unwrap_or_else(|| "unshare".into());
    let mut command = Command::new(unshare);
    let options: &[&str] =
        if programs::is_root() { &["--net"] } else { &["--user", "--map-root-user", "--net"] };
    command.args(options).arg("--");
    command
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
