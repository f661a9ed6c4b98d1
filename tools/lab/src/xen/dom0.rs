//! dom0's image: Xen, a kernel, and an initial file system with the toolstack in it.

use super::packages::Packages;
use crate::initramfs::{pack, write};
use command::{
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use std::{
    collections::BTreeSet,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

const OBJDUMP: Program = Program { name: "objdump", package: "binutils" };

/// In the order in which they load.
const MODULES: &[&str] = &[
    "drivers/xen/xen-privcmd",
    "drivers/xen/xenfs/xenfs",
    "drivers/xen/xen-evtchn",
    "drivers/xen/xen-gntdev",
    "drivers/xen/xen-gntalloc",
    "net/llc/llc",
    "net/802/stp",
    "net/bridge/bridge",
    "drivers/net/xen-netback/xen-netback",
    "drivers/net/ethernet/intel/e1000/e1000",
];
/// What runs in dom0, from Xen's folder of programs.
const PROGRAMS: &[&str] =
    &["xl", "libxl-save-helper", "xenconsole", "xenstored", "xenconsoled", "xen-init-dom0"];
/// Opened at run time by `pthread_cancel`, which `xl` calls.
const LIBRARIES_OPENED: &[&str] = &["libgcc_s.so.1"];
const LOADER: &str = "ld-linux-x86-64.so.2";
const INIT: &str = include_str!("dom0-init.sh");
const HOTPLUG: &str = include_str!("dom0-vif.sh");
const HOTPLUG_DISK: &str = include_str!("dom0-block.sh");
/// Those for guests' disks, which are loaded when there is one.
const DISK_MODULES: &[&str] = &["drivers/block/loop", "drivers/block/xen-blkback/xen-blkback"];

/// What QEMU is told to boot.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// The hypervisor.
    pub xen: PathBuf,
    /// dom0's kernel, unpacked.
    pub kernel: PathBuf,
    /// dom0's initial file system.
    pub files: PathBuf,
    /// A kernel module for Linux guests, to compare with.
    pub netfront: PathBuf,
    /// Debian's kernel as a PVH guest wants it.
    pub guest_kernel: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
}

impl Dom0 {
    /// Made once, and again when what it is made of changes.
    pub fn get(install: Install) -> Result<Self> {
        programs::need(
            &[&programs::DPKG, &programs::XZ, &OBJDUMP, &programs::STRIP, &programs::CPIO],
            install,
        )?;
        let folder = paths::made("xen")?;
        let made = Self {
            xen: folder.join("xen"),
            kernel: folder.join("vmlinux"),
            files: folder.join("dom0.cpio"),
            netfront: folder.join("xen-netfront.ko"),
            guest_kernel: folder.join("vmlinuz"),
            busybox: folder.join("busybox"),
        };
        let stamp = folder.join("stamp");
        let recipe = format!(
            "3\n{MODULES:?}\n{DISK_MODULES:?}\n{PROGRAMS:?}\n{INIT}\n{HOTPLUG}\n{HOTPLUG_DISK}"
        );
        if std::fs::read_to_string(&stamp).is_ok_and(|text| text == recipe) {
            return Ok(made);
        }
        eprintln!("xtask: making an image of Xen and dom0 in {}", folder.display());
        made.make(&Packages::get(&folder)?, &folder.join("tree"))?;
        files::write(&stamp, recipe)?;
        Ok(made)
    }

    fn make(&self, packages: &Packages, tree: &Path) -> Result {
        // QEMU loads Xen as a plain Multiboot ELF, and Xen starts an unpacked kernel seconds sooner.
        unpack(&packages.file("boot/xen-4.17-amd64.gz"), 0, "gzip", &self.xen)?;
        let kernel = files::read(&packages.kernel())?;
        let start = kernel.windows(6).position(|bytes| bytes == b"\xfd7zXZ\0");
        let start =
            start.ok_or_else(|| Failure::new("Debian's kernel is not packed by xz any more"))?;
        unpack(&packages.kernel(), start, "xz", &self.kernel)?;
        copy(&packages.kernel(), &self.guest_kernel)?;
        copy(&packages.file("bin/busybox"), &self.busybox)?;
        strip_module(&packages.module("drivers/net/xen-netfront")?, &self.netfront)?;
        let _ = std::fs::remove_dir_all(tree);
        fill(packages, tree)?;
        pack(tree, &self.files)
    }
}

/// dom0's file system as a folder.
fn fill(packages: &Packages, tree: &Path) -> Result {
    for folder in [
        "bin",
        "dev",
        "proc",
        "sys",
        "tmp",
        "run",
        "guests",
        "etc/xen/scripts",
        "lib64",
        "lib/modules",
        "lib/x86_64-linux-gnu",
        "usr/lib/xen-4.17/bin",
        "var/log/xen/console",
        "var/lib/xen",
        "var/lock",
    ] {
        files::make_folder(&tree.join(folder))?;
    }
    symlink("../run", tree.join("var/run")).or_say(|| "cannot link var/run".into())?;
    program(&packages.file("bin/busybox"), &tree.join("bin/busybox"))?;
    program(&packages.file("usr/bin/xenstore"), &tree.join("bin/xenstore"))?;
    for name in ["read", "write", "chmod", "ls", "rm", "list", "exists", "watch"] {
        let link = tree.join("bin").join(format!("xenstore-{name}"));
        symlink("xenstore", link).or_say(|| "cannot link a xenstore tool".into())?;
    }
    for name in PROGRAMS {
        let path = format!("usr/lib/xen-4.17/bin/{name}");
        program(&packages.file(&path), &tree.join(&path))?;
    }
    write(&tree.join("etc/xen/xl.conf"), "autoballoon=\"0\"\nlockfile=\"/run/xl.lock\"\n", 0o644)?;
    write(&tree.join("etc/xen/scripts/vif-bridge"), HOTPLUG, 0o755)?;
    write(&tree.join("etc/xen/scripts/block"), HOTPLUG_DISK, 0o755)?;
    write(&tree.join("init"), INIT, 0o755)?;
    for path in MODULES.iter().chain(DISK_MODULES) {
        let name = path.rsplit('/').next().unwrap_or(path);
        strip_module(&packages.module(path)?, &tree.join(format!("lib/modules/{name}.ko")))?;
    }
    libraries(packages, tree)
}

/// The shared libraries that the programs need, and those that these need.
fn libraries(packages: &Packages, tree: &Path) -> Result {
    let folder = tree.join("lib/x86_64-linux-gnu");
    let mut waiting: Vec<PathBuf> =
        PROGRAMS.iter().map(|name| tree.join("usr/lib/xen-4.17/bin").join(name)).collect();
    waiting.push(tree.join("bin/xenstore"));
    let mut names: BTreeSet<String> =
        LIBRARIES_OPENED.iter().map(|&name| name.to_owned()).collect();
    names.insert(LOADER.to_owned());
    for name in LIBRARIES_OPENED {
        waiting.push(library(packages, name)?);
    }
    while let Some(file) = waiting.pop() {
        let headers = programs::output(programs::command(&OBJDUMP)?.arg("-p").arg(&file))?;
        for name in headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")) {
            let name = name.trim();
            if names.insert(name.to_owned()) {
                waiting.push(library(packages, name)?);
            }
        }
    }
    for name in names.iter().filter(|name| *name != LOADER) {
        program(&library(packages, name)?, &folder.join(name))?;
    }
    program(&library(packages, LOADER)?, &tree.join("lib64").join(LOADER))
}

