//! `[storage]`: disks, and a site on one of them.

use alloc::string::String;
use config::Storage;
use storage::CacheLimits;

/// What `[storage]` comes to on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// The disk that the site is on, the first being 0, and the folder of it that is served.
    pub site: Option<(usize, String)>,
    /// Bounds of what of a disk is in memory.
    pub cache: CacheLimits,
}

impl StorageSettings {
    /// From the section, on a machine with so much memory.
    pub fn new(section: &Storage, machine_bytes: usize) -> Self {
        let Storage { site_disk, site_folder, cache_bytes_max, read_timeout } = section.clone();
        let bytes_max = if cache_bytes_max == 0 { machine_bytes / 8 } else { cache_bytes_max };
        Self {
            site: (site_disk as usize).checked_sub(1).map(|disk| (disk, site_folder)),
            cache: CacheLimits { bytes_max, wait_max: read_timeout },
        }
    }
}
