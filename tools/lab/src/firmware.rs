//! Machines with firmware, which boots what it finds on a medium.

use crate::{accel::Accel, qemu::MAC};
use command::{
    failure::{Result, fail},
    programs::{self, Program},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// UEFI for QEMU.
pub const OVMF: Program = Program { name: OVMF_FILE, package: "ovmf" };
const OVMF_FILE: &str = "/usr/share/ovmf/OVMF.fd";

/// What is in the machine before anything is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, which QEMU brings.
    Bios,
    /// OVMF.
    Uefi,
}

/// Where a medium is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// A CD drive.
    Cd,
    /// A virtio disk.
    Disk,
}

/// A PC that boots from a medium.
pub struct Pc<'a> {
    /// Its firmware.
    pub firmware: Firmware,
    /// The medium.
    pub medium: &'a Path,
    /// Where that is.
    pub drive: Drive,
    /// The interface on our side.
    pub tap: &'a str,
}

impl Pc<'_> {
    /// The command, with its control socket at `qmp`. The machine has 256 MiB: UEFI itself takes some dozens.
    ///
    /// # Errors
    ///
    /// A program is missing.
    pub fn command(&self, qmp: &Path) -> Result<Command> {
        let mut command = programs::command(&programs::QEMU)?;
        command.args(Accel::Tcg.arguments());
        command.args(["-machine", "q35", "-cpu", "max", "-m", "256M", "-nodefaults", "-no-reboot"]);
        command.args(["-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci"]);
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        command
            .arg("-netdev")
            .arg(format!("tap,id=net,ifname={},script=no,downscript=no", self.tap));
        // No ROM that would boot from the network.
        command.arg("-device").arg(format!("virtio-net-pci,netdev=net,mac={MAC},romfile="));
        let kind = match self.drive {
            Drive::Cd => "media=cdrom",
            Drive::Disk => "if=virtio",
        };
        command
            .arg("-drive")
            .arg(format!("file={},format=raw,readonly=on,{kind}", self.medium.display()));
        if self.firmware == Firmware::Uefi {
            let file = PathBuf::from(OVMF_FILE);
            if !file.exists() {
                fail!("{OVMF_FILE} is missing; it is in the Debian package {}", OVMF.package);
            }
            command.arg("-bios").arg(file);
        }
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", qmp.display()));
        Ok(command)
    }
}
