//! The words of the command line.

use crate::extcap::Extcap;
use crate::shm_server;
use crate::tls::Fingerprint;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Looks into a running appliance through its admin port.
#[derive(Parser)]
#[command(name = "aqueductctl", version, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where the admin port is
    #[arg(
        long,
        short,
        global = true,
        env = "AQUEDUCT_ADMIN",
        hide_env_values = true,
        default_value = "http://127.0.0.1:9001",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// The Unix socket of a process, or its abstract name (`@NAME`), by which the admin port is asked in place of TCP (docs/unix.md)
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "vsock")]
    pub(crate) unix: Option<PathBuf>,
    /// The Unix socket of a guest's vsock device, by which the admin port is asked in place of TCP (docs/vsock.md)
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) vsock: Option<PathBuf>,
    /// The admin port's number there
    #[arg(long, global = true, default_value_t = 9001, value_name = "PORT")]
    pub(crate) vsock_port: u32,
    /// The file that holds the token of `[admin]`; else AQUEDUCT_TOKEN does, or none is needed
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The file with the authorities in PEM by which a server of `https` is known
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS")]
    pub(crate) cacert: Option<PathBuf>,
    /// SHA-256 of the certificate by which a server of `https` is known, which needs no authority then
    #[arg(
        long,
        global = true,
        value_name = "SHA-256",
        help_heading = "TLS",
        env = "AQUEDUCT_FINGERPRINT",
        hide_env_values = true
    )]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The file with the certificate that is shown, in PEM, with those that lead to its authority
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The file with its private key, in PEM
    #[arg(long, global = true, value_name = "FILE", help_heading = "TLS", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Rows as JSON, as the admin port gives them
    #[arg(long, short, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Exit status: 0 if it was done, 1 if the appliance was not reached or refused, 2 if the command line is not understood.

Examples:
  aqueductctl ps
  aqueductctl --url http://10.9.0.2:9001 --token-file token ss state established
  aqueductctl --unix /run/aqueduct/admin.sock top
  aqueductctl --url https://10.9.0.2:9001 --fingerprint 386f17e6... ps
  aqueductctl tcpdump 'tcp port 80' | wireshark -k -i -
  aqueductctl graph 0.17
  aqueductctl trace --seconds 2 > trace.json    # for https://ui.perfetto.dev
  aqueductctl profile | flamegraph.pl > flame.svg
  aqueductctl logs --follow --level warn
  aqueductctl bundle put site.cpio
  aqueductctl completions bash > ~/.local/share/bash-completion/completions/aqueductctl";

const EXTCAP: &str = "\
What Wireshark calls to capture from an appliance as from an interface. It finds it by a program of two lines in its folder of \
extcap programs (Help, About, Folders):

  #!/bin/sh
  exec aqueductctl extcap \"$@\"";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// The state of the machine at one glance, renewed until Ctrl-C
    Top(Every),
    /// Tasks: what each is for, and where it waits
    Ps(Rows),
    /// Connections, as `ss -ti` shows them
    Ss(Rows),
    /// Flows through shared memory: how full their rings are, and who waits
    Shm(Rows),
    /// Ports that are listened on
    Listeners(Rows),
    /// Network cards
    Cards(Rows),
    /// Disks
    Disks(Rows),
    /// What is served where
    Services(Rows),
    /// Routes of web requests: answers by status, in flight, times
    Routes(Rows),
    /// Places of services that requests are spread over: state, requests under way, latency
    Places(Rows),
    /// Ways to services of others that were tried: which is in use, and why the others failed
    Ways(Rows),
    /// Pools of connections to databases: used, idle, who waits, failures
    Databases(Rows),
    /// Servers of databases: connections, failures, the last error
    DatabaseServers(Rows),
    /// Web sessions, and where each waits
    Sessions(Rows),
    /// Memory by purpose
    Mem(Rows),
    /// Timers, the earliest first
    Timers(Rows),
    /// Panics by place
    Panics(Rows),
    /// Every key of the configuration with the value in force
    Config(Rows),
    /// What runs, and since when
    Version(Rows),
    /// Frames as pcapng on the standard output
    Tcpdump(Tcpdump),
    /// What Wireshark calls to capture from an appliance as from an interface
    #[command(long_about = EXTCAP)]
    Extcap(Extcap),
    /// The window graph of a connection, or of a flow through shared memory
    Graph(Graph),
    /// What the loop and its tasks do when, for Perfetto or chrome://tracing, on the standard output
    Trace(Seconds),
    /// What the CPU is at, as folded stacks for flame graphs, on the standard output
    Profile(Profile),
    /// Lines of the log
    Logs(Logs),
    /// Metrics, in the text format of OpenMetrics
    Metrics,
    /// Writes all tasks into the appliance's log, those together that wait at the same place, and shows what it wrote
    Dump,
    /// Gives the recorded requests of a session to a copy of it, and shows where that answers otherwise. What they do beside the
    /// session they do again
    Replay {
        /// Its id, as `sessions` shows it
        session: u64,
    },
    /// Ends a task at once
    Cancel {
        /// Its id, as `ps` shows it
        task: String,
    },
    /// Sets the level of a module, `*` for all others
    Level {
        /// As `net::link`, or `*`
        module: String,
        /// off, error, warn, info, debug or trace; none: as all others
        level: Option<String>,
        /// Also of a module of which the appliance does not know that it logs anything
        #[arg(long)]
        force: bool,
    },
    /// The site that is served
    Bundle {
        /// What is to be done with it
        #[command(subcommand)]
        verb: BundleVerb,
    },
    /// Gives QEMU's guests of this host memory that they share (docs/shared-memory.md), until it is stopped
    ShmServer(shm_server::Words),
    /// Completions of a shell, on the standard output
    Completions {
        /// Which one
        shell: Shell,
    },
    /// The manual page, on the standard output
    Man,
}

