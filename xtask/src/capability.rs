//! `cargo xtask capability --bundle DIR SERVICE HOST:PORT`, or the path of a Unix-domain socket in place of the latter: the reference of a service, which is a secret.

use command::{failure::Result, files, programs};
use image_builder::image::Profile;
use lab::process;
use std::{ffi::OsString, path::PathBuf, process::Command, process::ExitCode};

/// Prints the reference of a service of an appliance with this bundle, by the bundle's key: docs/vats.md
///
/// Who has the reference may use the service: it is a secret.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// The folder with the configuration and the key
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// The service's name
    service: OsString,
    /// HOST:PORT of the appliance, or the path of its Unix-domain socket
    address: OsString,
    /// Writes it to a file that only its owner reads
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const NOTES: &str = "\
Example:
  cargo xtask capability --bundle my-site calculator 10.9.0.2:7001 --out calculator.cap";

pub(crate) fn main(words: Words) -> Result<ExitCode> {
    let mut asked = words.service;
    asked.push("@");
    asked.push(words.address);
    // The one that `run --linux` has: what ships would be compiled for minutes, for one line.
    let options = process::Options { profile: Profile::Dev, ..process::Options::default() };
    let mut process = Command::new(options.build()?);
    process.arg("--bundle").arg(words.bundle).arg("--capability").arg(asked);
    let reference = programs::output(&mut process)?;
    match words.out {
        Some(file) => files::write_secret(&file, &reference)?,
        None => print!("{reference}"),
    }
    Ok(ExitCode::SUCCESS)
}
