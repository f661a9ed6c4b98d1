//! `cargo xtask bundle DIR --out FILE`: configuration and content for one boot.

use command::{
    failure::{Result, fail},
    files,
};
use image_builder::bundle::{self, Coding};
use lexopt::ValueExt;
use std::{path::PathBuf, process::ExitCode};

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    /// What any disk counts in.
    const BLOCK_BYTES: usize = 4096;
    let (mut folder, mut out, mut is_disk) = (None, None, false);
    let mut codings = vec![Coding::Gzip];
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("out") => out = Some(PathBuf::from(arguments.value()?)),
            lexopt::Arg::Long("disk") => is_disk = true,
            lexopt::Arg::Long("compress") => {
                codings = self::codings(&arguments.value()?.string()?)?
            }
            lexopt::Arg::Long("no-install") => {}
            lexopt::Arg::Value(value) if folder.is_none() => folder = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(folder), Some(out)) = (folder, out) else {
        fail!("say `cargo xtask bundle DIR --out FILE`");
    };
    let mut archive = bundle::pack_with(&folder, &codings)?;
    if is_disk {
        archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    files::write(&out, &archive)?;
    eprintln!("xtask: {} bytes in {}", archive.len(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// What a list of codings means, as `gzip,brotli`; `none` is none.
fn codings(list: &str) -> Result<Vec<Coding>> {
    if list == "none" {
        return Ok(Vec::new());
    }
    let known = |name: &str| Coding::ALL.iter().find(|(own, _)| *own == name).map(|(_, it)| *it);
    match list.split(',').map(known).collect() {
        Some(codings) => Ok(codings),
        None => fail!("--compress takes gzip, brotli and zstd, or none, as --compress gzip,brotli"),
    }
}