fn library(packages: &Packages, name: &str) -> Result<PathBuf> {
    packages.library(name).ok_or_else(|| Failure::new(format!("no package has the library {name}")))
}

/// Writes what a program unpacks from `from`, skipping its first bytes.
fn unpack(from: &Path, skip: usize, unpacker: &str, to: &Path) -> Result {
    // What follows the packed part is not its concern: the size of the output is.
    let shell = format!(
        "tail -c +{} \"$0\" | {unpacker} -dc 2>/dev/null > \"$1\"; test -s \"$1\"",
        skip + 1
    );
    programs::output(Command::new("sh").args(["-c", &shell]).arg(from).arg(to)).map(drop)
}

fn strip_module(from: &Path, to: &Path) -> Result {
    programs::output(
        programs::command(&programs::STRIP)?.arg("--strip-debug").arg("-o").arg(to).arg(from),
    )
    .map(drop)
}

fn program(from: &Path, to: &Path) -> Result {
    copy(from, to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755))
        .or_say(|| format!("cannot make {} executable", to.display()))
}

fn copy(from: &Path, to: &Path) -> Result {
    match std::fs::copy(from, to) {
        Ok(_) => Ok(()),
        Err(error) => fail!("cannot copy {} to {}: {error}", from.display(), to.display()),
    }
}
