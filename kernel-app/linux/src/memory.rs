//! Memory that the process may use: its machine's, or less where a control group says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Bytes, as of the start; all that can be addressed where the system does not say.
pub(crate) fn available_bytes() -> usize {
    static BYTES: LazyLock<usize> = LazyLock::new(|| {
        let read = |path: &Path| fs::read_to_string(path).ok();
        bytes(read)
    });
    *BYTES
}

/// The least of what the machine has and what the control group, and those that it is in, may have.
fn bytes(read: impl Fn(&Path) -> Option<String>) -> usize {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).map(|text| files(&text)).unwrap_or_default();
    let limits = groups.iter().filter_map(|file| read(file)?.trim().parse().ok());
    limits.chain(machine).min().unwrap_or(usize::MAX)
}

/// What `/proc/meminfo` says of all memory (proc_meminfo(5)).
fn total(meminfo: &str) -> Option<usize> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Where the limits of a process stand, by its `/proc/self/cgroup` (cgroups(7)): of control groups' version 2, each up
/// to the root; of version 1, its own. A container sees its own group as the root.
fn files(cgroup: &str) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes")];
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let group = Path::new(group.trim_start_matches('/'));
        if controllers.is_empty() {
            let root = Path::new("/sys/fs/cgroup");
            files.extend(group.ancestors().map(|group| root.join(group).join("memory.max")));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let root = Path::new("/sys/fs/cgroup/memory");
            files.push(root.join(group).join("memory.limit_in_bytes"));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         1000000 kB\n";

    fn with(files: &[(&str, &str)]) -> usize {
        bytes(|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_least_of_machine_and_control_groups_counts() {
        let machine = ("/proc/meminfo", MEMINFO);
        assert_eq!(with(&[machine]), 16_384_000 << 10);
        let group = ("/proc/self/cgroup", "0::/system.slice/aqueduct.service\n");
        let none = ("/sys/fs/cgroup/system.slice/aqueduct.service/memory.max", "max\n");
        assert_eq!(with(&[machine, group, none]), 16_384_000 << 10);
        let own = ("/sys/fs/cgroup/system.slice/aqueduct.service/memory.max", "67108864\n");
        assert_eq!(with(&[machine, group, own]), 64 << 20);
        let above = ("/sys/fs/cgroup/system.slice/memory.max", "33554432\n");
        assert_eq!(with(&[machine, group, own, above]), 32 << 20);
        let root = ("/sys/fs/cgroup/memory.max", "16777216\n");
        assert_eq!(with(&[machine, ("/proc/self/cgroup", "0::/\n"), root]), 16 << 20);
    }

    #[test]
    fn the_first_version_of_control_groups_counts_too() {
        let group = ("/proc/self/cgroup", "12:cpu:/a\n11:memory:/b\n");
        let own = ("/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "1000000\n");
        assert_eq!(with(&[("/proc/meminfo", MEMINFO), group, own]), 1_000_000);
    }

    #[test]
    fn where_nothing_is_said_all_counts() {
        assert_eq!(with(&[("/proc/meminfo", "odd\n"), ("/proc/self/cgroup", "odd\n")]), usize::MAX);
    }
}
