//! Disks: what drives them ([`BlockDevice`]), what of them is in memory ([`PageCache`]), and what is on them
//! ([`Volume`]).
//!
//! Nothing here knows a driver or an operating system, and nothing waits but for a disk: whoever reads is a task, and the
//! others go on.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod archive;
mod cache;
mod device;
mod erofs;
mod inspection;
pub mod memory;
mod requests;
#[cfg(test)]
mod testing;
mod volume;

pub use cache::{
    CACHE_METRICS, CacheCounters, CacheEnvironment, CacheLimits, PAGE_BYTES, PageCache, ReadError,
};
pub use device::{BlockDevice, DiskError, Geometry, Pending};
pub use inspection::{DISK_METRICS, DISKS, DiskRow};
pub use requests::{Ask, DiskCounters, Done, Requests};
pub use volume::{Extents, Format, Volume, VolumeError, VolumeFile};
