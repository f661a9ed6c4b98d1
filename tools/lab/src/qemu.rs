//! QEMU's command line, from the data in `qemu/`.

use crate::accel::Accel;
use command::{
    failure::{Failure, Result, fail},
    programs,
};
use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

/// The guest's network card, whatever the machine. Locally administered, as QEMU's own.
pub const MAC: &str = "52:54:00:12:34:56";
/// The options of every machine: files of `qemu/`, which are data for who starts QEMU otherwise, too.
const COMMON: &str = include_str!("../qemu/common.args");
/// What guests of a group send to: an address of local scope (RFC 2365 section 6.1).
const GROUP_NETWORK: &str = "239.255.77.1";

/// A machine type that the image boots on: `qemu/NAME.args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A PC with PCI Express.
    Q35,
    /// The smallest one; devices by MMIO.
    Microvm,
    /// The same with PCI Express, which no firmware sets up.
    MicrovmPcie,
}

impl Machine {
    /// All, that which starts the fastest first.
    pub const ALL: [Self; 3] = [Self::Microvm, Self::MicrovmPcie, Self::Q35];

    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
            Self::MicrovmPcie => "microvm-pcie",
        }
    }

    /// That file.
    fn arguments(self) -> &'static str {
        match self {
            Self::Q35 => include_str!("../qemu/q35.args"),
            Self::Microvm => include_str!("../qemu/microvm.args"),
            Self::MicrovmPcie => include_str!("../qemu/microvm-pcie.args"),
        }
    }
}

impl FromStr for Machine {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "q35" => Ok(Self::Q35),
            "microvm" => Ok(Self::Microvm),
            "microvm-pcie" => Ok(Self::MicrovmPcie),
            other => fail!("`{other}` is no machine; say microvm, microvm-pcie or q35"),
        }
    }
}

/// What the guest's card is attached to.
#[derive(Clone, Debug)]
pub enum Netdev {
    /// QEMU's user networking, which needs no rights.
    User {
        /// (port on this machine, port in the guest).
        forwards: Vec<(u16, u16)>,
    },
    /// The same, for a guest with an address of its own.
    UserOf {
        /// The guest's address in that network.
        guest: IpAddr,
        /// (port on this machine, port in the guest).
        forwards: Vec<(u16, u16)>,
    },
    /// A TAP that exists.
    Tap {
        /// The interface.
        name: String,
        /// Whether the kernel may leave checksums and segmentation to the card.
        offloads: bool,
    },
    /// A network that the guests of a group have in common: multicast between their QEMUs, on loopback.
    Group {
        /// Which network.
        port: u16,
        /// Which of its guests, from 0: each has a hardware address of its own.
        member: u8,
    },
}

/// Everything that makes up one guest.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The machine type.
    pub machine: Machine,
    /// How its instructions run.
    pub accel: Accel,
    /// The memory.
    pub memory_mib: u32,
    /// The image.
    pub kernel: PathBuf,
    /// The boot module: a bundle.
    pub initrd: Option<PathBuf>,
    /// The kernel command line.
    pub append: String,
    /// What the card is attached to.
    pub netdev: Netdev,
    /// Devices of the machine's files that it has not, by name.
    pub without: &'static [&'static str],
    /// Whether there is a virtio entropy device.
    pub entropy: bool,
    /// More options for QEMU, in its own words.
    pub more: Vec<OsString>,
}

impl Spec {
    /// The command, with its control socket at `qmp`.
    pub fn command(&self, qmp: &Path) -> Result<Command> {
        let mut command = programs::command(&programs::QEMU)?;
        command.args(self.accel.arguments());
        let mac = self.netdev.mac();
        let mut devices = options(COMMON, &mac);
        devices.extend(options(self.machine.arguments(), &mac));
        let is_of =
            |option: &[String], device: &str| option.iter().any(|word| word.contains(device));
        let wanted = |option: &&Vec<String>| {
            !self.without.iter().any(|device| is_of(option, device))
                && (self.entropy || !is_of(option, "virtio-rng"))
        };
        command.args(devices.iter().filter(wanted).flatten());
        command.arg("-m").arg(format!("{}M", self.memory_mib));
        command.arg("-netdev").arg(self.netdev.option("net"));
        command
            .args(["-serial", "stdio", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", qmp.display()));
        command.arg("-kernel").arg(&self.kernel);
        if let Some(initrd) = &self.initrd {
            command.arg("-initrd").arg(initrd);
        }
        command.arg("-append").arg(&self.append).args(&self.more);
        Ok(command)
    }
}

impl Netdev {
    /// The card's hardware address.
    pub(crate) fn mac(&self) -> String {
        match self {
            Self::Group { member, .. } => format!("52:54:00:12:77:{member:02x}"),
            Self::User { .. } | Self::UserOf { .. } | Self::Tap { .. } => MAC.to_owned(),
        }
    }

    /// What QEMU calls `id`.
    pub(crate) fn option(&self, id: &str) -> String {
        match self {
            Self::User { forwards } => {
                let forwards = forwards
                    .iter()
                    .map(|(host, guest)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
                format!("user,id={id}{}", forwards.collect::<String>())
            }
            Self::UserOf { guest, forwards } => {
                let forwards = forwards.iter().map(|(host, port)| {
                    format!(",hostfwd=tcp:127.0.0.1:{host}-{}", SocketAddr::new(*guest, *port))
                });
                format!("user,id={id}{}", forwards.collect::<String>())
            }
            Self::Tap { name, offloads } => {
                let header = if *offloads { "on" } else { "off" };
                format!("tap,id={id},ifname={name},script=no,downscript=no,vnet_hdr={header}")
            }
            Self::Group { port, .. } => {
                format!("socket,id={id},mcast={GROUP_NETWORK}:{port},localaddr=127.0.0.1")
            }
        }
    }
}

/// The options of a device by which guests share the memory of the server at this socket.
pub fn shared_memory_device(socket: &Path) -> Vec<OsString> {
    let chardev = format!("socket,id=shm,path={}", socket.display());
    let options = ["-chardev", &chardev, "-device", "ivshmem-doorbell,chardev=shm,vectors=1"];
    options.map(OsString::from).into()
}

/// The options of a file of `qemu/`, each with its words, for a card with this hardware address.
fn options(text: &str, mac: &str) -> Vec<Vec<String>> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_whitespace().map(|word| word.replace("{mac}", mac)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_its_arguments() {
        for (machine, kind) in [
            (Machine::Q35, "q35"),
            (Machine::Microvm, "microvm,"),
            (Machine::MicrovmPcie, "microvm,"),
        ] {
            assert_eq!(machine.name().parse::<Machine>().unwrap(), machine);
            let words = options(machine.arguments(), MAC).concat();
            let at = words.iter().position(|word| word == "-machine").unwrap();
            assert!(words[at + 1].starts_with(kind));
            assert!(words.iter().any(|word| word.contains(MAC)));
        }
        assert!(!options(COMMON, MAC).concat().iter().any(|word| word.starts_with('#')));
    }

    #[test]
    fn user_networking_listens_on_this_machine_only() {
        let netdev = Netdev::User { forwards: vec![(8080, 80), (5555, 5555)] };
        assert_eq!(
            netdev.option("net"),
            "user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:5555-:5555"
        );
    }
}
