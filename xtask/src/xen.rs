//! `cargo xtask xen ELF [WORDS]`: one guest on a fresh Xen host, until it stops, for whoever works on its lowest parts.

use command::{
    failure::{Failure, Result},
    programs::Install,
};
use lab::{
    guest::Echo,
    xen::{self, Trial},
};
use std::{path::PathBuf, process::ExitCode};

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let (mut elf, mut ramdisk, mut words, mut echo) = (None, None, Vec::new(), Echo::No);
    let mut script = None;
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("ramdisk") => ramdisk = Some(PathBuf::from(arguments.value()?)),
            Long("script") => script = Some(PathBuf::from(arguments.value()?)),
            Long("serial") => echo = Echo::ToTerminal,
            Long("no-install") => install = Install::OnlyTell,
            Value(value) if elf.is_none() => elf = Some(PathBuf::from(value)),
            Value(value) => words.push(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let elf = elf.ok_or_else(|| Failure::new("say `cargo xtask xen ELF [WORDS]`"))?;
    xen::try_out(&Trial { elf, ramdisk, words, script, echo, install })?;
    Ok(ExitCode::SUCCESS)
}
