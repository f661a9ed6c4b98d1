//! The appliance as a Linux process, and programs beside it.

use command::{
    cargo,
    child::Child,
    failure::{Result, fail},
    paths,
};
use image_builder::image::Profile;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A package of the workspace, and the program that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The package.
    pub package: String,
    /// Its program.
    pub program: String,
    /// How it is compiled.
    pub profile: Profile,
}

impl Default for Options {
    /// The appliance.
    fn default() -> Self {
        Self::of("aqueduct-linux", "aqueduct")
    }
}

impl Options {
    fn of(package: &str, program: &str) -> Self {
        Self { package: package.into(), program: program.into(), profile: Profile::Release }
    }

    /// Builds it; its path.
    ///
    /// # Errors
    ///
    /// It does not build.
    pub fn build(&self) -> Result<PathBuf> {
        let mut command = cargo::command();
        let profile = self.profile.name();
        command.args(["build", "--profile", profile, "--package", &self.package]);
        cargo::build(&mut command, &self.program)?;
        let folder = match self.profile {
            Profile::Release => "release",
            Profile::Dev => "debug",
        };
        Ok(paths::target().join(folder).join(&self.program))
    }
}

/// Builds it; its path.
///
/// # Errors
///
/// It does not build.
pub fn build() -> Result<PathBuf> {
    Options::default().build()
}

/// Builds the trial appliance, which has routes for tests besides; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_trial() -> Result<PathBuf> {
    Options::of("trial-linux", "aqueduct-trial").build()
}

/// Builds `aqueductctl`, which looks into it; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_ctl() -> Result<PathBuf> {
    Options::of("aqueductctl", "aqueductctl").build()
}

/// Builds `aqueduct-load`, which puts load on servers; its path.
///
/// # Errors
///
/// It does not build.
pub fn build_load() -> Result<PathBuf> {
    Options::of("aqueduct-load", "aqueduct-load").build()
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
