//! It starts on what is there: machines that lack something, or have it elsewhere.

use command::failure::Result;
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, equal},
    http_client,
    qemu::Machine,
};
use std::{ffi::OsString, time::Duration};

/// No 8254: the clock is measured by ACPI's timer.
pub(super) fn without_pit(harness: &mut Harness) -> Result {
    // Without this leaf nobody tells the clock's rate, whatever is under QEMU.
    serves(harness, Machine::Q35, &["-machine", "pit=off", "-cpu", "max,-hypervisor"])
}

/// A card that reaches memory as the platform lets it (`VIRTIO_F_ACCESS_PLATFORM`), which refuses a driver that does
/// not know of that.
pub(super) fn access_platform(harness: &mut Harness) -> Result {
    const CARD: &str = "virtio-net-pci.iommu_platform=on";
    serves(harness, Machine::Q35, &["-global", "virtio-net-pci.disable-legacy=on", "-global", CARD])
}

/// PCI Express on a microvm: configuration space in memory where only the DSDT says, and registers that no firmware has
/// placed.
pub(super) fn microvm_with_pcie(harness: &mut Harness) -> Result {
    serves(harness, Machine::MicrovmPcie, &[])
}

/// QEMU's usual CPU has neither RDSEED nor RDRAND, and no entropy device is there: keys come from timing jitter, which
/// is said.
pub(super) fn usual_cpu(harness: &mut Harness) -> Result {
    for machine in [Machine::Microvm, Machine::Q35] {
        let more = ["-cpu", "qemu64"].map(Into::into).into();
        let mut guest =
            harness.boot(&Setup { machine, more, entropy: false, ..Setup::default() })?;
        guest.wait_for("keys come from timing jitter alone", Duration::from_secs(5))?;
    }
    Ok(())
}

fn serves(harness: &mut Harness, machine: Machine, more: &[&str]) -> Result {
    let page = b"<p>from the bundle";
    let bundle = Some(harness.pack(&[("site/index.html", page)])?);
    let more: Vec<OsString> = more.iter().map(Into::into).collect();
    let _guest = harness.boot(&Setup { machine, bundle, more, ..Setup::default() })?;
    let answer = http_client::get(GUEST_ADDRESS, "/", Duration::from_secs(5))
        .map(|answer| (answer.status, answer.body_bytes));
    equal("the index page", &answer, &Some((200, page.len())))
}
