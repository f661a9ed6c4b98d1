//! `cargo xtask man --out DIR`: manual pages of the verbs.

use crate::Words as Xtask;
use clap::CommandFactory;
use command::{
    failure::{OrSay, Result},
    files,
};
use std::{path::PathBuf, process::ExitCode};

/// Writes the manual pages of `cargo xtask` and its verbs
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// Where to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const NOTES: &str = "\
Example:
  cargo xtask man --out man && man man/xtask-run.1

The programs print theirs by `aqueduct --man`, `aqueduct-load --man` and `aqueductctl man`.";

pub(crate) fn main(words: &Words) -> Result<ExitCode> {
    files::make_folder(&words.out)?;
    clap_mangen::generate_to(Xtask::command(), &words.out)
        .or_say(|| format!("cannot write to {}", words.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
