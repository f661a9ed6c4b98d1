//! The machine of a newcomer: a small Debian of its own below a folder of ours, with a toolchain of Rust and a clean clone of
//! these sources, and nothing else that a programmer's machine has gathered.

use crate::harness::Harness;
use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use image_builder::media;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Makes a small Debian in a folder.
pub const DEBOOTSTRAP: Program = Program { name: "debootstrap", package: "debootstrap" };
/// Clones repositories.
pub const GIT: Program = Program { name: "git", package: "git" };

/// What Debian has from the start: Rust's toolchain asks for a linker, and whoever follows a page for something that asks a server.
const PACKAGES: &str = "ca-certificates,curl,gcc,git,libc6-dev";
/// What pages install, or have `cargo xtask` install: in apt's cache, since a test's machine has no network.
const IN_CACHE: &[&str] = &[
    programs::QEMU.package,
    programs::IP.package,
    programs::STRIP.package,
    programs::GDB.package,
    programs::XZ.package,
    media::GRUB.package,
    media::GRUB_BIOS.package,
    media::GRUB_UEFI.package,
    media::MTOOLS.package,
    media::XORRISO.package,
    // `pgrep`.
    "procps",
];
/// The variables that are set there.
const ENVIRONMENT: [&str; 8] = [
    "HOME=/root",
    "LANG=C.UTF-8",
    "PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND=noninteractive",
    "CARGO_TARGET_DIR=/target",
    "CARGO_NET_OFFLINE=true",
    // All other tests have the image as it ships; here the commands count, and minutes.
    "CARGO_PROFILE_IMAGE_LTO=off",
    "CARGO_PROFILE_IMAGE_CODEGEN_UNITS=16",
];

/// Its disk, as this program runs its commands: `$0` is where it is put together, and the folders follow in the order in
/// which they are named here, then the variables. The clone is `/root/aqueduct` there, and `/target` is cargo's target folder for all
/// pages together. What is kept for other pages is below; what the page changes is gone with the mount namespace and
/// the folder. There is no `/dev/kvm`, as in most containers.
const ENTER: &str = r#"set -eu
at=$0/at root=$1 clone=$2 registry=$3 rust=$4 target=$5
overlay() {
    mkdir -p "$at/../$1/upper" "$at/../$1/work" "$3"
    mount -t overlay overlay -o "lowerdir=$2,upperdir=$at/../$1/upper,workdir=$at/../$1/work" "$3"
}
overlay root "$root" "$at"
overlay clone "$clone" "$at/root/aqueduct"
overlay registry "$registry" "$at/root/.cargo/registry"
mkdir -p "$at/opt/rust" "$at/target" "$at/dev/shm"
mount --bind "$rust" "$at/opt/rust"
mount -o remount,bind,ro "$at/opt/rust"
mount --bind "$target" "$at/target"
mount -t proc proc "$at/proc"
mount -t tmpfs tmpfs "$at/dev/shm"
shift 5
exec chroot "$at" /usr/bin/env -i "$@" /bin/bash /root/page
"#;

/// The folders that such a machine is made of.
struct Folders {
    root: PathBuf,
    clone: PathBuf,
    target: PathBuf,
}

impl Folders {
    fn get() -> Result<Self> {
        let folder = paths::made("newcomer")?;
        let target = folder.join("target");
        files::make_folder(&target)?;
        Ok(Self { root: folder.join("root"), clone: folder.join("clone"), target })
    }
}

