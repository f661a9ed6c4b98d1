//! The appliance as a Linux process, and programs beside it.

use command::{
    cargo,
    child::Child,
    failure::{Result, fail},
    paths,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// Builds it; its path.
///
/// # Errors
///
/// It does not build.
pub fn build() -> Result<PathBuf> {
    build_package("aqueduct-linux", "aqueduct")
}

/// Builds the trial appliance, which has routes for tests besides; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_trial() -> Result<PathBuf> {
    build_package("trial-linux", "aqueduct-trial")
}

/// Builds `aqueductctl`, which looks into it; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_ctl() -> Result<PathBuf> {
    build_package("aqueductctl", "aqueductctl")
}

/// Builds `aqueduct-load`, which puts load on servers; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_load() -> Result<PathBuf> {
    build_package("aqueduct-load", "aqueduct-load")
}

fn build_package(package: &str, program: &str) -> Result<PathBuf> {
    let mut command = cargo::command();
    cargo::build(command.args(["build", "--release", "--package", package]), program)?;
    Ok(paths::target().join("release").join(program))
}

/// Starts what gives guests of QEMU so much memory at a socket, which is there then.
///
/// # Errors
///
/// It does not build, or does not start.
pub fn serve_shared_memory(socket: &Path, mebibytes: u32) -> Result<Child> {
    let mut command = Command::new(build_ctl()?);
    command.arg("shm-server").arg(socket).args(["--megabytes", &mebibytes.to_string()]);
    // What the last one left there is not its own.
    let _ = std::fs::remove_file(socket);
    let mut server = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    let deadline = Instant::now() + START_LIMIT;
    while !socket.exists() {
        if let Some(status) = server.ended() {
            fail!("the server of shared memory ended ({status})");
        }
        if Instant::now() > deadline {
            fail!("the server of shared memory is not there after {START_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(server)
}
