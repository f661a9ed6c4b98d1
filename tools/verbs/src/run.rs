//! `cargo xtask run`: the appliance in QEMU, or as a Linux process, until Ctrl-C.

use crate::values;
use command::programs::Install;
use image_builder::image::Profile;
use lab::{
    accel::Accel,
    qemu::Machine,
    run::{Application, MEMORY_MIB_MIN, Options, PORT},
};
use std::path::PathBuf;

/// What a run of any appliance may be told.
#[derive(clap::Args)]
pub struct RunOptions {
    /// The same application as a Linux process
    #[arg(long, conflicts_with_all = ["xen", "machine", "mem", "accel", "gdb", "trace", "pcap"])]
    pub linux: bool,
    /// As a guest of Xen, which runs in QEMU with a small dom0
    #[arg(long, conflicts_with_all = ["machine", "accel", "tap", "gdb", "trace", "pcap"])]
    pub xen: bool,
    /// As it ships, or sooner and for debuggers [default: dev with --linux or --gdb, else release]
    #[arg(long, value_parser = values::profile())]
    pub profile: Option<Profile>,
    /// Content and configuration [default: config/]
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// A disk, given once for each; without --bundle, the first has the bundle
    #[arg(long, value_name = "FILE")]
    pub disk: Vec<PathBuf>,
    /// The type of the guest's machine [default: microvm]
    #[arg(long, value_parser = values::machine())]
    pub machine: Option<Machine>,
    /// The guest's memory [default: 256]
    #[arg(long, value_name = "MIB", value_parser = memory_mib)]
    pub mem: Option<u32>,
    /// The port of HTTP on this machine [default: 8080, or the next that is free]
    #[arg(long, value_parser = values::port, conflicts_with = "tap")]
    pub port: Option<u16>,
    /// Attaches it to a TAP instead of user networking, which needs root
    #[arg(long)]
    pub tap: bool,
    /// Words for the kernel command line, as "log=debug"
    #[arg(long, value_name = "WORDS")]
    pub append: Option<String>,
    /// How the guest's instructions run [default: kvm where a guest really runs under it]
    #[arg(long, value_parser = values::accel())]
    pub accel: Option<Accel>,
    /// Waits for a debugger at port 1234, or the next that is free
    #[arg(long)]
    pub gdb: bool,
    /// Writes every packet
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// log=trace, and what the guest does wrong to target/xtask/trace.log
    #[arg(long)]
    pub trace: bool,
}

impl RunOptions {
    /// The run that they ask for.
    pub fn options(self, application: Application, install: Install) -> Options {
        let Self { linux, xen, profile, bundle, disk, machine, mem, port, .. } = self;
        let Self { tap, append, accel, gdb, pcap, trace, .. } = self;
        let usual = if linux || gdb { Profile::Dev } else { Profile::Release };
        Options {
            application: application.with_profile(profile.unwrap_or(usual)),
            linux,
            xen,
            hermit: false,
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
        }
    }
}

fn memory_mib(text: &str) -> Result<u32, String> {
    let mib = text.parse().ok().filter(|mib| *mib >= MEMORY_MIB_MIN);
    mib.ok_or_else(|| format!("allowed: MiB from {MEMORY_MIB_MIN}, with less no guest starts"))
}
