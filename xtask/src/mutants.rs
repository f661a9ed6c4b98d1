//! `cargo xtask mutants`: lines broken one at a time, and whether the tests notice.

use command::{failure::Result, programs::Install};
use mutants::Options;
use std::process::ExitCode;

/// Breaks lines one at a time, and says which breaks no test notices
///
/// `cargo-mutants`, which is built when it is not there, says which ones there are. Nearly all are compiled at once, each behind
/// a switch. A crate takes some minutes; its results are in target/xtask/mutants.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// Whose lines [default: those of all crates that have a share to reach]
    #[arg(value_name = "CRATE")]
    packages: Vec<String>,
    /// About so many mutants of each crate, evenly spread and the same each time [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Pass so many over before the first, for another sample
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    skip: u32,
    /// At most so many of each crate that no switch expresses, each of which is compiled, evenly spread [default: all]
    #[arg(long, value_name = "COUNT")]
    alone_max: Option<u32>,
    /// Those only that nothing noticed the last time, as after a test was written
    #[arg(long)]
    again: bool,
}

const NOTES: &str = "\
Examples:
  cargo xtask mutants aqueduct-http --sample 40
  cargo xtask mutants";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { packages, sample, skip, alone_max, again } = words;
    mutants::run(&Options {
        packages,
        sample: sample.map(|count| count as usize),
        skip: skip as usize,
        alone_max: alone_max.map(|count| count as usize),
        again,
        install,
    })
}
