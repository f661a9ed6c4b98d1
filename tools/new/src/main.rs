//! `cargo new-appliance DIR`: as `cargo xtask new DIR`, compiled in seconds since all else that xtask does is not in it.
#![forbid(unsafe_code)]

use clap::Parser;
use new_appliance::Words;
use std::process::ExitCode;

/// Makes the workspace of an appliance of your own: docs/own-appliance.md
#[derive(Parser)]
#[command(name = "new-appliance", bin_name = "cargo new-appliance", version)]
struct Program {
    #[command(flatten)]
    words: Words,
}

fn main() -> ExitCode {
    match Program::parse().words.make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
