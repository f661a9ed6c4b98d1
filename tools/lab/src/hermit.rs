//! The image on the Hermit kernel, in QEMU: on q35 only, with a card that is no older than virtio 1.0, and with user
//! networking, whose DHCP gives it an address.

use crate::{
    accel::Accel,
    qemu::{Machine, Netdev, Spec},
};
use std::{ffi::OsString, path::PathBuf};

/// What QEMU is told besides.
pub fn options() -> Vec<OsString> {
    ["-global", "virtio-net-pci.disable-legacy=on"].map(OsString::from).into()
}

/// A guest with these `forwards`: (port on this machine, port in the guest).
pub fn guest(kernel: PathBuf, bundle: PathBuf, memory_mib: u32, forwards: &[(u16, u16)]) -> Spec {
    Spec {
        machine: Machine::Q35,
        accel: Accel::Tcg,
        memory_mib,
        kernel,
        initrd: Some(bundle),
        append: String::new(),
        netdev: Netdev::User { forwards: forwards.to_vec() },
        without: &[],
        entropy: false,
        more: options(),
    }
}
