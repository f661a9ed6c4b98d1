//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use crate::values;
use command::{failure::Result, programs::Install};
use lab::{
    accel::Accel,
    group,
    qemu::Machine,
    run::{self, MEMORY_MIB_MIN, Options, PORT},
};
use std::{path::PathBuf, process::ExitCode};

/// Builds the appliance, starts it, says where its services answer, and stops it at Ctrl-C
///
/// It runs in QEMU unless --linux, --xen or --hermit says otherwise. Each service that the configuration switches on has a port
/// of this machine, on loopback: the same number, or 8000 more where that is below 1024, or the next that is free.
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    /// The same application as a Linux process
    #[arg(long, conflicts_with_all = ["xen", "hermit", "machine", "mem", "accel", "gdb", "trace", "pcap"])]
    linux: bool,
    /// As a guest of Xen, which runs in QEMU with a small dom0
    #[arg(long, conflicts_with_all = ["hermit", "machine", "accel", "tap", "gdb", "trace", "pcap"])]
    xen: bool,
    /// On the Hermit kernel, which is an experiment: docs/hermit.md
    #[arg(long, conflicts_with_all = ["machine", "tap", "gdb"])]
    hermit: bool,
    /// Content and configuration [default: config/]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// A disk, given once for each; without --bundle, the first has the bundle
    #[arg(long, value_name = "FILE")]
    disk: Vec<PathBuf>,
    /// The type of the guest's machine [default: microvm]
    #[arg(long, value_parser = values::machine())]
    machine: Option<Machine>,
    /// The guest's memory [default: 256]
    #[arg(long, value_name = "MIB", value_parser = memory_mib)]
    mem: Option<u32>,
    /// The port of HTTP on this machine [default: 8080, or the next that is free]
    #[arg(long, value_parser = values::port, conflicts_with = "tap")]
    port: Option<u16>,
    /// Attaches it to a TAP instead of user networking, which needs root
    #[arg(long)]
    tap: bool,
    /// Words for the kernel command line, as "log=debug"
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
    /// How the guest's instructions run [default: kvm where a guest really runs under it]
    #[arg(long, value_parser = values::accel())]
    accel: Option<Accel>,
    /// Waits for a debugger at port 1234, or the next that is free
    #[arg(long)]
    gdb: bool,
    /// Writes every packet
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// log=trace, and what the guest does wrong to target/xtask/trace.log
    #[arg(long)]
    trace: bool,
    /// Several appliances that use each other's services: docs/groups.md. The file says what they are
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "xen", "hermit", "bundle", "disk", "machine", "mem", "port", "tap", "append", "gdb", "pcap", "trace",
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
  cargo xtask run --group docs/groups/mirrors.toml --linux";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { linux, xen, hermit, bundle, disk, machine, mem, port, tap, .. } = words;
    let Words { append, accel, gdb, pcap, trace, group, state, .. } = words;
    match group {
        Some(file) => group::run(&group::Options { file, linux, state, accel, install }),
        None => run::run(&Options {
            linux,
            xen,
            hermit,
            tap,
            gdb,
            trace,
            machine,
            accel,
            memory_mib: mem,
            port: port.unwrap_or(PORT),
            is_port_free_to_choose: port.is_none(),
            bundle,
            disks: disk,
            pcap,
            append: append.unwrap_or_default(),
            install,
        }),
    }
}

fn memory_mib(text: &str) -> std::result::Result<u32, String> {
    let mib = text.parse().ok().filter(|mib| *mib >= MEMORY_MIB_MIN);
    mib.ok_or_else(|| format!("allowed: MiB from {MEMORY_MIB_MIN}, with less no guest starts"))
}
