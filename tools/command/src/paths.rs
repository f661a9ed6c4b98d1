//! Paths: Aqueduct's sources, the workspace that is worked in, its target folder, and what is made below that.

use crate::{
    failure::{OrSay, Result},
    files,
};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

static WORKSPACE: OnceLock<PathBuf> = OnceLock::new();

/// The root of Aqueduct's own sources, which are only read unless they are [the workspace](workspace), too.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two folders deep")
}

/// The root of the workspace whose packages are built: Aqueduct's own, unless [`work_in`] has named another.
pub fn workspace() -> &'static Path {
    WORKSPACE.get().map_or_else(root, PathBuf::as_path)
}

/// Makes this the workspace of the process; of several calls the first one counts.
pub fn work_in(workspace: &Path) {
    WORKSPACE.get_or_init(|| workspace.to_owned());
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    target_of(workspace())
}

/// Cargo's target folder of another workspace.
pub fn target_of(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

/// A folder for what we make and keep, below the target folder.
///
/// # Errors
///
/// It cannot be made.
pub fn made(name: &str) -> Result<PathBuf> {
    made_in(workspace(), name)
}

/// Such a folder of another workspace.
///
/// # Errors
///
/// It cannot be made.
pub fn made_in(workspace: &Path, name: &str) -> Result<PathBuf> {
    let folder = target_of(workspace).join("xtask").join(name);
    files::make_folder(&folder)?;
    Ok(folder)
}

/// A private folder that is removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Short and below `/tmp`: Unix sockets have room for 107 bytes of path.
    pub fn new() -> Result<Self> {
        use std::io::ErrorKind;
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("aqueduct-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
            // A process that was killed left it, which had the number that is ours now.
            if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
                continue;
            }
            made.or_say(|| format!("cannot make the folder {}", folder.display()))?;
            return Ok(Self(folder));
        }
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another process of the same number left is not found in one's own folder.
    #[test]
    fn a_scratch_folder_is_empty() {
        let mut left = Vec::new();
        for number in 0..64 {
            let name = format!("aqueduct-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            if std::fs::create_dir(&folder).is_ok() {
                std::fs::write(folder.join("old"), "old").unwrap();
                left.push(folder);
            }
        }
        assert!(!left.is_empty());
        let scratch = Scratch::new().unwrap();
        assert!(scratch.path("").is_dir() && !scratch.path("old").exists());
        for folder in left {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
