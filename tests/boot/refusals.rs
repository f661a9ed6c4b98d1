//! What stops a boot says why, and ends QEMU with a failure code.

use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{BOOT_LIMIT, Harness, Setup},
    qemu::Machine,
};

fn refuses(harness: &mut Harness, setup: &Setup, sentence: &str) -> Result {
    let mut guest = harness.start(setup)?;
    guest.wait_for(sentence, BOOT_LIMIT)?;
    match guest.wait_end(BOOT_LIMIT)? {
        0 => fail!("exit code 0 after a refusal; the last lines:\n{}", guest.tail()),
        _ => Ok(()),
    }
}

pub(super) fn bad_config(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("[http]\nport = 0\n", &[])?;
    let sentence = "appliance.toml:2:8: found `0`; allowed: a port from 1 to 65535";
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

/// Neither RDSEED nor RDRAND nor a virtio entropy device: no keys could be trusted.
pub(super) fn no_entropy(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    // The last `-cpu` counts.
    let more = vec!["-cpu".into(), "max,-rdrand,-rdseed".into()];
    let setup = Setup {
        machine: Machine::Q35,
        bundle: Some(bundle),
        entropy: false,
        more,
        ..Setup::default()
    };
    refuses(harness, &setup, "entropy")
}

/// Nobody knows the clock's rate and there is no 8254 to measure it by. That is found before any task runs,
/// where a panic cannot be caught: what it says is told all the same.
pub(super) fn no_clock(harness: &mut Harness) -> Result {
    let more = ["-machine", "pit=off", "-cpu", "max,-hypervisor"].map(Into::into).into();
    refuses(harness, &Setup { more, ..Setup::default() }, "a clock of known rate")
}
