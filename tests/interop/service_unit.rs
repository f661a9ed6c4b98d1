//! The process as a service: the unit for systemd, by systemd's own check, and exit codes.

use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Program},
};
use lab::harness::{Case, Harness, PROCESS_ADDRESS, equal};
use rustix::process::Signal;
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const SYSTEMD_ANALYZE: Program = Program { name: "systemd-analyze", package: "systemd" };
/// Where operators put the process.
const INSTALLED: &str = "/usr/local/bin/aqueduct";

pub(crate) const CASES: &[Case] = &[
    Case::new("interop/systemd_unit", &[&SYSTEMD_ANALYZE], 60, is_understood),
    Case::new("interop/exit_codes", &[], 60, exit_codes),
];
const LIMIT: Duration = Duration::from_secs(10);

fn is_understood(harness: &mut Harness) -> Result {
    let unit = files::read_text(&paths::root().join("deploy/aqueduct.service"))?;
    let process = harness.process_path().display().to_string();
    let changed = unit.replace(INSTALLED, &process);
    if changed == unit {
        fail!("the unit does not start {INSTALLED}");
    }
    verify(harness, "aqueduct.service", &changed)?;
    // What it does not understand it only says.
    match verify(harness, "other.service", &changed.replace("NoNewPrivileges", "NoNewPrivilege")) {
        Ok(()) => fail!("a setting that is none is let pass"),
        Err(_) => Ok(()),
    }
}

fn verify(harness: &Harness, name: &str, unit: &str) -> Result {
    let file = harness.scratch.path(name);
    files::write(&file, unit)?;
    let mut analyze = programs::command(&SYSTEMD_ANALYZE)?;
    let said = programs::output(
        analyze.args(["verify", "--man=yes"]).arg(&file).args(["--recursive-errors=no"]),
    )?;
    if said.is_empty() { Ok(()) } else { fail!("{said}") }
}

/// What docs/operating.md says of the process's.
fn exit_codes(harness: &mut Harness) -> Result {
    for (words, expected) in [
        (&["--version"][..], 0),
        (&["--help"], 0),
        (&["--bundle", "/nowhere"], 1),
        (&["--frob"], 2),
        (&[], 2),
    ] {
        let mut process = Command::new(harness.process_path());
        process.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = process.status().or_say(|| "cannot start the process".into())?;
        equal(&format!("exit code of {words:?}"), &status.code(), &Some(expected))?;
    }
    let bundle = harness.bundle("", &[])?;
    let mut process = harness.trial_process(&bundle)?;
    // A request without its end is what a stop waits for.
    let mut stream = TcpStream::connect(PROCESS_ADDRESS).or_say(|| "cannot connect".into())?;
    let half =
        b"POST /_test/sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    stream.write_all(half).or_say(|| "cannot write".into())?;
    // The rest is asked for: it is under way.
    stream.set_read_timeout(Some(LIMIT)).or_say(|| "a limit".into())?;
    let mut said = [0; 12];
    stream.read_exact(&mut said).or_say(|| "no answer came".into())?;
    equal("the answer", &said.as_slice(), &b"HTTP/1.1 100".as_slice())?;
    process.signal(Signal::TERM);
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(PROCESS_ADDRESS).is_ok() {
        if Instant::now() > deadline {
            fail!("it still accepts after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.signal(Signal::TERM);
    let code = process.wait(LIMIT).and_then(|status| status.code());
    equal("exit code after a second signal", &code, &Some(4))
}
