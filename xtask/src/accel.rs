//! KVM or software emulation. `/dev/kvm` alone says nothing: in nested machines it is often there and broken.

use crate::{
    child::Child,
    failure::{OrSay, Result, fail},
    places, tools,
};
use std::{process::Stdio, str::FromStr, time::Duration};

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accel {
    Kvm,
    Tcg,
}

/// A guest that runs at all ends in milliseconds; a nested KVM that hangs never does.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// The last 16 bytes of the ROM, where a PC starts: `mov dx, 0xf4; mov al, 0x2a; out dx, al; hlt`.
const RESET_CODE: [u8; 7] = [0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, 0xf4];
const ROM_BYTES: usize = 64 * 1024;
/// What `isa-debug-exit` makes of 0x2a.
const PROBE_EXIT: i32 = 0x2a << 1 | 1;

impl Accel {
    /// KVM if a tiny guest really runs under it. The answer holds until the machine boots again.
    pub(crate) fn best() -> Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let known = places::made("accel")?.join(boot.trim());
        if let Ok(answer) = std::fs::read_to_string(&known) {
            return answer.parse();
        }
        let answer = if std::fs::metadata("/dev/kvm").is_ok() && guest_runs()? {
            Self::Kvm
        } else {
            Self::Tcg
        };
        let _ = std::fs::write(&known, answer.name());
        Ok(answer)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    pub(crate) fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Kvm => ["-accel", "kvm"],
            Self::Tcg => ["-accel", "tcg,thread=multi"],
        }
    }
}

impl FromStr for Accel {
    type Err = crate::failure::Failure;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => fail!("`{other}` is no accelerator; say kvm or tcg"),
        }
    }
}

fn guest_runs() -> Result<bool> {
    let scratch = places::Scratch::new()?;
    let rom = scratch.path("probe.rom");
    let mut bytes = vec![0xf4; ROM_BYTES];
    bytes[ROM_BYTES - 16..][..RESET_CODE.len()].copy_from_slice(&RESET_CODE);
    std::fs::write(&rom, bytes).or_say(|| format!("cannot write {}", rom.display()))?;
    let mut command = tools::command(&tools::QEMU)?;
    command.args(Accel::Kvm.arguments()).args([
        "-machine",
        "q35",
        "-cpu",
        "max",
        "-m",
        "16",
        "-nodefaults",
        "-display",
        "none",
    ]);
    command
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-bios"])
        .arg(&rom);
    let mut child = Child::start(&command, |command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    })?;
    Ok(child.wait(PROBE_LIMIT).and_then(|status| status.code()) == Some(PROBE_EXIT))
}
