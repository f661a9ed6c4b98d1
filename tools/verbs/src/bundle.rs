//! `cargo xtask bundle DIR --out FILE`: configuration and content for one boot.

use command::{failure::Result, files};
use image_builder::bundle::{self, Coding};
use std::{path::PathBuf, process::ExitCode};

/// Makes a bundle, which is configuration and content for a boot, of a folder
///
/// What the appliance would refuse at its start is refused here, in the same words, and what it would warn of is told.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub struct Words {
    /// The folder: `site/` and, where something differs from the defaults, `appliance.toml`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// As a disk's image, of whole blocks: docs/disk.md
    #[arg(long)]
    disk: bool,
    /// Variants of what is text, for clients that take them: a list of gzip, brotli and zstd, or none
    #[arg(long, value_name = "LIST", default_value = "gzip", value_parser = codings)]
    compress: Codings,
}

/// Kinds of variants.
#[derive(Clone)]
struct Codings(Vec<Coding>);

const NOTES: &str = "\
Examples:
  cargo xtask bundle my-site --out bundle.cpio
  cargo xtask bundle my-site --disk --out bundle.img";

/// Makes the bundle.
///
/// # Errors
///
/// What the folder's files may not be, no site, and what a boot would refuse.
pub fn main(words: &Words) -> Result<ExitCode> {
    /// What any disk counts in.
    const BLOCK_BYTES: usize = 4096;
    let mut archive = bundle::pack_with(&words.folder, &words.compress.0)?;
    for sentence in bundle::left_out(&words.folder, &archive)? {
        eprintln!("xtask: {sentence}");
    }
    for warning in bundle::warnings(&archive)? {
        eprintln!("xtask: warning: {warning}");
    }
    if words.disk {
        archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    files::write(&words.out, &archive)?;
    eprintln!("xtask: {} bytes in {}", archive.len(), words.out.display());
    Ok(ExitCode::SUCCESS)
}

/// What a list of codings means.
fn codings(list: &str) -> std::result::Result<Codings, &'static str> {
    if list == "none" {
        return Ok(Codings(Vec::new()));
    }
    let known = |name: &str| Coding::ALL.iter().find(|(own, _)| *own == name).map(|(_, it)| *it);
    let codings: Option<_> = list.split(',').map(known).collect();
    codings.map(Codings).ok_or("allowed: gzip, brotli and zstd, separated by commas, or none")
}
