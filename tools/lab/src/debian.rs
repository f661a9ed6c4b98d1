//! Debian's packages, downloaded and unpacked below a folder of ours: their programs run from there, and no service of
//! theirs starts on this machine.

use command::{
    failure::{Failure, OrSay, Result, fail},
    programs,
};
use std::{path::Path, process::Command, sync::Once};

/// Unpacks packages below `folder`, which has them all when it is there. Each is given by its names in different
/// releases of Debian, of which the first known one counts.
pub(crate) fn unpack(packages: &[&[&str]], folder: &Path) -> Result {
    if folder.exists() {
        return Ok(());
    }
    let mut names = Vec::new();
    for alternatives in packages {
        match alternatives.iter().find(|name| is_known(name)) {
            Some(name) => names.push(*name),
            None => fail!(
                "apt knows no package {}; `apt-get update` may help",
                alternatives.join(" or ")
            ),
        }
    }
    eprintln!("xtask: downloading {} from Debian, once", names.join(" "));
    let new = folder.with_extension("new");
    let _ = std::fs::remove_dir_all(&new);
    std::fs::create_dir_all(&new).or_say(|| format!("cannot make {}", new.display()))?;
    programs::output(Command::new("apt-get").current_dir(&new).arg("download").args(&names))?;
    let entries = std::fs::read_dir(&new).or_say(|| format!("cannot read {}", new.display()))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        programs::output(programs::command(&programs::DPKG)?.arg("-x").arg(&package).arg(&new))?;
        std::fs::remove_file(&package).or_say(|| format!("cannot remove {}", package.display()))?;
    }
    // Only what is complete has the name.
    std::fs::rename(&new, folder).or_say(|| format!("cannot make {}", folder.display()))
}

/// The release of the kernel that Debian's metapackage names now; `linux-image-RELEASE` is its package.
pub(crate) fn kernel_release() -> Result<String> {
    let text = show("linux-image-amd64")
        .ok_or_else(|| Failure::new("apt knows no linux-image-amd64: is this a Debian?"))?;
    let depends = text.lines().filter(|line| line.starts_with("Depends:"));
    let names = depends.flat_map(|line| line.split([' ', ',']));
    let releases = names.filter_map(|name| name.strip_prefix("linux-image-"));
    match releases.max_by_key(|release| version_key(release)) {
        Some(release) => Ok(release.to_owned()),
        None => fail!("linux-image-amd64 names no kernel"),
    }
}

/// Sorts 6.1.0-9 before 6.1.0-44.
fn version_key(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn is_known(package: &str) -> bool {
    show(package).is_some()
}

/// What apt knows of a package. A fresh machine has no lists yet: they are fetched once.
fn show(package: &str) -> Option<String> {
    static FETCHED: Once = Once::new();
    let ask = || {
        programs::output(Command::new("apt-cache").args(["show", package]))
            .ok()
            .filter(|text| text.contains("Package: "))
    };
    ask().or_else(|| {
        FETCHED.call_once(|| {
            if let Err(failure) = programs::update_lists() {
                eprintln!("xtask: {failure}");
            }
        });
        ask()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_sort_by_number() {
        assert!(version_key("6.1.0-9-amd64") < version_key("6.1.0-44-amd64"));
    }
}
