//! `cargo xtask bench rpc` and `cargo xtask bench pipe`: our engines and those of others, over loopback, in turns.

use super::rows::median;
use crate::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    peers, places,
    tools::{self, Install},
};
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);
const RPC_ROUNDS: usize = 5;
/// What each RPC peer prints: its name, what it is, whether less is better.
const RPC_ROWS: &[(&str, &str, bool)] = &[
    ("calls_12_in_flight", "calls/s, 12 in flight", false),
    ("lone_call", "lone call, us", true),
    ("echo_1_mib", "echo of 1 MiB, MiB/s", false),
];
/// Megabytes through the pipelines.
const PIPE_MEGABYTES: &str = "400";

/// `cargo xtask bench rpc`.
pub(super) fn rpc(words: &[OsString]) -> Result<ExitCode> {
    let install = install(words)?;
    tools::need(&[&peers::CAPNP, &peers::CAPNP_HEADERS, &peers::CXX], install)?;
    peers::build_rpc()?;
    peers::build_rpc_cpp()?;
    let theirs = build_beside("tests/interop/rpc/bench/capnp-rpc-rs", "capnp-rpc-peer")?;
    let contestants = [("ours", peers::rpc()), ("capnp-rpc", theirs), ("C++", peers::rpc_cpp()?)];
    let mut samples = vec![vec![Vec::new(); contestants.len()]; RPC_ROWS.len()];
    for _ in 0..RPC_ROUNDS {
        for (index, (_, program)) in contestants.iter().enumerate() {
            let text = rpc_round(program)?;
            for (row, (name, _, _)) in samples.iter_mut().zip(RPC_ROWS) {
                row[index].push(value(&text, name)?);
            }
        }
    }
    println!("each with itself, 1 connection over loopback; medians of {RPC_ROUNDS}, in turns");
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>13} {:>10}",
        "", "ours", "capnp-rpc", "C++", "to capnp-rpc", "to C++"
    );
    for (row, (_, what, less_is_better)) in samples.iter_mut().zip(RPC_ROWS) {
        let [ours, crate_s, cpp] = [0, 1, 2].map(|index| median(&mut row[index]));
        let times = |peer: f64| if *less_is_better { peer / ours } else { ours / peer };
        println!(
            "{what:<24} {ours:>10.1} {crate_s:>10.1} {cpp:>10.1} {:>12.2}x {:>9.2}x",
            times(crate_s),
            times(cpp)
        );
    }
    println!("(more than 1x: ours is faster; reach: 1.5x and 1x)");
    Ok(ExitCode::SUCCESS)
}

/// Starts a server, lets a client measure, and gives what that printed.
fn rpc_round(program: &PathBuf) -> Result<String> {
    let address = free_address()?;
    let mut server =
        Child::start(Command::new(program).arg("serve").arg(address.to_string()), |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })?;
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(address).is_err() {
        if server.ended().is_some() || Instant::now() > deadline {
            fail!("{} does not serve", program.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tools::output(Command::new(program).arg("bench").arg(address.to_string()))
}

/// The number after a name at the start of a line.
fn value(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure(format!("no number for {name} in:\n{text}")))
}

/// `cargo xtask bench pipe`.
pub(super) fn pipe(words: &[OsString]) -> Result<ExitCode> {
    let install = install(words)?;
    tools::need(&[&peers::PYTHON, &peers::ZMQ_HEADERS, &tools::CC], install)?;
    peers::build_zmq()?;
    let libzmq = build_libzmq()?;
    let theirs = build_beside("tests/interop/zmq/bench/zeromq-rs", "zmq-zeromq-rs")?;
    let ours = peers::zmq();
    run(peers::python()?
        .arg(peers::source("tests/interop/zmq/bench/bench.py"))
        .arg(format!("ours={} bench", ours.display()))
        .arg(format!("libzmq={}", libzmq.display()))
        .arg(format!("zeromq-rs={}", theirs.display())))?;
    println!();
    println!("CPU seconds for {PIPE_MEGABYTES} MB there and back (reach: 1.15)");
    run(Command::new(ours).args(["codecs", PIPE_MEGABYTES]))?;
    Ok(ExitCode::SUCCESS)
}

fn build_libzmq() -> Result<PathBuf> {
    let source = peers::source("tests/interop/zmq/bench/libzmq.c");
    let made = places::made("peers")?.join("zmq-libzmq");
    if !peers::is_newer(&made, &[&source]) {
        let mut cc = tools::command(&tools::CC)?;
        tools::output(cc.args(["-O2", "-o"]).arg(&made).arg(&source).arg("-lzmq"))?;
    }
    Ok(made)
}

/// Builds a workspace of its own; gives its binary.
fn build_beside(folder: &str, binary: &str) -> Result<PathBuf> {
    let manifest = peers::source(folder).join("Cargo.toml").display().to_string();
    let target = places::target().join(binary);
    let target_text = target.display().to_string();
    peers::cargo(&[
        "build",
        "--release",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &target_text,
    ])?;
    Ok(target.join("release").join(binary))
}

fn install(words: &[OsString]) -> Result<Install> {
    match words {
        [] => Ok(Install::Yes),
        [word] if word == "--no-install" => Ok(Install::OnlyTell),
        _ => fail!("this benchmark takes no more than --no-install"),
    }
}

fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_say(|| "no free port".into())?;
    probe.local_addr().or_say(|| "no free port".into())
}

/// Runs a command that prints for the user.
fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).status().or_say(|| "cannot start it".into())?;
    if status.success() { Ok(()) } else { fail!("the benchmark failed ({status})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_name() {
        let text = "calls_12_in_flight 101000 per_s\nlone_call 12.5 us\n";
        assert_eq!(value(text, "lone_call").ok(), Some(12.5));
        assert!(value(text, "echo_1_mib").is_err());
    }
}
