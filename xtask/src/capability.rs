//! `cargo xtask capability --bundle DIR SERVICE HOST:PORT`, or the path of a Unix-domain socket in place of the latter: the reference of a service, which is a secret.

use command::{
    failure::{Result, fail},
    files, programs,
};
use lab::process;
use std::{ffi::OsString, path::PathBuf, process::Command, process::ExitCode};

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let (mut bundle, mut out, mut words) = (None, None, Vec::<OsString>::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("bundle") => bundle = Some(arguments.value()?),
            lexopt::Arg::Long("out") => out = Some(PathBuf::from(arguments.value()?)),
            lexopt::Arg::Long("no-install") => {}
            lexopt::Arg::Value(word) => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(bundle), [service, address]) = (bundle, &words[..]) else {
        fail!(
            "say `cargo xtask capability --bundle DIR SERVICE HOST:PORT [--out FILE]`, or the path of a socket for HOST:PORT"
        );
    };
    let mut asked = service.clone();
    asked.push("@");
    asked.push(address);
    let mut process = Command::new(process::build()?);
    process.arg("--bundle").arg(bundle).arg("--capability").arg(asked);
    let reference = programs::output(&mut process)?;
    match out {
        Some(file) => files::write_secret(&file, &reference)?,
        None => print!("{reference}"),
    }
    Ok(ExitCode::SUCCESS)
}
