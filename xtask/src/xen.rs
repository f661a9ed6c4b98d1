//! `cargo xtask xen ELF [WORDS]`: one guest on a fresh Xen host, until it stops, for whoever works on its lowest parts.

use command::{failure::Result, programs::Install};
use lab::{
    guest::Echo,
    xen::{self, Trial},
};
use std::{path::PathBuf, process::ExitCode};

/// Starts one guest on a fresh Xen host in QEMU, until it stops: for work on the image's lowest parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask xen target/xtask/image/aqueduct.elf log=debug --serial"
)]
pub(crate) struct Words {
    /// The image
    elf: PathBuf,
    /// Words of its command line
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Its boot module, as a bundle
    #[arg(long, value_name = "FILE")]
    ramdisk: Option<PathBuf>,
    /// What dom0's shell does besides
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Shows what Xen and dom0 say, too
    #[arg(long)]
    serial: bool,
}

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { elf, words, ramdisk, script, serial } = words;
    let echo = if serial { Echo::ToTerminal } else { Echo::No };
    xen::try_out(&Trial { elf, ramdisk, words, script, echo, install })?;
    Ok(ExitCode::SUCCESS)
}
