//! It boots and serves on every machine type, with little and with much memory.

use command::failure::Result;
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, contains, equal},
    http_client,
    qemu::{MAC, Machine},
};
use std::time::Duration;

pub(super) fn microvm_16_mib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Microvm, 16)
}

pub(super) fn microvm_8_mib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Microvm, 8)
}

pub(super) fn q35_8_mib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Q35, 8)
}

pub(super) fn microvm_4_gib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Microvm, 4096)
}

pub(super) fn q35_16_mib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Q35, 16)
}

pub(super) fn q35_4_gib(harness: &mut Harness) -> Result {
    serves(harness, Machine::Q35, 4096)
}

fn serves(harness: &mut Harness, machine: Machine, memory_mib: u32) -> Result {
    let page = b"<p>from the bundle";
    let bundle = harness.pack(&[("site/index.html", page)])?;
    let _guest =
        harness.boot(&Setup { machine, memory_mib, bundle: Some(bundle), ..Setup::default() })?;
    let answer = http_client::content(GUEST_ADDRESS, "/", Duration::from_secs(5));
    equal("the index page", &answer, &Some((200, page.to_vec())))
}

/// The defaults and an empty site: every path is a 404, and that is an answer; the log says that nobody gave a bundle.
pub(super) fn no_bundle(harness: &mut Harness) -> Result {
    let guest = harness.boot(&Setup::default())?;
    contains("the log", &guest.serial(), "no bundle came")?;
    let status =
        http_client::get(GUEST_ADDRESS, "/", Duration::from_secs(5)).map(|answer| answer.status);
    equal("the status", &status, &Some(404))
}

/// Two cards with one hardware address, on two networks: it is said, and each is served. Others have nothing said of them.
pub(super) fn one_address_twice(harness: &mut Harness) -> Result {
    const SAID: &str = "card 1 has the hardware address of card 0";
    for (mac, expected) in [(MAC, true), ("52:54:00:12:34:99", false)] {
        let card = format!("virtio-net-device,netdev=second,mac={mac}");
        let more = ["-netdev", "user,id=second", "-device", &card].map(Into::into).into();
        let guest = harness.boot(&Setup { more, ..Setup::default() })?;
        equal(&format!("whether it is said of {mac}"), &guest.serial().contains(SAID), &expected)?;
    }
    Ok(())
}
