//! `cargo xtask bundle DIR --out FILE`: configuration and content for one boot.

use command::{failure::Result, files};
use image_builder::bundle;
use std::{path::PathBuf, process::ExitCode};

/// Makes a bundle, which is configuration and content for a boot, of a folder
///
/// What the appliance would refuse at its start is refused here, in the same words.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// The folder: `site/` and, where something differs from the defaults, `appliance.toml`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// As a disk's image, of whole blocks: docs/disk.md
    #[arg(long)]
    disk: bool,
}

const NOTES: &str = "\
Examples:
  cargo xtask bundle my-site --out bundle.cpio
  cargo xtask bundle my-site --disk --out bundle.img";

pub(crate) fn main(words: &Words) -> Result<ExitCode> {
    /// What any disk counts in.
    const BLOCK_BYTES: usize = 4096;
    let mut archive = bundle::pack(&words.folder)?;
    if words.disk {
        archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    files::write(&words.out, &archive)?;
    eprintln!("xtask: {} bytes in {}", archive.len(), words.out.display());
    Ok(ExitCode::SUCCESS)
}
