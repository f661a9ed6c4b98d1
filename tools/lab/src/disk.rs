//! A guest's disks, as options of QEMU's command line.

use crate::qemu::Machine;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A disk of a guest.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Where its content is on this machine.
    pub file: PathBuf,
    /// How fast it is at most, in bytes per second.
    pub bytes_per_second: Option<u64>,
    /// Reads of this sector fail.
    pub bad_sector: Option<u64>,
}

impl Disk {
    /// The content of a file, which the guest does not change.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), bytes_per_second: None, bad_sector: None }
    }

    /// QEMU's options for it, as the disk of this number of a machine, the first being 0.
    pub fn options(&self, machine: Machine, number: usize) -> Vec<OsString> {
        let device = match machine {
            Machine::Microvm => "virtio-blk-device",
            Machine::Q35 | Machine::MicrovmPcie => "virtio-blk-pci",
        };
        let name = format!("disk{number}");
        [
            "-blockdev".into(),
            self.block_device(&name),
            "-device".into(),
            format!("{device},drive={name}").into(),
        ]
        .into()
    }

    /// The chain of what reads are passed through, as JSON: file names may have commas.
    fn block_device(&self, name: &str) -> OsString {
        let file = self.file.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        let file = format!(r#"{{"driver":"file","read-only":true,"filename":"{file}"}}"#);
        let file = match self.bad_sector {
            None => file,
            Some(sector) => format!(
                r#"{{"driver":"blkdebug","read-only":true,"image":{file},"inject-error":[{{"event":"read_aio","sector":{sector}}}]}}"#
            ),
        };
        let raw =
            |name: &str| format!(r#"{{"driver":"raw","read-only":true,{name}"file":{file}}}"#);
        let named = format!(r#""node-name":"{name}","#);
        match self.bytes_per_second {
            None => raw(&named).into(),
            Some(_) => {
                let raw = raw("");
                format!(
                    r#"{{"driver":"throttle","read-only":true,{named}"throttle-group":"{name}-limits","file":{raw}}}"#
                )
                .into()
            }
        }
    }

    /// What has to come before the options: the limits that they refer to.
    pub fn limits(&self, number: usize) -> Vec<OsString> {
        let Some(bytes) = self.bytes_per_second else { return Vec::new() };
        let limits = format!("throttle-group,id=disk{number}-limits,x-bps-total={bytes}");
        ["-object".into(), limits.into()].into()
    }
}

/// The options for all disks of a machine.
pub fn options(machine: Machine, disks: &[Disk]) -> Vec<OsString> {
    let of_one = |(number, disk): (usize, &Disk)| {
        [disk.limits(number), disk.options(machine, number)].concat()
    };
    disks.iter().enumerate().flat_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(disk: &Disk) -> String {
        let options = options(Machine::Q35, std::slice::from_ref(disk));
        options.iter().map(|option| option.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_disk_is_what_it_is_said_to_be() {
        let disk = Disk::new(Path::new("/a,b"));
        let plain = r#"-blockdev {"driver":"raw","read-only":true,"node-name":"disk0","file":{"driver":"file","read-only":true,"filename":"/a,b"}} -device virtio-blk-pci,drive=disk0"#;
        assert_eq!(text(&disk), plain);
        let slow = text(&Disk { bytes_per_second: Some(1000), ..disk.clone() });
        assert!(slow.starts_with("-object throttle-group,id=disk0-limits,x-bps-total=1000 "));
        assert!(slow.contains(r#""throttle-group":"disk0-limits""#));
        let bad = text(&Disk { bad_sector: Some(7), ..disk });
        assert!(bad.contains(r#""inject-error":[{"event":"read_aio","sector":7}]"#));
    }
}
