//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use command::{failure::Result, programs::Install};
use lab::run::{self, Options};
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("linux") => options.linux = true,
            Long("xen") => options.xen = true,
            Long("tap") => options.tap = true,
            Long("gdb") => options.gdb = true,
            Long("trace") => options.trace = true,
            Long("machine") => options.machine = arguments.value()?.string()?.parse()?,
            Long("accel") => options.accel = Some(arguments.value()?.string()?.parse()?),
            Long("mem") => options.memory_mib = arguments.value()?.parse()?,
            Long("port") => options.port = arguments.value()?.parse()?,
            Long("bundle") => options.bundle = Some(arguments.value()?.into()),
            Long("pcap") => options.pcap = Some(arguments.value()?.into()),
            Long("append") => options.append = arguments.value()?.string()?,
            Long("no-install") => options.install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    run::run(&options)
}
