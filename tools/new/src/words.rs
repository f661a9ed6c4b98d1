//! The words of `cargo xtask new` and of `cargo new-appliance`, which is the same without the rest of xtask.

use crate::{Options, Source, make};
use command::{failure::Result, paths, shell};
use std::path::PathBuf;

/// Makes the workspace of an appliance of your own: docs/own-appliance.md
///
/// It has a handler with a unit test, a site, and `cargo xtask` with the verbs run, image, bundle and test.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Words {
    /// A folder that is not there yet, outside of this repository
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the appliance is called [default: as the folder]
    #[arg(long)]
    name: Option<String>,
    /// Takes Aqueduct from this repository [default: from the folder of these sources, by its path]
    #[arg(long, value_name = "URL")]
    git: Option<String>,
    /// A commit, tag or branch of it [default: its default branch]
    #[arg(long, requires = "git")]
    rev: Option<String>,
}

const NOTES: &str = "\
Examples:
  cargo xtask new ../my-appliance
  cargo xtask new ../my-appliance --git https://example.org/aqueduct.git --rev v0.1.0

`cargo new-appliance` is the same, and compiled sooner: the rest of xtask is not in it.";

impl Words {
    /// Makes it, and says what is next.
    ///
    /// # Errors
    ///
    /// Those of [`make`], or the repository's URL is none.
    pub fn make(self) -> Result {
        let Self { folder, name, git, rev } = self;
        let source = match git {
            Some(url) => Source::git(url, rev)?,
            None => Source::Path(paths::root().to_owned()),
        };
        let options = Options { folder, name, source };
        let name = make(&options)?;
        let folder = options.folder.display();
        let word = shell::word(&folder.to_string());
        eprintln!("xtask: {name} is in {folder}; next: cd {word} && cargo xtask run --linux");
        Ok(())
    }
}
