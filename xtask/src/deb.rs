//! `cargo xtask deb --out FILE`: the process as a package of Debian.

use command::{failure::Result, programs::Install};
use image_builder::deb::{self, Programs};
use lab::process;
use std::{path::PathBuf, process::ExitCode};

/// Builds the process, with aqueductctl and aqueduct-load, and makes a Debian package of them
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// The package
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Whose package it is
    #[arg(long, value_name = "NAME_AND_ADDRESS", default_value = deb::MAINTAINER)]
    maintainer: String,
}

const NOTES: &str = "\
Example:
  cargo xtask deb --out aqueduct.deb && sudo apt install ./aqueduct.deb

docs/deploy/debian.md says what it has, and where.";

pub(crate) fn main(words: &Words, install: Install) -> Result<ExitCode> {
    let (aqueduct, aqueductctl, load) =
        (process::build()?, process::build_ctl()?, process::build_load()?);
    let programs = Programs { aqueduct: &aqueduct, aqueductctl: &aqueductctl, load: &load };
    deb::write(&programs, &words.maintainer, &words.out, install)?;
    println!("{}", words.out.display());
    Ok(ExitCode::SUCCESS)
}