/// Makes what is kept: Debian, once, and a clone of the commit that these sources are at.
///
/// # Errors
///
/// This machine does not allow it, or Debian's packages cannot be had.
pub fn prepare(install: Install) -> Result {
    if !programs::is_root() {
        fail!("a root folder of its own takes root");
    }
    programs::need(&[&DEBOOTSTRAP, &GIT], install)?;
    let folders = Folders::get()?;
    make_once(&folders.root, &format!("{PACKAGES} {IN_CACHE:?}"), |root| {
        eprintln!("xtask: making a Debian of its own for a newcomer, once (debootstrap)");
        let mut make = programs::command(&DEBOOTSTRAP)?;
        make.args(["--variant=minbase", &format!("--include={PACKAGES}"), &release()]).arg(root);
        programs::output(&mut make)?;
        let mut download = programs::command(&Program { name: "chroot", package: "coreutils" })?;
        download.arg(root).args(["apt-get", "install", "--download-only", "--yes"]);
        programs::output(download.arg("--no-install-recommends").args(IN_CACHE)).map(drop)
    })?;
    let git = || programs::command(&GIT);
    let mut head = git()?;
    let commit = programs::output(head.current_dir(paths::root()).args(["rev-parse", "HEAD"]))?;
    if folders.clone.exists() && move_on(&folders.clone, &commit).is_ok() {
        return Ok(());
    }
    make_once(&folders.clone, &commit, |clone| {
        let mut make = git()?;
        make.args(["clone", "--quiet", "--no-hardlinks"]).arg(paths::root()).arg(clone);
        programs::output(&mut make).map(drop)
    })
}

/// The clone of an earlier commit as it would be of this one. Files that are the same keep their times, so that cargo compiles
/// again what has changed alone.
fn move_on(clone: &Path, commit: &str) -> Result {
    let root = paths::root().to_string_lossy();
    for words in [
        &["fetch", "--quiet", &root, "HEAD"][..],
        &["reset", "--quiet", "--hard", "FETCH_HEAD"],
        &["clean", "--quiet", "-ffdx"],
    ] {
        let mut git = programs::command(&GIT)?;
        programs::output(git.arg("-C").arg(clone).args(words))?;
    }
    files::write(&record_of(clone), commit)
}

/// A folder that is there, whole, and made of this; else it is made anew.
fn make_once(folder: &Path, of: &str, make: impl FnOnce(&Path) -> Result) -> Result {
    let record = record_of(folder);
    if folder.exists() && std::fs::read_to_string(&record).is_ok_and(|text| text == of) {
        return Ok(());
    }
    let new = folder.with_extension("new");
    let _ = std::fs::remove_dir_all(&new);
    make(&new)?;
    let _ = std::fs::remove_dir_all(folder);
    // Only what is complete has the name.
    std::fs::rename(&new, folder).or_say(|| format!("cannot make {}", folder.display()))?;
    files::write(&record, of)
}

/// Where it is written what a folder is made of.
fn record_of(folder: &Path) -> PathBuf {
    folder.with_extension("made-of")
}

/// The release of Debian that this machine has, or the newest.
fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is_debian = text.lines().any(|line| line == "ID=debian");
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.filter(|_| is_debian).unwrap_or("stable").to_owned()
}

/// What runs a script of `bash` there. With the command all that it started has ended, and what it wrote is gone.
///
/// # Errors
///
/// There is no toolchain or registry of cargo's, or a folder cannot be made.
pub fn command(harness: &Harness, script: &str) -> Result<Command> {
    let folders = Folders::get()?;
    let scratch = harness.scratch.path("newcomer");
    // Where the script is written, the machine's own disk lies on top.
    let page = scratch.join("root/upper/root");
    files::make_folder(&page)?;
    files::write(&page.join("page"), script)?;
    let mut rustc = Command::new("rustc");
    rustc.current_dir(paths::root()).args(["--print", "sysroot"]);
    let rust = programs::output(&mut rustc)?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let Some(registry) = home.map(|home| home.join("registry")).filter(|folder| folder.exists())
    else {
        fail!("cargo has no registry here; `cargo fetch` makes one");
    };
    let mut command = programs::command(&Program { name: "unshare", package: "util-linux" })?;
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", ENTER]);
    command.arg(&scratch).args([&folders.root, &folders.clone, &registry]);
    command.arg(rust.trim()).arg(&folders.target);
    // Nothing of the environment that we are in.
    command.args(ENVIRONMENT);
    Ok(command)
}
