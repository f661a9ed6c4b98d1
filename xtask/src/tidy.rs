//! `cargo xtask tidy`: the shape of the tree.

use command::failure::Result;
use std::process::ExitCode;

/// Checks the shape of the tree: arrows between crates, lengths, unsafe code, formatting, clippy
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask tidy")]
pub(crate) struct Words {}

pub(crate) fn main(words: &Words) -> Result<ExitCode> {
    let Words {} = words;
    let is_tidy = tidy::check()? && tidy::clippy_all()?;
    if is_tidy {
        eprintln!("xtask: tidy");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
