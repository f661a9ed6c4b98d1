//! Files and folders, with errors that name them.

use crate::failure::{OrSay, Result};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The bytes of a file.
///
/// # Errors
///
/// It cannot be read.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).or_say(|| format!("cannot read {}", file.display()))
}

/// The text of a file.
///
/// # Errors
///
/// It cannot be read, or is no UTF-8.
pub fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).or_say(|| format!("cannot read {}", file.display()))
}

/// Writes a file, in place of what it was.
///
/// # Errors
///
/// It cannot be written.
pub fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result {
    std::fs::write(file, bytes).or_say(|| format!("cannot write {}", file.display()))
}

/// Writes a file that nobody reads but its owner, in place of what it was.
///
/// # Errors
///
/// It cannot be written.
pub fn write_secret(file: &Path, bytes: impl AsRef<[u8]>) -> Result {
    let say = || format!("cannot write {}", file.display());
    // One that is there keeps the rights that it has.
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).or_say(say),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(file).or_say(say)?;
    opened.write_all(bytes.as_ref()).or_say(say)
}

/// Makes a folder, and those that it is in.
///
/// # Errors
///
/// It cannot be made.
pub fn make_folder(folder: &Path) -> Result {
    std::fs::create_dir_all(folder)
        .or_say(|| format!("cannot make the folder {}", folder.display()))
}

/// What is in a folder, in no order.
///
/// # Errors
///
/// It cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let say = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).or_say(say)?;
    entries.map(|entry| Ok(entry.or_say(say)?.path())).collect()
}
