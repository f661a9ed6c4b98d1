//! Mapping: memory of a file without a name, which another process maps, too.
//!
//! The `vm-memory` crate has the unsafe code: what is in such memory may change at any time, so it is copied, or read and
//! written as atomics.

use rustix::fs::{MemfdFlags, SealFlags};
use shared_ring::{Geometry, SharedMemory};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Memory that is mapped here and in another process.
#[derive(Debug)]
pub struct Mapping(MmapRegion);

/// What no side can change any more. Memory that shrinks would end whoever touches what was there (mmap(2), SIGBUS).
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
/// The file system of memfds whose pages are always there to be had (statfs(2)): those of huge pages are not.
const TMPFS_MAGIC: u64 = 0x0102_1994;

impl Mapping {
    /// Makes memory for rings, and the file by which another process maps it.
    pub(super) fn create(geometry: Geometry) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("aqueduct-rings", flags)?;
        rustix::fs::ftruncate(&file, geometry.bytes() as u64)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        let mapping = Self::of(file.try_clone()?, geometry.bytes())?;
        Ok((mapping, file))
    }

    /// Maps memory that another process made.
    ///
    /// # Errors
    /// It is no memory, or could vanish from under us, or is larger than the largest rings.
    pub(super) fn open(file: OwnedFd) -> io::Result<Self> {
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        // What is no memfd has no seals to be asked for.
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(SealFlags::SHRINK) {
            return refused("the memory is not sealed against shrinking");
        }
        if rustix::fs::fstatfs(&file)?.f_type as u64 != TMPFS_MAGIC {
            return refused("the memory is of huge pages, or of none");
        }
        let bytes_max = Geometry::within(usize::MAX).bytes();
        match usize::try_from(rustix::fs::fstat(&file)?.st_size) {
            Ok(bytes) if (1..=bytes_max).contains(&bytes) => Self::of(file, bytes),
            _ => refused("the memory has a size that no rings have"),
        }
    }

    fn of(file: OwnedFd, bytes: usize) -> io::Result<Self> {
        let file = FileOffset::new(File::from(file), 0);
        MmapRegion::from_file(file, bytes).map(Self).map_err(io::Error::other)
    }

    /// A word. Callers stay within the memory, and words are aligned.
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.0.get_atomic_ref(offset).expect("an aligned word of the memory")
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        self.0.get_atomic_ref(offset).expect("a byte of the memory")
    }
}

impl SharedMemory for Mapping {
    fn bytes(&self) -> usize {
        self.0.size()
    }

    fn load_word(&self, offset: usize) -> u32 {
        u32::from_le(self.word(offset).load(Ordering::Acquire))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.word(offset).store(word.to_le(), Ordering::Release);
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.byte(offset).load(Ordering::Acquire)
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.byte(offset).store(byte, Ordering::Release);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.byte(offset).fetch_or(bits, Ordering::SeqCst);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.byte(offset).fetch_and(!bits, Ordering::SeqCst)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let from = self.0.get_slice(offset, into.len()).expect("a part of the memory");
        from.copy_to(into);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let into = self.0.get_slice(offset, bytes.len()).expect("a part of the memory");
        into.copy_from(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memfd(bytes: u64, seals: SealFlags) -> OwnedFd {
        let file = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, bytes).unwrap();
        rustix::fs::fcntl_add_seals(&file, seals).unwrap();
        file
    }

    #[test]
    fn memory_that_could_shrink_is_refused() {
        assert!(Mapping::open(memfd(8192, SEALS)).is_ok());
        assert!(Mapping::open(memfd(8192, SealFlags::SHRINK)).is_ok());
        let refused = Mapping::open(memfd(8192, SealFlags::GROW)).unwrap_err();
        assert!(refused.to_string().contains("not sealed"), "{refused}");
    }

    #[test]
    fn what_is_no_memory_is_refused() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(Mapping::open(file.into()).is_err());
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Mapping::open(socket.into()).is_err());
    }

    #[test]
    fn memory_is_as_large_as_rings_are() {
        let bytes_max = Geometry::new(20, 20).unwrap().bytes() as u64;
        assert!(Mapping::open(memfd(bytes_max, SEALS)).is_ok());
        for bytes in [0, bytes_max + 1, 1 << 40] {
            let refused = Mapping::open(memfd(bytes, SEALS)).unwrap_err();
            assert!(refused.to_string().contains("size"), "{refused}");
        }
    }

    #[test]
    fn both_mappings_are_the_same_memory_and_its_size_is_for_good() {
        let geometry = Geometry::new(12, 12).unwrap();
        let (one, file) = Mapping::create(geometry).unwrap();
        assert!(rustix::fs::ftruncate(&file, 4096).is_err());
        let other = Mapping::open(file).unwrap();
        assert_eq!((one.bytes(), other.bytes()), (geometry.bytes(), geometry.bytes()));
        one.store_word(8, 0x0403_0201);
        let mut seen = [0; 6];
        other.copy_out(7, &mut seen);
        assert_eq!(seen, [0, 1, 2, 3, 4, 0]);
        other.copy_in(12287, b"x");
        assert_eq!(one.load_byte(12287), b'x');
        one.set_bits(12287, 1);
        assert_eq!(other.clear_bits(12287, 8), b'x' | 1);
        assert_eq!(one.load_byte(12287), (b'x' | 1) & !8);
    }
}
