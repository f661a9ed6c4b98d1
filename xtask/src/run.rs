//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use command::{failure::Result, programs::Install};
use lab::{
    group,
    run::{self, Application},
};
use std::{path::PathBuf, process::ExitCode};

/// Builds the appliance, starts it, says where its services answer, and stops it at Ctrl-C
///
/// It runs in QEMU unless --linux, --xen or --hermit says otherwise. Each service that the configuration switches on has a port
/// of this machine, on loopback: the same number, or 8000 more where that is below 1024, or the next that is free.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    #[command(flatten)]
    common: verbs::run::RunOptions,
    /// On the Hermit kernel, which is an experiment: docs/hermit.md
    #[arg(long, conflicts_with_all = ["linux", "xen", "machine", "tap", "gdb", "profile"])]
    hermit: bool,
    /// Several appliances that use each other's services: docs/groups.md. The file says what they are
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "xen", "hermit", "bundle", "disk", "machine", "mem", "port", "tap", "append", "gdb", "pcap", "trace", "profile",
    ])]
    group: Option<PathBuf>,
    /// Where a group's keys are kept [default: target/xtask/groups/NAME]
    #[arg(long, value_name = "DIR", requires = "group")]
    state: Option<PathBuf>,
}

const NOTES: &str = "\
Examples:
  cargo xtask run
  cargo xtask run --bundle my-site --port 8000
  cargo xtask run --machine q35 --mem 64 --append \"log=debug http_port=81\"
  cargo xtask run --linux
  cargo xtask run --profile dev
  cargo xtask run --group docs/groups/mirrors.toml --linux";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { common, hermit, group, state } = words;
    match group {
        Some(file) => {
            let (linux, accel) = (common.linux, common.accel);
            group::run(&group::Options { file, linux, state, accel, install })
        }
        None => {
            run::run(&run::Options { hermit, ..common.options(Application::default(), install) })
        }
    }
}
