//! `cargo xtask completions SHELL`: completions of the verbs and their options.

use crate::Words as Xtask;
use clap::CommandFactory;
use clap_complete::Shell;
use command::failure::Result;
use std::process::ExitCode;

/// Prints completions of a shell for `xtask`
///
/// No shell lets others complete what follows `cargo`: they are for the alias of the example.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// The shell
    shell: Shell,
}

const NOTES: &str = "\
Example, for bash:
  cargo xtask completions bash > ~/.local/share/bash-completion/completions/xtask
  alias xtask='cargo xtask'

The programs print theirs by `aqueduct --completions SHELL`, `aqueduct-load --completions SHELL` and
`aqueductctl completions SHELL`.";

pub(crate) fn main(words: &Words) -> Result<ExitCode> {
    let mut xtask = Xtask::command().bin_name("xtask");
    clap_complete::generate(words.shell, &mut xtask, "xtask", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
