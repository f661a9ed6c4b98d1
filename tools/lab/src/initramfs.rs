//! Initial file systems of Linux guests: a folder is filled and packed.

use command::{
    failure::{OrSay, Result},
    programs,
};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Makes a folder, and those that it is in.
pub(crate) fn make_folder(folder: &Path) -> Result {
    std::fs::create_dir_all(folder).or_say(|| format!("cannot make {}", folder.display()))
}

pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).or_say(|| format!("cannot read {}", file.display()))
}

/// Writes a file with these permissions, and makes the folder that it is in.
pub(crate) fn write(file: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result {
    if let Some(folder) = file.parent() {
        make_folder(folder)?;
    }
    let say = || format!("cannot write {}", file.display());
    std::fs::write(file, bytes).or_say(say)?;
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).or_say(say)
}

/// Packs what is in a folder as the kernel unpacks it; the bytes depend on the content and its times alone.
pub(crate) fn pack(tree: &Path, to: &Path) -> Result {
    let shell = "cd \"$0\" && find . | LC_ALL=C sort | \
         cpio --quiet --create --format=newc --owner=0:0 --reproducible > \"$1\"";
    programs::output(Command::new("sh").args(["-c", shell]).arg(tree).arg(to)).map(drop)
}
