//! Debian's packages of Xen and of a kernel for dom0: downloaded and unpacked, never installed.

use crate::debian;
use command::{
    failure::{Failure, OrSay, Result},
    programs,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

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

/// Unpacked packages.
pub(crate) struct Packages {
    root: PathBuf,
    kernel_release: String,
}

impl Packages {
    /// Downloads what is not yet in `folder`, and unpacks it there.
    pub(crate) fn get(folder: &Path) -> Result<Self> {
        let debs = folder.join("debs");
        let root = folder.join("root");
        for folder in [&debs, &root] {
            std::fs::create_dir_all(folder)
                .or_say(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let kernel_release = debian::kernel_release()?;
        let kernel = format!("linux-image-{kernel_release}");
        let names: Vec<&str> = PACKAGES.iter().copied().chain([kernel.as_str()]).collect();
        download(&debs, &names)?;
        for name in &names {
            let file = downloaded(&debs, name)
                .ok_or_else(|| Failure::new(format!("apt-get did not download {name}")))?;
            if *name == kernel {
                unpack_kernel(&file, &root)?;
            } else {
                programs::output(
                    programs::command(&programs::DPKG)?.arg("-x").arg(&file).arg(&root),
                )?;
            }
        }
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

fn download(debs: &Path, names: &[&str]) -> Result {
    let missing: Vec<&&str> =
        names.iter().filter(|name| downloaded(debs, name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!(
        "xtask: downloading {} packages for Xen's dom0 (nothing is installed)",
        missing.len()
    );
    programs::output(
        Command::new("apt-get").current_dir(debs).args(["download", "-q"]).args(missing),
    )
    .map(drop)
}

fn downloaded(debs: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}_");
    let entries = std::fs::read_dir(debs).ok()?.flatten();
    let mut files = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".deb")
    });
    files.next()
}

/// Some of the kernel's 400 MB.
fn unpack_kernel(file: &Path, root: &Path) -> Result {
    let shell = "dpkg-deb --fsys-tarfile \"$0\" | tar -x -C \"$1\" --wildcards './boot/vmlinuz-*' \
        '*/net/bridge/bridge.ko' '*/net/802/stp.ko' '*/net/llc/llc.ko' '*/drivers/xen/*.ko' \
        '*/drivers/net/xen-net*' '*/ethernet/intel/e1000/e1000.ko'";
    programs::output(Command::new("sh").args(["-c", shell]).arg(file).arg(root)).map(drop)
}