#[derive(Subcommand)]
pub(crate) enum BundleVerb {
    /// Serves the site of another bundle from now on, without a restart; nothing changes unless all of it is right
    Put {
        /// What `cargo xtask bundle DIR --out FILE` made
        file: PathBuf,
    },
    /// Serves the site that is on a disk of the machine from now on, as it is there now
    Disk {
        /// Which one; the first is 1
        number: u32,
        /// The folder with the site, if it is not the one that the configuration says
        #[arg(long)]
        folder: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct Every {
    /// Seconds between two looks
    #[arg(long, short, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Looks after which it ends
    #[arg(long, short)]
    pub(crate) count: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Rows {
    /// Rows that have all of these: pairs of a column and what is in it
    #[arg(value_name = "COLUMN TEXT")]
    pub(crate) wanted: Vec<String>,
    /// All columns
    #[arg(long, short)]
    pub(crate) all: bool,
    /// The column by which rows are sorted, the largest first
    #[arg(long, short, value_name = "COLUMN")]
    pub(crate) sort: Option<String>,
    /// Rows at most
    #[arg(long, short = 'n', value_name = "ROWS")]
    pub(crate) limit: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Tcpdump {
    /// Which frames, in the words of pcap-filter(7): `tcp port 80 and not host 10.9.0.1`
    pub(crate) filter: Vec<String>,
    /// Frames of one card only, by its place
    #[arg(long, short)]
    pub(crate) interface: Option<usize>,
    /// Bytes of each frame that are kept
    #[arg(long, short)]
    pub(crate) snap: Option<u32>,
    /// Frames after which it ends
    #[arg(long, short)]
    pub(crate) count: Option<u64>,
    /// Seconds after which it ends
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Graph {
    /// The connection's id, as `ss` shows it, or `memory-ID` of one that `shm` shows
    pub(crate) connection: String,
    /// Drawn for the terminal, or as a file of xplot
    #[arg(long, short, default_value = "terminal")]
    pub(crate) format: GraphFormat,
    /// What the appliance sent, or what it received
    #[arg(long, short, default_value = "sent")]
    pub(crate) direction: Direction,
    /// Seconds that are looked at
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Terminal,
    Xpl,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    Sent,
    Received,
}

#[derive(Args)]
pub(crate) struct Seconds {
    /// Seconds that are looked at
    #[arg(long, short, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Args)]
pub(crate) struct Profile {
    /// Seconds that are looked at
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// Samples in each
    #[arg(long, default_value_t = 199, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) hertz: u64,
}

#[derive(Args)]
pub(crate) struct Logs {
    /// Those that come, too, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// The least level: error, warn, info, debug or trace
    #[arg(long, short)]
    pub(crate) level: Option<String>,
    /// Only of this module and those inside of it
    #[arg(long, short)]
    pub(crate) module: Option<String>,
}

/// All that there is to say, for completions and the manual.
pub(crate) fn command() -> clap::Command {
    Options::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_of_the_command_line_is_current() {
        let page = reference::command_line(super::command());
        reference::keep_current("aqueductctl.md", &page).unwrap();
    }
}
