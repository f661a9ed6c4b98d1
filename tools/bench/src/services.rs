//! `cargo xtask bench pipe`: our ZeroMQ and those of others, over loopback, in turns.

use super::cost::{self, Cost, Subject, Verdict};
use command::{
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use lab::peers;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Megabytes through the pipelines.
const PIPE_MEGABYTES: &str = "400";

/// Measures all of them.
///
/// # Errors
///
/// Something is missing, does not build or fails.
pub fn pipe(install: Install) -> Result<ExitCode> {
    let programs = [&peers::PYTHON, &peers::ZMQ_HEADERS, &programs::CC];
    programs::need(&[&programs[..], &cost::PROGRAMS].concat(), install)?;
    peers::build_zmq()?;
    let libzmq = build_libzmq()?;
    let theirs = peers::build_beside("tests/interop/zmq/bench/zeromq-rs", "zmq-zeromq-rs")?;
    let ours = peers::zmq();
    run(peers::python()?
        .arg(peers::source("tests/interop/zmq/bench/bench.py"))
        .arg(format!("ours={} bench", ours.display()))
        .arg(format!("libzmq={}", libzmq.display()))
        .arg(format!("zeromq-rs={}", theirs.display())))?;
    println!();
    println!("CPU seconds for {PIPE_MEGABYTES} MB there and back (reach: 1.15)");
    run(Command::new(&ours).args(["codecs", PIPE_MEGABYTES]))?;
    print_costs(&ours, &libzmq, &theirs)?;
    Ok(ExitCode::SUCCESS)
}

/// A way to use sockets: who serves, who is its client, and messages of how many bytes.
struct Row {
    what: &'static str,
    server: &'static str,
    client: &'static str,
    message_bytes: u32,
    /// Over which the server's cost is counted.
    messages: u32,
}

const ROWS: [Row; 4] = [
    Row {
        what: "REQ/REP 128 B",
        server: "echo",
        client: "ask",
        message_bytes: 128,
        messages: 2_000,
    },
    Row {
        what: "PUSH/PULL 128 B",
        server: "drain",
        client: "flood",
        message_bytes: 128,
        messages: 20_000,
    },
    Row {
        what: "PUSH/PULL 32 KiB",
        server: "drain",
        client: "flood",
        message_bytes: 32 << 10,
        messages: 1_000,
    },
    Row {
        what: "PUSH/PULL 4 MiB",
        server: "drain",
        client: "flood",
        message_bytes: 4 << 20,
        messages: 20,
    },
];

impl Row {
    /// What a message costs the server, by our client, whoever serves.
    fn cost(&self, name: &str, server: &[&OsStr], ours: &Path) -> Result<Cost> {
        /// More messages than there will be: the server ends when it is ended.
        const ENDLESS: &str = "1000000000";
        let subject = Subject {
            name,
            server: &|address| {
                let mut command = Command::new(server[0]);
                command.args(&server[1..]).arg(self.server).arg(address.port().to_string());
                if self.server == "drain" {
                    command.arg(ENDLESS);
                }
                Ok(command)
            },
            client: &|address, messages| {
                let mut command = Command::new(ours);
                command.args(["bench", self.client]).arg(address.port().to_string());
                command.args([messages.to_string(), self.message_bytes.to_string()]);
                command
            },
        };
        subject.cost(self.messages)
    }
}

fn print_costs(ours: &Path, libzmq: &Path, theirs: &Path) -> Result {
    /// Of libzmq's CPU time, where messages go one way.
    const CPU_OF_LIBZMQ: f64 = 0.6;
    let bench = OsStr::new("bench");
    let servers = [
        ("ours", vec![ours.as_os_str(), bench]),
        ("libzmq", vec![libzmq.as_os_str()]),
        ("zeromq-rs", vec![theirs.as_os_str()]),
    ];
    println!("\nthe server alone, for each message; all by a client of ours");
    println!(
        "{:<34} {}  ours to each",
        "",
        cost::names(&servers.each_ref().map(|(name, _)| *name))
    );
    for row in &ROWS {
        let costs = servers.iter().map(|(name, server)| {
            let is_ours = server[0] == ours.as_os_str();
            let cost = row.cost(name, server, ours);
            cost.or_else(|reason| if is_ours { Err(reason) } else { Ok(Cost::unknown(&reason)) })
        });
        let costs = costs.collect::<Result<Vec<_>>>()?;
        let column = |value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<_>>();
        let reach = (row.server == "drain").then_some(CPU_OF_LIBZMQ);
        let what = |of: &str| format!("{}, {of}", row.what);
        let any = Verdict::OfPeers(&[]);
        cost::print(&what("instructions"), &column(|cost| cost.instructions), &any);
        let cpu = column(|cost| cost.cpu_microseconds);
        cost::print(&what("CPU, us"), &cpu, &Verdict::OfPeers(&[reach]));
        cost::print(&what("system calls"), &column(|cost| cost.system_calls), &any);
    }
    Ok(())
}

fn build_libzmq() -> Result<PathBuf> {
    let source = peers::source("tests/interop/zmq/bench/libzmq.c");
    let made = paths::made("peers")?.join("zmq-libzmq");
    if !peers::is_newer(&made, &[&source]) {
        let mut cc = programs::command(&programs::CC)?;
        programs::output(cc.args(["-O2", "-o"]).arg(&made).arg(&source).arg("-lzmq"))?;
    }
    Ok(made)
}

/// Runs a command that prints for the user.
fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).status().or_say(|| "cannot start it".into())?;
    if status.success() { Ok(()) } else { fail!("the benchmark failed ({status})") }
}
