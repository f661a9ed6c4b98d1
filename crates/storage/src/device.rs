//! Block device: what a disk does, whatever drives it.

use crate::DiskCounters;
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;
use core::pin::Pin;

/// A disk. All requests may be at work at the same time, and are done in any order.
///
/// A request begins when its method is called, and goes on when what it returned is dropped: only its outcome is lost then.
pub trait BlockDevice {
    /// What it is like; that does not change.
    fn geometry(&self) -> Geometry;

    /// Reads `bytes` bytes from the byte `at` on: whole blocks, at most [`request_bytes_max`](Geometry::request_bytes_max).
    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes>;

    /// Writes whole blocks from the byte `at` on, as many as [`read`](Self::read) takes.
    fn write(&self, at: u64, data: Bytes) -> Pending<()>;

    /// What it did since it was opened, as far as that is counted.
    fn counters(&self) -> DiskCounters {
        DiskCounters::default()
    }

    /// What drives it.
    fn driver(&self) -> &'static str;

    /// Has what was written before outlive a loss of power.
    fn flush(&self) -> Pending<()>;
}

/// What comes of a request.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, DiskError>>>>;

/// What a disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How long it is.
    pub capacity_bytes: u64,
    /// What requests begin and end at multiples of: a power of two from 512 to 4096.
    pub block_bytes: usize,
    /// The longest request, in whole blocks.
    pub request_bytes_max: usize,
    /// It takes no writes.
    pub is_read_only: bool,
}

/// Why a request to a disk failed. Others are not touched by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// It is not whole blocks of the disk, or longer than the longest request.
    OutOfRange,
    /// The disk takes no writes.
    ReadOnly,
    /// The disk could not do it, or cannot do such a thing.
    Failed,
    /// The disk gave less than was asked for.
    Short,
    /// The disk is gone, or was stopped since it broke its rules.
    Gone,
    /// Memory is short.
    OutOfMemory,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "it is not on the disk",
            Self::ReadOnly => "the disk takes no writes",
            Self::Failed => "the disk reports an error",
            Self::Short => "the disk gave less than was asked for",
            Self::Gone => "the disk is gone",
            Self::OutOfMemory => "memory is short",
        })
    }
}

impl core::error::Error for DiskError {}

impl Geometry {
    /// Whether a request may be made.
    ///
    /// # Errors
    /// [`DiskError::OutOfRange`].
    pub fn check(&self, at: u64, bytes: usize) -> Result<(), DiskError> {
        let end = at.checked_add(bytes as u64);
        let is_whole = bytes > 0
            && bytes.is_multiple_of(self.block_bytes)
            && at.is_multiple_of(self.block_bytes as u64);
        let fits =
            bytes <= self.request_bytes_max && end.is_some_and(|end| end <= self.capacity_bytes);
        if is_whole && fits { Ok(()) } else { Err(DiskError::OutOfRange) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_whole_blocks_of_the_disk() {
        let geometry = Geometry {
            capacity_bytes: 8192,
            block_bytes: 512,
            request_bytes_max: 4096,
            is_read_only: false,
        };
        for (at, bytes, is_one) in [
            (0, 512, true),
            (4096, 4096, true),
            (7680, 512, true),
            (0, 0, false),
            (0, 511, false),
            (1, 512, false),
            (0, 4608, false),
            (7680, 1024, false),
            (8192, 512, false),
            (u64::MAX - 511, 512, false),
        ] {
            assert_eq!(geometry.check(at, bytes).is_ok(), is_one, "{bytes} bytes at {at}");
        }
    }
}
