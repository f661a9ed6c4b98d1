//! `cargo xtask codegen`: remakes the code that is generated from schemas and checked in.

use crate::{
    failure::Result,
    peers,
    tools::{self, Install},
};
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    tools::need(&[&peers::CAPNP], install)?;
    peers::cargo(&["run", "--package", "rpc", "--example", "codegen"])?;
    Ok(ExitCode::SUCCESS)
}
