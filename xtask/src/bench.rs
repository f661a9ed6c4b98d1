//! `cargo xtask bench`: measurements beside peers.

use crate::values;
use bench::{Control, GuestOptions, Host, LossOptions, Options, XenOptions};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use command::{failure::Result, programs::Install};
use lab::qemu::Machine;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Measures the appliance beside its peers in the same run
///
/// Without the name of another benchmark: the appliance and Linux with nginx, as guests of QEMU.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = NOTES)]
pub(crate) struct Words {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    side_by_side: SideBySide,
}

const NOTES: &str = "\
Examples:
  cargo xtask bench
  cargo xtask bench --ours-only --machine microvm
  cargo xtask bench loss --stalls
  cargo xtask bench tls";

#[derive(Subcommand)]
enum What {
    /// The appliance and Linux with nginx as guests of one Xen
    Xen(OfXen),
    /// Bulk TCP without a VM: our stack over a TAP, the kernel's over veth
    Native,
    /// TCP with delay, loss and reordering: ours over a TAP, nginx over the kernel's
    Loss(OfLoss),
    /// Cap'n Proto: ours, the capnp-rpc crate, the C++ library; what a call costs the server
    Rpc,
    /// HTTPS: ours, nginx with OpenSSL, as processes and guests; what handshakes, requests and bytes cost the server
    Tls,
    /// A counter for each visitor: ours, axum with tower-sessions
    Sessions,
    /// Load generators: ours, wrk, h2load, ab; requests for their processor time, and a server that stops
    Load,
    /// PostgreSQL: ours, tokio-postgres, libpq; what queries and rows cost the client, and a page while sessions wait
    Database,
    /// Memory that two share beside TCP: bulk, round trips, RPC
    Shared(OfShared),
    /// The same application on the bare machine and on the Hermit kernel
    Hermit,
    /// ZeroMQ: ours, libzmq, the zeromq crate, what a message costs the server; pipelines
    Pipe,
}

#[derive(Args)]
pub(crate) struct SideBySide {
    /// What is measured [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// The type of both guests' machines
    #[arg(long, value_parser = verbs::values::machine(), default_value = "q35")]
    machine: Machine,
    /// Ours is an image with these services only: `cargo xtask image --help`
    #[arg(long, value_name = "LIST")]
    services: Option<String>,
    /// Without Linux, which does not start on microvm
    #[arg(long)]
    ours_only: bool,
    #[command(flatten)]
    repeat: Repeat,
}

/// How long, and how often.
#[derive(Args)]
struct Repeat {
    /// Seconds of each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How often each row is measured; the median counts
    #[arg(long, default_value_t = 3, value_parser = rounds)]
    rounds: usize,
}

#[derive(Args)]
pub(crate) struct OfLoss {
    /// What is measured [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Ours is the image in QEMU, and not the process
    #[arg(long)]
    image: bool,
    /// Congestion control of both
    #[arg(long, value_parser = control(), default_value = "cubic")]
    control: Control,
    /// 100 downloads on each row, and how long nothing came
    #[arg(long)]
    stalls: bool,
    #[command(flatten)]
    repeat: Repeat,
}

#[derive(Args)]
pub(crate) struct OfShared {
    /// Two guests of one host, by ivshmem or vchan and by TCP [default: two processes, by a memfd and by loopback]
    #[arg(long, value_name = "HOST", value_parser = host())]
    guests: Option<Host>,
    /// How often each row of guests is measured; the median counts
    #[arg(long, default_value_t = 5, value_parser = rounds, requires = "guests")]
    rounds: usize,
    /// `[shared_memory] ring_bytes` of both guests [default: the configuration's]
    #[arg(long, value_name = "BYTES", requires = "guests")]
    ring_bytes: Option<usize>,
}

#[derive(Args)]
struct OfXen {
    #[command(flatten)]
    repeat: Repeat,
}

/// The hidden verbs' words.
#[derive(Args)]
pub(crate) struct NativeWorker {
    pub(crate) process: PathBuf,
}

#[derive(Args)]
pub(crate) struct LossWorker {
    pub(crate) subject: PathBuf,
    #[command(flatten)]
    pub(crate) loss: OfLoss,
}

#[derive(Args)]
pub(crate) struct Hold {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
}

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    match words.what {
        None => bench::side_by_side(
            &words.side_by_side.options(install),
            &values::words_behind(&["bench"]),
        ),
        Some(What::Xen(words)) => {
            let Repeat { seconds, rounds } = words.repeat;
            bench::xen(&XenOptions { seconds, rounds, install })
        }
        Some(What::Loss(words)) => {
            bench::loss(&words.options(install), &values::words_behind(&["bench", "loss"]))
        }
        Some(What::Native) => bench::native(install),
        Some(What::Rpc) => bench::rpc(install),
        Some(What::Pipe) => bench::pipe(install),
        Some(What::Tls) => bench::tls(install),
        Some(What::Hermit) => bench::hermit(install),
        Some(What::Shared(words)) => match words.options(install) {
            Some(options) => bench::guests(&options, &values::words_behind(&["bench", "shared"])),
            None => bench::shared(install),
        },
        Some(What::Database) => bench::database(install),
        Some(What::Load) => bench::load(install),
        Some(What::Sessions) => bench::sessions(install),
    }
}

impl SideBySide {
    pub(crate) fn options(self, install: Install) -> Options {
        let Self { rows, machine, services, ours_only, repeat: Repeat { seconds, rounds } } = self;
        Options { machine, services, ours_only, seconds, rounds, rows, install }
    }
}

impl OfLoss {
    pub(crate) fn options(self, install: Install) -> LossOptions {
        let Self { rows, image, control, stalls, repeat: Repeat { seconds, rounds } } = self;
        LossOptions { image, control, seconds, rounds, stalls, rows, install }
    }
}

impl OfShared {
    /// None for processes.
    pub(crate) fn options(self, install: Install) -> Option<GuestOptions> {
        let Self { guests, rounds, ring_bytes } = self;
        Some(GuestOptions { host: guests?, rounds, ring_bytes, install })
    }
}

fn host() -> impl TypedValueParser<Value = Host> {
    PossibleValuesParser::new(["qemu", "xen"])
        .try_map(|name| name.parse::<Host>().map_err(|failure| failure.0))
}

fn control() -> impl TypedValueParser<Value = Control> {
    PossibleValuesParser::new(["cubic", "bbr"])
        .try_map(|name| name.parse::<Control>().map_err(|failure| failure.0))
}

fn rounds(text: &str) -> std::result::Result<usize, &'static str> {
    let rounds = text.parse().ok().filter(|rounds| (1..=100).contains(rounds));
    rounds.ok_or("allowed: a whole number from 1 to 100")
}
