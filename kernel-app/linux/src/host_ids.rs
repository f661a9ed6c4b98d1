//! Host ids: what says that two processes reach each other by a path or an abstract name.
//!
//! One kernel that runs is known by its boot id (random(4)). Under it, two see the same file at an absolute path if they
//! have the same mount namespace and the same root directory (mount_namespaces(7), chroot(2)), and the same socket by an
//! abstract name if they have the same network namespace (unix(7)). What cannot be read gives no id, so that ways of this
//! host are left out rather than lead elsewhere.

use aqueduct::platform::HostIds;
use flow::registry::HostId;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fs;
use std::hash::Hash;
use std::os::unix::fs::MetadataExt;

/// Those of this process.
pub(crate) fn read() -> HostIds {
    let Ok(boot) = fs::read_to_string("/proc/sys/kernel/random/boot_id") else {
        return HostIds::default();
    };
    // The files of /proc/self/ns are their namespaces (namespaces(7)).
    let [mounts, network, root] = ["/proc/self/ns/mnt", "/proc/self/ns/net", "/"].map(place);
    HostIds {
        paths: mounts.zip(root).map(|place| id(("paths", &boot, place))),
        abstract_names: network.map(|place| id(("abstract names", &boot, place))),
    }
}

/// What a file is known by: its device and inode.
fn place(path: &str) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// A number in place of all this, which need not be told to others. The hash has no key, as all have to come to the same.
fn id(of: impl Hash) -> HostId {
    let mut hasher = SipHasher13::new();
    of.hash(&mut hasher);
    HostId(hasher.finish128().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_id_and_what_differs_has_another() {
        let ids = read();
        assert_eq!(ids, read());
        assert!(ids.paths.is_some() && ids.abstract_names.is_some());
        assert_ne!(ids.paths, ids.abstract_names);
        let boots = ["a", "b"].map(|boot| id((boot, (1_u64, 2_u64))));
        assert_ne!(boots[0], boots[1]);
    }

    /// A process with a mount namespace of its own may see other files.
    #[test]
    fn a_mount_namespace_of_its_own_is_another_place() {
        let own = place("/proc/self/ns/mnt").unwrap();
        let outcome = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "stat", "-L", "-c", "%i"])
            .arg("/proc/self/ns/mnt")
            .output();
        // Not everybody may make one.
        let Some(output) = outcome.ok().filter(|output| output.status.success()) else { return };
        let inode: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert_ne!(inode, own.1);
    }
}
