//! Initial file systems of Linux guests: a folder is filled and packed.

use command::{
    failure::{OrSay, Result},
    files, programs,
};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Writes a file with these permissions, and makes the folder that it is in.
pub(crate) fn write(file: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result {
    if let Some(folder) = file.parent() {
        files::make_folder(folder)?;
    }
    files::write(file, bytes)?;
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode))
        .or_say(|| format!("cannot set the permissions of {}", file.display()))
}

/// Packs what is in a folder as the kernel unpacks it; the bytes depend on the content and its times alone.
pub(crate) fn pack(tree: &Path, to: &Path) -> Result {
    let shell = "cd \"$0\" && find . | LC_ALL=C sort | \
         cpio --quiet --create --format=newc --owner=0:0 --reproducible > \"$1\"";
    programs::output(Command::new("sh").args(["-c", shell]).arg(tree).arg(to)).map(drop)
}
