//! `cargo xtask bundle DIR --out FILE`: configuration and content for one boot.

use command::{
    failure::{Result, fail},
    files,
};
use image_builder::bundle;
use std::{path::PathBuf, process::ExitCode};

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut folder, mut out) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("out") => out = Some(PathBuf::from(arguments.value()?)),
            lexopt::Arg::Long("no-install") => {}
            lexopt::Arg::Value(value) if folder.is_none() => folder = Some(PathBuf::from(value)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(folder), Some(out)) = (folder, out) else {
        fail!("say `cargo xtask bundle DIR --out FILE`");
    };
    let archive = bundle::pack(&folder)?;
    files::write(&out, &archive)?;
    eprintln!("xtask: {} bytes in {}", archive.len(), out.display());
    Ok(ExitCode::SUCCESS)
}
