//! `cargo xtask bench pipe`: our ZeroMQ and those of others, over loopback, in turns; and what all such benchmarks share.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use lab::peers;
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

/// Megabytes through the pipelines.
const PIPE_MEGABYTES: &str = "400";

/// `cargo xtask bench pipe`.
pub(super) fn pipe(words: &[OsString]) -> Result<ExitCode> {
    let install = install(words)?;
    programs::need(&[&peers::PYTHON, &peers::ZMQ_HEADERS, &programs::CC], install)?;
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
    let made = paths::made("peers")?.join("zmq-libzmq");
    if !peers::is_newer(&made, &[&source]) {
        let mut cc = programs::command(&programs::CC)?;
        programs::output(cc.args(["-O2", "-o"]).arg(&made).arg(&source).arg("-lzmq"))?;
    }
    Ok(made)
}

/// Builds a workspace of its own; gives its binary.
pub(super) fn build_beside(folder: &str, binary: &str) -> Result<PathBuf> {
    let manifest = peers::source(folder).join("Cargo.toml").display().to_string();
    let target = paths::target().join(binary);
    let mut build = cargo::command();
    build.args(["build", "--release", "--manifest-path", &manifest, "--target-dir"]).arg(&target);
    cargo::build(&mut build, binary)?;
    Ok(target.join("release").join(binary))
}

pub(super) fn install(words: &[OsString]) -> Result<Install> {
    match words {
        [] => Ok(Install::Yes),
        [word] if word == "--no-install" => Ok(Install::OnlyTell),
        _ => fail!("this benchmark takes no more than --no-install"),
    }
}

/// Where nobody listens on loopback.
pub(super) fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_say(|| "no free port".into())?;
    probe.local_addr().or_say(|| "no free port".into())
}

/// Runs a command that prints for the user.
fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).status().or_say(|| "cannot start it".into())?;
    if status.success() { Ok(()) } else { fail!("the benchmark failed ({status})") }
}
