//! `cargo xtask tidy`: the shape of the tree.

use command::failure::Result;
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    let is_tidy = tidy::check()? && tidy::clippy_all()?;
    if is_tidy {
        eprintln!("xtask: tidy");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
