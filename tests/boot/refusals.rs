//! What stops a boot says why, and ends QEMU with a failure code.

use crate::{
    failure::{OrSay, Result, fail},
    lab::{BOOT_LIMIT, Lab, Setup},
    qemu::Machine,
};

fn refuses(lab: &mut Lab, setup: &Setup, sentence: &str) -> Result {
    let mut guest = lab.start(setup)?;
    guest.wait_for(sentence, BOOT_LIMIT)?;
    match guest.wait_end(BOOT_LIMIT)? {
        0 => fail!("exit code 0 after a refusal; the last lines:\n{}", guest.tail()),
        _ => Ok(()),
    }
}

pub(super) fn bad_config(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("[http]\nport = 0\n", &[])?;
    let sentence = "appliance.toml:2:8: found `0`; allowed: a port from 1 to 65535";
    refuses(lab, &Setup { bundle: Some(bundle), ..Setup::default() }, sentence)
}

pub(super) fn bad_command_line(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("", &[])?;
    let words = "ip=10.9.0.2/24 log=loud".to_owned();
    refuses(
        lab,
        &Setup { words, bundle: Some(bundle), ..Setup::default() },
        "command line:1:16: found `log=loud`; allowed:",
    )
}

pub(super) fn cut_bundle(lab: &mut Lab) -> Result {
    let whole = lab.bundle("", &[])?;
    let mut bytes = std::fs::read(&whole).or_say(|| "cannot read a bundle".into())?;
    bytes.truncate(bytes.len() - 100);
    let cut = lab.scratch.path("cut.cpio");
    std::fs::write(&cut, bytes).or_say(|| "cannot write a bundle".into())?;
    refuses(
        lab,
        &Setup { bundle: Some(cut), ..Setup::default() },
        "the archive ends before its trailer",
    )
}

/// One bit of the packed part is another: it is not run.
pub(super) fn damaged_image(lab: &mut Lab) -> Result {
    let mut bytes = std::fs::read(lab.kernel()).or_say(|| "cannot read the image".into())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let kernel = lab.scratch.path("damaged.elf");
    std::fs::write(&kernel, bytes).or_say(|| "cannot write an image".into())?;
    for machine in [Machine::Microvm, Machine::Q35] {
        let setup = Setup { machine, kernel: Some(kernel.clone()), ..Setup::default() };
        refuses(lab, &setup, "the image is damaged: it does not unpack")?;
    }
    Ok(())
}

/// Neither RDSEED nor RDRAND nor a virtio entropy device: no keys could be trusted.
pub(super) fn no_entropy(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("", &[])?;
    // The last `-cpu` counts.
    let more = vec!["-cpu".into(), "max,-rdrand,-rdseed".into()];
    let setup = Setup {
        machine: Machine::Q35,
        bundle: Some(bundle),
        entropy: false,
        more,
        ..Setup::default()
    };
    refuses(lab, &setup, "entropy")
}
