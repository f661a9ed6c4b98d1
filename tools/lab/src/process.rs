//! The appliance as a Linux process.

use command::{cargo, failure::Result, paths};
use std::path::PathBuf;

/// Builds it; its path.
///
/// # Errors
///
/// It does not build.
pub fn build() -> Result<PathBuf> {
    let mut command = cargo::command();
    cargo::build(
        command.args(["build", "--release", "--package", "aqueduct-linux"]),
        "the process",
    )?;
    Ok(paths::target().join("release").join("aqueduct"))
}
