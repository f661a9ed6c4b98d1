//! Debian's packages, downloaded and unpacked below a folder of ours: their programs run from there, and no service of
//! theirs starts on this machine.

use command::{
    failure::{Failure, OrSay, Result, fail},
    files, programs,
};
use std::{path::Path, process::Command, sync::Once};

/// A package, and what of it is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its names in different releases of Debian, of which the first known one counts.
    names: Vec<String>,
    /// Patterns of the files that are wanted, as `tar` takes them; all when there are none.
    files: &'static [&'static str],
}

impl Package {
    /// All of a package.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self { names: names.iter().map(|&name| name.to_owned()).collect(), files: &[] }
    }

    /// Some files of the kernel's package, which has 400 MB.
    pub(crate) fn kernel(release: &str, files: &'static [&'static str]) -> Self {
        Self { names: vec![format!("linux-image-{release}")], files }
    }
}

/// Unpacks packages below `folder`, which then has all of them and nothing else. Nothing is done when they are there.
pub(crate) fn unpack(packages: &[Package], folder: &Path) -> Result {
    let list = folder.with_extension("packages");
    let wanted = format!("{packages:#?}\n");
    if folder.exists() && std::fs::read_to_string(&list).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    let names = packages.iter().map(known_name).collect::<Result<Vec<_>>>()?;
    eprintln!("xtask: downloading {} from Debian, once", names.join(" "));
    let new = folder.with_extension("new");
    let _ = std::fs::remove_dir_all(&new);
    let debs = new.join("debs");
    files::make_folder(&debs)?;
    let mut download = Command::new("apt-get");
    let versions = names.iter().map(|name| newest_to_be_had(name));
    programs::output(download.current_dir(&debs).args(["download", "-q"]).args(versions))?;
    for (package, name) in packages.iter().zip(names) {
        unpack_one(package, name, &debs, &new)?;
    }
    std::fs::remove_dir_all(&debs).or_say(|| format!("cannot remove {}", debs.display()))?;
    let _ = std::fs::remove_dir_all(folder);
    // Only what is complete has the name.
    std::fs::rename(&new, folder).or_say(|| format!("cannot make {}", folder.display()))?;
    files::write(&list, wanted)
}

fn unpack_one(package: &Package, name: &str, debs: &Path, to: &Path) -> Result {
    let prefix = format!("{name}_");
    let downloaded = files::list(debs)?.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    let Some(file) = downloaded else { fail!("apt-get did not download {name}") };
    if package.files.is_empty() {
        programs::output(programs::command(&programs::DPKG)?.arg("-x").arg(&file).arg(to))?;
        return Ok(());
    }
    let shell = "deb=$0; to=$1; shift; dpkg-deb --fsys-tarfile \"$deb\" | tar -x -C \"$to\" --wildcards \"$@\"";
    let mut shell_command = Command::new("sh");
    shell_command.args(["-c", shell]).arg(&file).arg(to).args(package.files);
    programs::output(&mut shell_command).map(drop)
}

/// A package with its newest version that a repository has, as `apt-get download` takes it. Without one apt would take the
/// installed version, if that is newer, which may be nowhere to be had.
fn newest_to_be_had(name: &str) -> String {
    let versions = programs::output(Command::new("apt-cache").args(["madison", name]));
    match versions.ok().and_then(|text| first_version(&text).map(String::from)) {
        Some(version) => format!("{name}={version}"),
        None => name.into(),
    }
}

/// Of lines as `NAME | VERSION | REPOSITORY`, the newest first.
fn first_version(text: &str) -> Option<&str> {
    text.lines().find_map(|line| Some(line.split('|').nth(1)?.trim())).filter(|it| !it.is_empty())
}

fn known_name(package: &Package) -> Result<&str> {
    // Asking apt takes a while, and a download without a choice tells as much.
    if let [name] = package.names.as_slice() {
        return Ok(name);
    }
    match package.names.iter().find(|name| show(name).is_some()) {
        Some(name) => Ok(name),
        None => {
            fail!("apt knows no package {}; `apt-get update` may help", package.names.join(" or "))
        }
    }
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
    fn the_newest_version_is_the_first_that_is_listed() {
        let listed = "libpcre2-8-0 |    10.42-1 | http://deb.example bookworm/main amd64 Packages\n\
                      libpcre2-8-0 |    10.40-1 | http://deb.example bullseye/main amd64 Packages\n";
        assert_eq!(first_version(listed), Some("10.42-1"));
        assert_eq!(first_version("N: Unable to locate package x\n"), None);
    }

    #[test]
    fn releases_sort_by_number() {
        assert!(version_key("6.1.0-9-amd64") < version_key("6.1.0-44-amd64"));
    }
}
