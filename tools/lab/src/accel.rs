//! KVM or software emulation. `/dev/kvm` alone says nothing: in nested machines it is often there and broken, for one
//! machine type and not for the other. So the appliance itself is asked whether it serves under KVM.

use crate::{
    guest::{Echo, Guest},
    http_client, link,
    qemu::{Machine, Netdev, Spec},
};
use command::{
    failure::{Result, fail},
    paths,
};
use std::{path::Path, str::FromStr, time::Duration};

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// By software emulation.
    Tcg,
}

/// A sound KVM needs a fraction of a second; a broken one never ends.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const ASK_LIMIT: Duration = Duration::from_millis(500);

impl Accel {
    /// KVM if the image serves under it on this machine type. The answer holds until this computer boots again.
    pub fn best(kernel: &Path, machine: Machine) -> Result<Self> {
        if std::fs::metadata("/dev/kvm").is_err() {
            return Ok(Self::Tcg);
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let known = paths::made("accel")?.join(format!("{}-{}", machine.name(), boot.trim()));
        if let Ok(answer) = std::fs::read_to_string(&known) {
            return answer.parse();
        }
        eprintln!("xtask: trying KVM (at most {} s, once)", PROBE_LIMIT.as_secs());
        let answer = if serves(kernel, machine)? { Self::Kvm } else { Self::Tcg };
        let _ = std::fs::write(&known, answer.name());
        Ok(answer)
    }

    /// QEMU's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// QEMU's options.
    pub fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::Kvm => ["-accel", "kvm"],
            Self::Tcg => ["-accel", "tcg,thread=multi"],
        }
    }
}

impl FromStr for Accel {
    type Err = command::failure::Failure;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => fail!("`{other}` is no accelerator; say kvm or tcg"),
        }
    }
}

fn serves(kernel: &Path, machine: Machine) -> Result<bool> {
    let server = link::free_address()?;
    let spec = Spec {
        machine,
        accel: Accel::Kvm,
        memory_mib: 64,
        kernel: kernel.to_owned(),
        initrd: None,
        append: String::new(),
        netdev: Netdev::User { forwards: vec![(server.port(), 80)] },
        without: &[],
        entropy: true,
        more: Vec::new(),
    };
    let mut guest = Guest::start(&spec, &Echo::No)?;
    let answer = guest.wait_until("an answer", PROBE_LIMIT, |_| {
        http_client::get(server, "/", ASK_LIMIT).is_some()
    });
    Ok(answer.is_ok())
}
