//! The packages for crates.io: cargo takes them as they are, with the files that they read when they are compiled.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    paths, programs,
};
use lab::harness::{Case, Harness, contains};
use serde_json::Value;
use std::process::Command;

pub(crate) const CASES: &[Case] =
    &[Case::new("crates/are_packages", &[], 240, are_packages).on_its_own()];

/// Of the tools' files: an appliance elsewhere has no other place to read them from.
const MACHINE_ARGUMENTS: &str = "qemu/microvm.args";

fn are_packages(_: &mut Harness) -> Result {
    let packages = published()?;
    let target = paths::made("crates")?;
    let mut command = cargo::command();
    command.current_dir(paths::root());
    command.args(["package", "--no-verify", "--allow-dirty", "--target-dir"]);
    command.arg(&target).args(packages.iter().flat_map(|name| ["--package", name]));
    command.env("CARGO_NET_OFFLINE", "true");
    let output = command.output().or_say(|| "cannot start cargo".into())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        fail!("{}: {said}", output.status);
    }
    if let Some(warning) = said.lines().find(|line| line.starts_with("warning: manifest")) {
        fail!("{warning}");
    }
    for name in &packages {
        let version = env!("CARGO_PKG_VERSION");
        let archive = target.join(format!("package/{name}-{version}.crate"));
        let list = programs::output(Command::new("tar").arg("-tzf").arg(&archive))?;
        contains("a package's files", &list, "/crates.md\n")?;
        if name == "aqueduct-lab" {
            contains("the files of the tools", &list, MACHINE_ARGUMENTS)?;
        }
    }
    Ok(())
}

/// The names of those that may be published.
fn published() -> Result<Vec<String>> {
    let mut command = cargo::command();
    command.current_dir(paths::root());
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let said = programs::output(&mut command)?;
    let metadata: Value = serde_json::from_str(&said).or_say(|| "cargo metadata".into())?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    // `publish = false` is an empty list of registries; without it there is none.
    let published = packages.iter().filter(|package| package["publish"].is_null());
    Ok(published.filter_map(|package| package["name"].as_str()).map(String::from).collect())
}
