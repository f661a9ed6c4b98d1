//! Debian's packages of Xen and of a kernel for dom0: downloaded and unpacked, never installed.

use crate::debian::{self, Package};
use command::failure::{Failure, Result};
use std::path::{Path, PathBuf};

/// All but the kernel, which has its version in its name.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "libc6",
    "libgcc-s1",
    "liblzma5",
    "libuuid1",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenmisc4.17",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libyajl2",
    "libzstd1",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "xenstore-utils",
    "zlib1g",
];

/// Some of the kernel's 400 MB.
const KERNEL_FILES: &[&str] = &[
    "./boot/vmlinuz-*",
    "*/net/bridge/bridge.ko",
    "*/net/802/stp.ko",
    "*/net/llc/llc.ko",
    "*/drivers/xen/*.ko",
    "*/drivers/net/xen-net*",
    "*/ethernet/intel/e1000/e1000.ko",
    "*/drivers/block/loop.ko",
    "*/drivers/block/xen-blkback/*.ko",
];

/// Unpacked packages.
pub(crate) struct Packages {
    root: PathBuf,
    kernel_release: String,
}

impl Packages {
    /// Downloads what is not yet in `folder`, and unpacks it there.
    pub(crate) fn get(folder: &Path) -> Result<Self> {
        let root = folder.join("root");
        let kernel_release = debian::kernel_release()?;
        let kernel = Package::kernel(&kernel_release, KERNEL_FILES);
        let packages: Vec<_> =
            PACKAGES.iter().map(|name| Package::new(&[name])).chain([kernel]).collect();
        debian::unpack(&packages, &root)?;
        Ok(Self { root, kernel_release })
    }

    /// A file of the packages.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A kernel module, by its path below the modules' folder and without `.ko`.
    pub(crate) fn module(&self, path: &str) -> Result<PathBuf> {
        let release = &self.kernel_release;
        ["lib", "usr/lib"]
            .iter()
            .map(|lib| self.file(&format!("{lib}/modules/{release}/kernel/{path}.ko")))
            .find(|file| file.exists())
            .ok_or_else(|| Failure::new(format!("the kernel package has no module {path}")))
    }

    /// The kernel as it is packed.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.file(&format!("boot/vmlinuz-{}", self.kernel_release))
    }

    /// A shared library, by its name.
    pub(crate) fn library(&self, name: &str) -> Option<PathBuf> {
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
            .iter()
            .map(|folder| self.file(&format!("{folder}/{name}")))
            .find(|file| file.exists())
    }
}
