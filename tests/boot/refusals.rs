//! What stops a boot says why, and ends QEMU with a failure code.

use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{BOOT_LIMIT, Harness, Setup},
    qemu::Machine,
};
use std::path::PathBuf;

/// What `isa-debug-exit` makes of the image's failure code: docs/operating.md.
const FAILURE: i32 = 33;

fn refuses(harness: &mut Harness, setup: &Setup, sentence: &str) -> Result {
    let mut guest = harness.start(setup)?;
    guest.wait_for(sentence, BOOT_LIMIT)?;
    match guest.wait_end(BOOT_LIMIT)? {
        FAILURE => Ok(()),
        code => fail!("exit code {code} after a refusal; the last lines:\n{}", guest.tail()),
    }
}

pub(super) fn bad_config(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("[http]\nport = 0\n", &[])?;
    let sentence = "appliance.toml:2:8: found `0`; allowed: a port from 1 to 65535";
    refuses(harness, &Setup { bundle: Some(bundle), ..Setup::default() }, sentence)
}

/// Each has its own line, however long all of them are together.
pub(super) fn many_faults(harness: &mut Harness) -> Result {
    let words: String = (0..15).map(|number| format!("nonsense_{number} = 1\n")).collect();
    let bundle = harness.bundle(&format!("[http]\n{words}port = 0\n"), &[])?;
    let sentence = "appliance.toml:17:8: found `0`; allowed: a port from 1 to 65535";
    refuses(harness, &Setup { bundle: Some(bundle), ..Setup::default() }, sentence)
}

pub(super) fn bad_command_line(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let words = "ip=10.9.0.2/24 log=loud".to_owned();
    refuses(
        harness,
        &Setup { words, bundle: Some(bundle), ..Setup::default() },
        "command line:1:16: found `log=loud`; allowed:",
    )
}

pub(super) fn cut_bundle(harness: &mut Harness) -> Result {
    let whole = harness.bundle("", &[])?;
    let mut bytes = std::fs::read(&whole).or_say(|| "cannot read a bundle".into())?;
    bytes.truncate(bytes.len() - 100);
    let cut = harness.scratch.path("cut.cpio");
    std::fs::write(&cut, bytes).or_say(|| "cannot write a bundle".into())?;
    refuses(
        harness,
        &Setup { bundle: Some(cut), ..Setup::default() },
        "the archive ends before its trailer",
    )
}

/// One bit of the packed part is another: it is not run.
pub(super) fn damaged_image(harness: &mut Harness) -> Result {
    let mut bytes = std::fs::read(harness.kernel()).or_say(|| "cannot read the image".into())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let kernel = harness.scratch.path("damaged.elf");
    std::fs::write(&kernel, bytes).or_say(|| "cannot write an image".into())?;
    for machine in [Machine::Microvm, Machine::Q35] {
        let setup = Setup { machine, kernel: Some(kernel.clone()), ..Setup::default() };
        refuses(harness, &setup, "the image is damaged: it does not unpack")?;
    }
    Ok(())
}

/// Nobody knows the clock's rate and there is no 8254 to measure it by. That is found before any task runs,
/// where a panic cannot be caught: what it says is told all the same.
pub(super) fn no_clock(harness: &mut Harness) -> Result {
    let more = ["-machine", "pit=off", "-cpu", "max,-hypervisor"].map(Into::into).into();
    refuses(harness, &Setup { more, ..Setup::default() }, "no clock of known rate")
}

/// The image has no room: nothing of it can run but the few instructions that say so.
pub(super) fn too_little_memory(harness: &mut Harness) -> Result {
    let sentence = "too little memory for the image: give the machine 8 MiB or more";
    refuses(harness, &Setup { memory_mib: 2, ..Setup::default() }, sentence)?;
    // Firmware that needs some for itself may have written over the image where it would just fit.
    let setup = Setup { machine: Machine::Q35, memory_mib: 3, ..Setup::default() };
    refuses(harness, &setup, "8 MiB")?;
    // As it is once it is unpacked, QEMU loads what there is room for.
    let kernel = Some(unpacked(harness));
    refuses(harness, &Setup { kernel, memory_mib: 4, ..Setup::default() }, sentence)
}

