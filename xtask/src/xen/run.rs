//! `cargo xtask xen ELF`: one guest under Xen, for whoever works on the image's lowest parts.

use super::{Dom0, Host, Options};
use crate::{
    failure::{Failure, OrSay, Result},
    guest::Echo,
    tools::{self, Install},
};
use std::{path::PathBuf, process::ExitCode, time::Duration};

const GUESTS_MIB: u32 = 128;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let (mut elf, mut ramdisk, mut words, mut echo) = (None, None, Vec::new(), Echo::No);
    let mut script = None;
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("ramdisk") => ramdisk = Some(PathBuf::from(arguments.value()?)),
            Long("script") => script = Some(PathBuf::from(arguments.value()?)),
            Long("serial") => echo = Echo::ToTerminal,
            Long("no-install") => install = Install::OnlyTell,
            Value(value) if elf.is_none() => elf = Some(PathBuf::from(value)),
            Value(value) => words.push(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let elf = elf.ok_or_else(|| Failure::new("say `cargo xtask xen ELF [WORDS]`"))?;
    let read =
        |path: &PathBuf| std::fs::read(path).or_say(|| format!("cannot read {}", path.display()));
    tools::need(&[&tools::QEMU], install)?;
    let dom0 = Dom0::get(install)?;
    let host = Host::start(&dom0, &Options { guests_mib: GUESTS_MIB, forwards: Vec::new(), echo })?;
    host.put("/guests/guest.elf", &read(&elf)?)?;
    let mut config = format!(
        "type = \"pvh\"\nname = \"guest\"\nkernel = \"/guests/guest.elf\"\nmemory = 32\nvcpus = 1\n\
         tsc_mode = \"native\"\ncmdline = \"{}\"\nvif = [ 'bridge=xenbr0' ]\n\
         on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n",
        words.join(" ")
    );
    if let Some(ramdisk) = &ramdisk {
        host.put("/guests/guest.cpio", &read(ramdisk)?)?;
        config.push_str("ramdisk = \"/guests/guest.cpio\"\n");
    }
    host.put("/guests/guest.cfg", config.as_bytes())?;
    let script = match &script {
        Some(script) => String::from_utf8_lossy(&read(script)?).into_owned(),
        None => "xl create -q /guests/guest.cfg; n=0; while xl list guest >/dev/null 2>&1 && [ $n -lt 60 ]; do sleep 0.2; n=$((n+1)); done".into(),
    };
    host.put("/guests/run", script.as_bytes())?;
    let done = host.run_with(". /guests/run", &[], Duration::from_secs(600))?;
    print!("{}", done.output);
    print!(
        "{}",
        host.run(
            "cat /var/log/xen/console/guest-guest.log; grep -h reason /var/log/xen/xl-guest.log"
        )?
        .output
    );
    Ok(ExitCode::SUCCESS)
}
