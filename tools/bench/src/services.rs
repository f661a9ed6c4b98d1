//! `cargo xtask bench pipe`: our ZeroMQ and those of others, over loopback, in turns.

use command::{
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use lab::peers;
use std::{
    path::PathBuf,
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
    programs::need(&[&peers::PYTHON, &peers::ZMQ_HEADERS, &programs::CC], install)?;
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

/// Runs a command that prints for the user.
fn run(command: &mut Command) -> Result {
    let status = command.stdin(Stdio::null()).status().or_say(|| "cannot start it".into())?;
    if status.success() { Ok(()) } else { fail!("the benchmark failed ({status})") }
}