/// A loader puts the bundle at the end of memory, however far down that reaches.
pub(super) fn bundle_over_the_image(harness: &mut Harness) -> Result {
    let sentence = "too little memory for the image and its bundle, which lies over the image";
    let bundle = Some(harness.bundle("", &[("site/big", &vec![0; 61 << 20])])?);
    for machine in [Machine::Microvm, Machine::Q35] {
        let setup = Setup { machine, bundle: bundle.clone(), memory_mib: 64, ..Setup::default() };
        refuses(harness, &setup, sentence)?;
    }
    let bundle = Some(harness.bundle("", &[("site/big", &vec![0; 58 << 20])])?);
    let kernel = Some(unpacked(harness));
    refuses(harness, &Setup { kernel, bundle, memory_mib: 64, ..Setup::default() }, sentence)
}

/// A 32-bit CPU, and one whose pages can all be executed.
pub(super) fn unfit_cpu(harness: &mut Harness) -> Result {
    for cpu in ["pentium3", "max,-nx"] {
        let more = ["-cpu", cpu].map(Into::into).into();
        refuses(harness, &Setup { more, ..Setup::default() }, "the CPU has no 64-bit mode")?;
    }
    Ok(())
}

/// The same image as it is once it has unpacked itself.
fn unpacked(harness: &Harness) -> PathBuf {
    let name = harness.kernel().file_stem().unwrap_or_default().to_string_lossy();
    harness.kernel().with_file_name(format!("{name}-unpacked.elf"))
}

/// Cards that cannot be driven are named, and how to have one that can.
pub(super) fn no_card(harness: &mut Harness) -> Result {
    let legacy = ["-global", "virtio-mmio.force-legacy=true"].map(Into::into).into();
    let setup = Setup { more: legacy, ..Setup::default() };
    refuses(harness, &setup, "a legacy virtio card (QEMU: -global virtio-mmio.force-legacy=false")?;
    let other = |more: &str| Setup {
        machine: Machine::Q35,
        without: &["virtio-net"],
        more: vec!["-device".into(), more.into()],
        ..Setup::default()
    };
    let setup = other("virtio-net-pci,netdev=net,romfile=,disable-modern=on");
    refuses(harness, &setup, "1af4:1000, without a modern interface")?;
    let setup = other("e1000,netdev=net,romfile=");
    refuses(harness, &setup, "8086:100e, which is no virtio card (QEMU: -device virtio-net-pci)")?;
    refuses(harness, &Setup { without: &["virtio-net"], ..Setup::default() }, "found: none at all")
}

/// Where QEMU has no port for it, what cannot start is switched off, and not reset to fail again.
pub(super) fn switches_off(harness: &mut Harness) -> Result {
    for machine in [Machine::Q35, Machine::Microvm] {
        let mut setup = without_port(machine);
        setup.more.extend(["-action", "reboot=reset"].map(Into::into));
        let mut guest = harness.start(&setup)?;
        guest.wait_for("allowed:", BOOT_LIMIT)?;
        match guest.wait_end(BOOT_LIMIT)? {
            0 => {}
            code => fail!("exit code {code}; the last lines:\n{}", guest.tail()),
        }
        match guest.serial().matches("allowed:").count() {
            1 => {}
            count => fail!("it started {count} times:\n{}", guest.tail()),
        }
    }
    Ok(())
}

/// Whoever manages the machine learns by pvpanic that it is no ordinary end.
pub(super) fn pvpanic(harness: &mut Harness) -> Result {
    let mut setup = without_port(Machine::Q35);
    setup.more.extend(["-device", "pvpanic", "-action", "panic=exit-failure"].map(Into::into));
    let mut guest = harness.start(&setup)?;
    guest.wait_for("allowed:", BOOT_LIMIT)?;
    match guest.wait_end(BOOT_LIMIT)? {
        1 => Ok(()),
        code => fail!("exit code {code} instead of a panic's; the last lines:\n{}", guest.tail()),
    }
}

/// A boot that is refused, without QEMU's port for failures.
fn without_port(machine: Machine) -> Setup {
    let without = &["isa-debug-exit"];
    Setup { machine, words: "log=loud".into(), without, ..Setup::default() }
}
