//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use command::{failure::Result, programs::Install};
use lab::run::{self, MEMORY_MIB_MIN, Options};
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
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
    run::run(&options)
}

fn memory_mib(text: &str) -> std::result::Result<u32, String> {
    let mib = text.parse().ok().filter(|mib| *mib >= MEMORY_MIB_MIN);
    mib.ok_or_else(|| format!("allowed: MiB from {MEMORY_MIB_MIN}, with less no guest starts"))
}

fn port(text: &str) -> std::result::Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("allowed: a port from 1 to 65535")
}
