//! The power button is a graceful stop.

use command::{
    child::Child,
    failure::{Result, fail},
    programs,
};
use lab::{
    guest::Guest,
    harness::{GUEST_ADDRESS, Harness, Setup, noise, same_bytes},
    load,
    qemu::Machine,
};
use std::{
    io::{Read, Write},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// Nothing to drain: a moment.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn button_microvm(harness: &mut Harness) -> Result {
    ends_with_0(harness, Machine::Microvm)
}

pub(super) fn button_q35(harness: &mut Harness) -> Result {
    ends_with_0(harness, Machine::Q35)
}

fn ends_with_0(harness: &mut Harness, machine: Machine) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { machine, bundle: Some(bundle), ..Setup::default() })?;
    guest.qmp()?.power_button()?;
    stopped(&mut guest, STOP_LIMIT)
}

/// An operator who is not sure presses again, also while requests keep coming.
pub(super) fn several_presses_under_load(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let load = std::thread::spawn(|| load::churn(GUEST_ADDRESS, "/", Duration::from_secs(2)));
    let mut qmp = guest.qmp()?;
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..3 {
        // The last ones may find QEMU gone already.
        let _ = qmp.power_button();
    }
    let stopped = stopped(&mut guest, STOP_LIMIT);
    // That the load broke off is as it should be.
    let _ = load.join();
    stopped
}

pub(super) fn stopped(guest: &mut Guest, limit: Duration) -> Result {
    match guest.wait_end(limit)? {
        0 => Ok(()),
        code => fail!("exit code {code} after the power button; the last lines:\n{}", guest.tail()),
    }
}

/// A download that began before the button ends with every byte.
pub(super) fn finishes_a_transfer(harness: &mut Harness) -> Result {
    let big = noise(12 << 20);
    let bundle = harness.bundle("[shutdown]\ndrain_seconds = 60\n", &[("site/big", &big)])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let out = harness.scratch.path("big");
    let mut command = programs::command(&programs::CURL)?;
    command
        .args(["--silent", "--show-error", "--fail", "--limit-rate", "4M", "--output"])
        .arg(&out);
    command.arg(format!("http://{GUEST_ADDRESS}/big"));
    let mut curl = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    guest
        .wait_until("first bytes of the download", Duration::from_secs(10), |_| length(&out) > 0)?;
    guest.qmp()?.power_button()?;
    match curl.wait(Duration::from_secs(60)) {
        Some(status) if status.success() => {}
        Some(status) => {
            fail!("curl ended with {status}; the guest's last lines:\n{}", guest.tail())
        }
        None => fail!("the download did not end; the guest's last lines:\n{}", guest.tail()),
    }
    same_bytes("the download", &out, &big)?;
    stopped(&mut guest, STOP_LIMIT)?;
    guest.wait_until("count of what was cut", STOP_LIMIT, |guest| {
        guest.serial().contains("stopped; 0 connections cut")
    })
}

/// A client that reads nothing does not keep the machine on.
pub(super) fn does_not_wait_for_ever(harness: &mut Harness) -> Result {
    let big = noise(32 << 20);
    let bundle = harness.bundle("[shutdown]\ndrain_seconds = 2\n", &[("site/big", &big)])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let mut streams = load::open(GUEST_ADDRESS, 1)?;
    for stream in &mut streams {
        let asked = stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        if asked.is_err() || stream.read_exact(&mut [0; 1000]).is_err() {
            fail!("the download did not begin");
        }
    }
    let pressed = Instant::now();
    guest.qmp()?.power_button()?;
    stopped(&mut guest, STOP_LIMIT + Duration::from_secs(2))?;
    drop(streams);
    // Of the two seconds a hundredth is the clocks'.
    if pressed.elapsed() < Duration::from_millis(1_980) {
        fail!("the guest waited for {:?} only", pressed.elapsed());
    }
    guest.wait_until("count of what was cut", STOP_LIMIT, |guest| {
        guest.serial().contains("stopped; 1 connections cut")
    })
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |data| data.len())
}
