//! It boots and serves on every machine type, with little and with much memory.

use crate::{
    failure::Result,
    http,
    lab::{GUEST_ADDRESS, Lab, Setup, equal},
    qemu::Machine,
};
use std::time::Duration;

pub(super) fn microvm_16_mib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Microvm, 16)
}

pub(super) fn microvm_4_mib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Microvm, 4)
}

pub(super) fn q35_8_mib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Q35, 8)
}

pub(super) fn microvm_4_gib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Microvm, 4096)
}

pub(super) fn q35_16_mib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Q35, 16)
}

pub(super) fn q35_4_gib(lab: &mut Lab) -> Result {
    serves(lab, Machine::Q35, 4096)
}

fn serves(lab: &mut Lab, machine: Machine, memory_mib: u32) -> Result {
    let page = b"<p>from the bundle";
    let bundle = lab.pack(&[("site/index.html", page)])?;
    let _guest =
        lab.boot(&Setup { machine, memory_mib, bundle: Some(bundle), ..Setup::default() })?;
    let answer = http::get(GUEST_ADDRESS, "/", Duration::from_secs(5))
        .map(|answer| (answer.status, answer.body_bytes));
    equal("the index page", &answer, &Some((200, page.len())))
}

/// The defaults and an empty site: every path is a 404, and that is an answer.
pub(super) fn no_bundle(lab: &mut Lab) -> Result {
    let _guest = lab.boot(&Setup::default())?;
    let status = http::get(GUEST_ADDRESS, "/", Duration::from_secs(5)).map(|answer| answer.status);
    equal("the status", &status, &Some(404))
}
