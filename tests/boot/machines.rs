//! It boots and serves on every machine type, with little and with much memory.

use command::failure::Result;
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, equal},
    http_client,
    qemu::Machine,
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
    let answer = http_client::get(GUEST_ADDRESS, "/", Duration::from_secs(5))
        .map(|answer| (answer.status, answer.body_bytes));
    equal("the index page", &answer, &Some((200, page.len())))
}

/// The defaults and an empty site: every path is a 404, and that is an answer.
pub(super) fn no_bundle(harness: &mut Harness) -> Result {
    let _guest = harness.boot(&Setup::default())?;
    let status =
        http_client::get(GUEST_ADDRESS, "/", Duration::from_secs(5)).map(|answer| answer.status);
    equal("the status", &status, &Some(404))
}
