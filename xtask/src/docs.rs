//! `cargo xtask docs`: the reference pages, from the schema of the configuration and the descriptions of the command lines.

use command::{cargo, failure::Result};
use std::process::ExitCode;

/// Remakes docs/reference: every key of the configuration, every option of the programs and of this one
///
/// Each page is made by a test beside what it describes, which otherwise says whether the page is current.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask docs && git diff docs/reference")]
pub(crate) struct Words {}

/// The packages whose tests make a page each.
const PACKAGES: [&str; 5] =
    ["aqueduct-config", "aqueduct-linux", "aqueduct-load", "aqueductctl", "xtask"];

pub(crate) fn main(words: &Words) -> Result<ExitCode> {
    let Words {} = words;
    let mut tests = cargo::command();
    tests.arg("test");
    for package in PACKAGES {
        tests.args(["--package", package]);
    }
    // Those of the tests' names: `the_page_of_the_keys_is_current`.
    tests.args(["--lib", "--bins", "the_page_of_"]).env(reference::WRITE, "1");
    cargo::build(&mut tests, "docs/reference")?;
    Ok(ExitCode::SUCCESS)
}
