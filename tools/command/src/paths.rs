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
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("aqueduct-{}-{number}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .or_say(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self(folder))
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
