//! `cargo xtask codegen`: remakes the code that is generated from schemas and checked in.

use command::{
    cargo,
    failure::Result,
    programs::{self, Install},
};
use lab::peers;
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    programs::need(&[&peers::CAPNP], install)?;
    cargo::build(
        cargo::command().args(["run", "--package", "rpc", "--example", "codegen"]),
        "what generates code",
    )?;
    Ok(ExitCode::SUCCESS)
}
