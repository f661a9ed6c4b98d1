//! A domain of libvirt, by the definition of `deploy/`: what operators do with one.

use command::failure::Result;
use lab::{
    harness::{GUEST_ADDRESS, Harness, contains, equal},
    http_client,
    libvirt::Libvirt,
    link,
};
use std::time::Duration;

const ASK_LIMIT: Duration = Duration::from_secs(1);
const DOMAIN: &str = "aqueduct";
/// What the guest says once it has been asked to stop.
const STOPPED: &str = "stopped; 0 connections cut";

/// Start, save, restore, reboot, shutdown: it answers in between, and stops as it is asked to.
pub(super) fn life(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let tap = harness.tap()?.name().to_owned();
    let mut libvirt = Libvirt::start()?;
    libvirt.define(harness.kernel(), &bundle, &link::guest_words(), &tap)?;
    libvirt.virsh(&["start", DOMAIN])?;
    answers(&mut libvirt, "a start")?;

    let saved = libvirt.file("saved");
    libvirt.virsh(&["save", DOMAIN, &saved])?;
    equal("a domain that is saved", &state(&libvirt)?, &"shut off (saved)".to_owned())?;
    equal("whether it answers then", &is_there(), &false)?;
    libvirt.virsh(&["restore", &saved])?;
    answers(&mut libvirt, "a restore")?;
    let starts = |libvirt: &Libvirt| libvirt.serial().matches("aqueduct 0.").count();
    equal("starts of the guest after a restore", &starts(&libvirt), &1)?;

    libvirt.virsh(&["reboot", DOMAIN])?;
    libvirt.wait_until("second start", |libvirt| Ok(starts(libvirt) == 2))?;
    contains("its stop before", &libvirt.serial(), STOPPED)?;
    answers(&mut libvirt, "a reboot")?;

    libvirt.virsh(&["shutdown", DOMAIN])?;
    let is_off = |libvirt: &Libvirt| Ok(state(libvirt)? == "shut off (shutdown)");
    libvirt.wait_until("end of the domain", is_off)?;
    equal("graceful stops", &libvirt.serial().matches(STOPPED).count(), &2)
}

/// A domain that fails is a crash to libvirt, by the panic device.
pub(super) fn crash(harness: &mut Harness) -> Result {
    let bundle = harness.pack(&[("appliance.toml", b"[http]\nport = 0\n")])?;
    let tap = harness.tap()?.name().to_owned();
    let mut libvirt = Libvirt::start()?;
    libvirt.define(harness.kernel(), &bundle, &link::guest_words(), &tap)?;
    libvirt.virsh(&["set-lifecycle-action", DOMAIN, "crash", "destroy", "--config"])?;
    libvirt.virsh(&["start", DOMAIN])?;
    libvirt.wait_until("crash", |libvirt| Ok(state(libvirt)? == "shut off (crashed)"))?;
    contains("the serial line", &libvirt.serial(), "found `0`; allowed: a port from 1 to 65535")
}

fn answers(libvirt: &mut Libvirt, after: &str) -> Result {
    libvirt.wait_until(&format!("HTTP answer after {after}"), |_| Ok(is_there()))
}

fn is_there() -> bool {
    http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).is_some()
}

fn state(libvirt: &Libvirt) -> Result<String> {
    Ok(libvirt.virsh(&["domstate", "--reason", DOMAIN])?.trim().to_owned())
}
