//! The appliance as a Linux process.

use command::{cargo, failure::Result, paths};
use std::path::PathBuf;

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
