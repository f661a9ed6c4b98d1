//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use command::{
    failure::{Result, fail},
    programs::Install,
};
use lab::{
    group,
    run::{self, MEMORY_MIB_MIN, Options},
};
use std::{path::PathBuf, process::ExitCode};

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    let (mut group, mut state) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("group") => group = Some(PathBuf::from(arguments.value()?)),
            Long("state") => state = Some(PathBuf::from(arguments.value()?)),
            Long("linux") => options.linux = true,
            Long("xen") => options.xen = true,
            Long("hermit") => options.hermit = true,
            Long("tap") => options.tap = true,
            Long("gdb") => options.gdb = true,
            Long("trace") => options.trace = true,
            Long("machine") => options.machine = Some(arguments.value()?.string()?.parse()?),
            Long("accel") => options.accel = Some(arguments.value()?.string()?.parse()?),
            Long("mem") => options.memory_mib = Some(arguments.value()?.parse_with(memory_mib)?),
            Long("port") => options.port = arguments.value()?.parse_with(port)?,
            Long("bundle") => options.bundle = Some(arguments.value()?.into()),
            Long("disk") => options.disks.push(arguments.value()?.into()),
            Long("pcap") => options.pcap = Some(arguments.value()?.into()),
            Long("append") => options.append = arguments.value()?.string()?,
            Long("no-install") => options.install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    match group {
        Some(file) => run_group(file, state, &options),
        None if state.is_some() => fail!("--state is for --group FILE"),
        None => run::run(&options),
    }
}

/// A group says itself what its members are; of the options for one appliance few are for all of them.
fn run_group(file: PathBuf, state: Option<PathBuf>, options: &Options) -> Result<ExitCode> {
    let Options { linux, accel, install, .. } = *options;
    let for_all = Options { linux, accel, install, ..Options::default() };
    if *options != for_all {
        fail!(
            "--group FILE goes with --linux, --accel, --state and --no-install; the file says the rest"
        );
    }
    group::run(&group::Options { file, linux, state, accel, install })
}

fn memory_mib(text: &str) -> std::result::Result<u32, String> {
    let mib = text.parse().ok().filter(|mib| *mib >= MEMORY_MIB_MIN);
    mib.ok_or_else(|| format!("allowed: MiB from {MEMORY_MIB_MIN}, with less no guest starts"))
}

fn port(text: &str) -> std::result::Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("allowed: a port from 1 to 65535")
}
