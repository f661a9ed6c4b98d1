//! EROFS, the read-only file system of Linux's images: its folders and where its files lie.
//!
//! Of the format (Linux: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h) this is what `mkfs.erofs` makes without
//! compression: each file is a run of blocks, of which the last may be kept beside the file's inode. What it makes besides
//! is refused by name, and links are left out. All numbers are little-endian.

use crate::volume::{Extents, Found, SLICE_FILES, VolumeError, VolumeFile, add, version};
use crate::{DiskError, PageCache, ReadError};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use config::cpio::{MEMBERS_MAX, PATH_BYTES_MAX};
use flow::task::Slices;

/// Whether the disk begins with this file system.
pub(crate) async fn is_one(cache: &PageCache) -> Result<bool, ReadError> {
    let mut magic = [0; 4];
    match cache.copy(SUPER_BLOCK_AT, &mut magic).await {
        Ok(()) => Ok(u32::from_le_bytes(magic) == MAGIC),
        Err(ReadError::Disk(DiskError::OutOfRange)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All regular files below its root.
pub(crate) async fn files(cache: &PageCache) -> Result<Found, VolumeError> {
    let mut bytes = [0; SUPER_BLOCK_BYTES];
    cache.copy(SUPER_BLOCK_AT, &mut bytes).await?;
    let super_block = SuperBlock::parse(&bytes)?;
    if super_block.has_checksum {
        let mut rest = vec![0; super_block.checked_bytes()];
        cache.copy(SUPER_BLOCK_AT, &mut rest).await?;
        super_block.check(rest)?;
    }
    let mut walk = Walk {
        cache,
        super_block,
        files: Found::new(),
        folders: Vec::new(),
        left_out: 0,
        slices: Slices::of(SLICE_FILES),
    };
    walk.folders.push((String::new(), walk.super_block.root));
    let mut folders = 0;
    while let Some((path, inode)) = walk.folders.pop() {
        folders += 1;
        // A folder that is in itself would have no end.
        if folders > MEMBERS_MAX {
            return Err(VolumeError::FileSystem("more than 65536 folders"));
        }
        walk.folder(&path, inode).await?;
    }
    if walk.left_out > 0 {
        log::warn!(
            "disk: {} links, devices, and names that are not text are left out",
            walk.left_out
        );
    }
    Ok(walk.files)
}

struct Walk<'a> {
    cache: &'a PageCache,
    super_block: SuperBlock,
    files: Found,
    slices: Slices,
    /// Folders that have not been looked at: path, inode.
    folders: Vec<(String, u64)>,
    left_out: usize,
}

#[derive(Clone, Copy)]
struct SuperBlock {
    block_bytes: u64,
    root: u64,
    inodes_at: u64,
    /// What versions of the whole file system are told apart by.
    identity: u64,
    made_unix_seconds: u64,
    checksum: u32,
    has_checksum: bool,
}

struct Inode {
    kind: Kind,
    content: Extents,
    modified_unix_seconds: u64,
    modified_nanoseconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Other,
}

impl Walk<'_> {
    /// Looks at all that is in a folder.
    async fn folder(&mut self, path: &str, number: u64) -> Result<(), VolumeError> {
        let inode = self.inode(number).await?;
        if inode.kind != Kind::Folder {
            return Err(VolumeError::FileSystem("a folder that is none"));
        }
        let mut offset = 0;
        let mut block = vec![0; self.super_block.block_bytes as usize];
        while offset < inode.content.len() {
            let bytes = (inode.content.len() - offset).min(self.super_block.block_bytes);
            let block = &mut block[..bytes as usize];
            let (at, there) = inode.content.place(offset).ok_or(CORRUPT_FOLDER)?;
            if there < bytes {
                return Err(CORRUPT_FOLDER);
            }
            self.cache.copy(at, block).await?;
            for (name, number) in entries(block)? {
                self.entry(path, name, number).await?;
                self.slices.done(1).await;
            }
            offset += bytes;
        }
        Ok(())
    }

    async fn entry(&mut self, folder: &str, name: &[u8], number: u64) -> Result<(), VolumeError> {
        if matches!(name, b"." | b"..") {
            return Ok(());
        }
        let path = core::str::from_utf8(name).ok().map(|name| match folder {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        });
        let Some(path) = path.filter(|path| path.len() <= PATH_BYTES_MAX) else {
            self.left_out += 1;
            return Ok(());
        };
        let inode = self.inode(number).await?;
        match inode.kind {
            Kind::Folder if self.folders.len() < MEMBERS_MAX => self.folders.push((path, number)),
            Kind::Folder => return Err(VolumeError::FileSystem("more than 65536 folders")),
            Kind::Other => self.left_out += 1,
            Kind::File => {
                let Inode { content, modified_unix_seconds, modified_nanoseconds, .. } = inode;
                let version = version(&[
                    self.super_block.identity,
                    number,
                    content.len(),
                    modified_unix_seconds,
                    modified_nanoseconds,
                ]);
                let file = VolumeFile { path, modified_unix_seconds, version, content };
                add(&mut self.files, file)?;
            }
        }
        Ok(())
    }

    async fn inode(&self, number: u64) -> Result<Inode, VolumeError> {
        let at = number
            .checked_mul(INODE_ALIGN)
            .and_then(|offset| offset.checked_add(self.super_block.inodes_at))
            .ok_or(CORRUPT_INODE)?;
        let mut bytes = [0; INODE_BYTES_MAX];
        let (compact, rest) = bytes.split_at_mut(INODE_BYTES_COMPACT);
        self.cache.copy(at, compact).await?;
        if u16_at(compact, 0) & 1 != 0 {
            self.cache.copy(at + INODE_BYTES_COMPACT as u64, rest).await?;
        }
        self.super_block.inode(&bytes, at)
    }
}

impl SuperBlock {
    fn parse(bytes: &[u8; SUPER_BLOCK_BYTES]) -> Result<Self, VolumeError> {
        // Zero padding, compression by file, chunks by file, packed tails and fragments, prefixes of attributes: they change
        // nothing of files that have none of it.
        const KNOWN_FEATURES: u32 = 0x1 | 0x2 | 0x4 | 0x10 | 0x20 | 0x40;
        // Of the features that a reader need not know.
        const HAS_CHECKSUM: u32 = 0x1;
        let block_bits = bytes[12];
        if !(9..=16).contains(&block_bits) {
            return Err(VolumeError::FileSystem("blocks that are not of 512 bytes to 64 KiB"));
        }
        if u32_at(bytes, 80) & !KNOWN_FEATURES != 0 {
            return Err(VolumeError::FileSystem("features that are not known here"));
        }
        if bytes[90] != 0 {
            return Err(VolumeError::FileSystem("folders with blocks of their own size"));
        }
        let block_bytes = 1 << block_bits;
        let (uuid, checksum) = ([u64_at(bytes, 48), u64_at(bytes, 56)], u32_at(bytes, 4));
        Ok(Self {
            block_bytes,
            root: u16_at(bytes, 14).into(),
            inodes_at: u64::from(u32_at(bytes, 40)) * block_bytes,
            identity: version(&[uuid[0], uuid[1], checksum.into(), u64_at(bytes, 24)]),
            made_unix_seconds: u64_at(bytes, 24),
            checksum,
            has_checksum: u32_at(bytes, 8) & HAS_CHECKSUM != 0,
        })
    }

    /// From the super block to the end of its block.
    fn checked_bytes(&self) -> usize {
        match self.block_bytes.checked_sub(SUPER_BLOCK_AT) {
            None | Some(0) => self.block_bytes as usize,
            Some(rest) => rest as usize,
        }
    }

    /// CRC-32C of these, with nothing where the checksum is, and without the inversion at its end.
    fn check(&self, mut bytes: Vec<u8>) -> Result<(), VolumeError> {
        if let Some(checksum) = bytes.get_mut(4..8) {
            checksum.fill(0);
        }
        if !CRC_32C.checksum(&bytes) != self.checksum {
            return Err(VolumeError::FileSystem("a damaged super block: its checksum is another"));
        }
        Ok(())
    }

    /// The inode of these bytes, which begin at `at`.
    fn inode(&self, bytes: &[u8; INODE_BYTES_MAX], at: u64) -> Result<Inode, VolumeError> {
        let format = u16_at(bytes, 0);
        let is_extended = format & 1 != 0;
        let kind = match u16_at(bytes, 4) & MODE_TYPE {
            MODE_FILE => Kind::File,
            MODE_FOLDER => Kind::Folder,
            _ => Kind::Other,
        };
        let (inode_bytes, size) = if is_extended {
            (INODE_BYTES_MAX, u64_at(bytes, 8))
        } else {
            (INODE_BYTES_COMPACT, u32_at(bytes, 8).into())
        };
        let attributes_bytes = match u16_at(bytes, 2) {
            0 => 0,
            count => 12 + 4 * (u64::from(count) - 1),
        };
        let (modified_unix_seconds, modified_nanoseconds) = if is_extended {
            (u64_at(bytes, 32), u32_at(bytes, 40).into())
        } else {
            (self.made_unix_seconds.wrapping_add(u32_at(bytes, 12).into()), 0)
        };
        let tail_at = at + inode_bytes as u64 + attributes_bytes;
        let content = match kind {
            Kind::Other => Extents::default(),
            Kind::File | Kind::Folder => {
                self.content(format >> 1 & 7, size, u32_at(bytes, 16), tail_at)?
            }
        };
        Ok(Inode { kind, content, modified_unix_seconds, modified_nanoseconds })
    }

    fn content(
        &self,
        layout: u16,
        size: u64,
        first_block: u32,
        tail_at: u64,
    ) -> Result<Extents, VolumeError> {
        const FLAT_PLAIN: u16 = 0;
        const FLAT_INLINE: u16 = 2;
        const CHUNK_BASED: u16 = 4;
        // No disk is as long, and sums of places do not overflow.
        if size > i64::MAX as u64 {
            return Err(CORRUPT_INODE);
        }
        let at = u64::from(first_block) * self.block_bytes;
        match layout {
            FLAT_PLAIN => Ok(Extents { at, bytes: size, ..Extents::default() }),
            FLAT_INLINE => {
                let tail_bytes = size % self.block_bytes;
                // It does not cross the end of a block.
                if tail_at % self.block_bytes + tail_bytes > self.block_bytes {
                    return Err(CORRUPT_INODE);
                }
                Ok(Extents { at, bytes: size - tail_bytes, tail_at, tail_bytes })
            }
            CHUNK_BASED => Err(VolumeError::FileSystem(
                "files in chunks, which are not read here; make it without --chunksize",
            )),
            _ => Err(VolumeError::FileSystem(
                "compressed files, which are not read here; make it without -z",
            )),
        }
    }
}

/// The entries of a folder's block: names, which are not empty and have no slash, and inodes.
fn entries(block: &[u8]) -> Result<impl Iterator<Item = (&[u8], u64)>, VolumeError> {
    const ENTRY_BYTES: usize = 12;
    let name_at = |index: usize| {
        block.get(index * ENTRY_BYTES + 8..)?.first_chunk().copied().map(u16::from_le_bytes)
    };
    let names_at = usize::from(name_at(0).ok_or(CORRUPT_FOLDER)?);
    let count = names_at / ENTRY_BYTES;
    if count == 0 || !names_at.is_multiple_of(ENTRY_BYTES) || names_at > block.len() {
        return Err(CORRUPT_FOLDER);
    }
    let mut found = Vec::with_capacity(count);
    for index in 0..count {
        let from = usize::from(name_at(index).ok_or(CORRUPT_FOLDER)?);
        let to = if index + 1 < count { name_at(index + 1).map(usize::from) } else { None };
        let name = block.get(from..to.unwrap_or(block.len())).ok_or(CORRUPT_FOLDER)?;
        // The last one may be followed by zeros.
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if from < names_at || name.is_empty() || name.contains(&b'/') {
            return Err(CORRUPT_FOLDER);
        }
        found.push((name, u64_at(block, index * ENTRY_BYTES)));
    }
    Ok(found.into_iter())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

const CORRUPT_FOLDER: VolumeError = VolumeError::FileSystem("a damaged folder");
const CORRUPT_INODE: VolumeError = VolumeError::FileSystem("a damaged inode");
const MAGIC: u32 = 0xe0f5_e1e2;
const CRC_32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
const SUPER_BLOCK_AT: u64 = 1024;
const SUPER_BLOCK_BYTES: usize = 128;
/// What inodes are numbered by.
const INODE_ALIGN: u64 = 32;
const INODE_BYTES_COMPACT: usize = 32;
const INODE_BYTES_MAX: usize = 64;
const MODE_TYPE: u16 = 0o170_000;
const MODE_FILE: u16 = 0o100_000;
const MODE_FOLDER: u16 = 0o040_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cache, wait};
    use crate::{Format, Volume};

    const BLOCK: usize = 4096;
    /// Inodes are in block 1, folders in block 2, content from block 3 on.
    const ROOT: u64 = 2;

    /// A file system, part by part.
    struct Image(Vec<u8>);

    impl Image {
        fn new() -> Self {
            let mut image = Self(vec![0; 8 * BLOCK]);
            image.put(1024, &MAGIC.to_le_bytes());
            image.put(1024 + 12, &[12]);
            image.put(1024 + 14, &[ROOT as u8]);
            image.put(1024 + 24, &1_700_000_000_u64.to_le_bytes());
            image.put(1024 + 40, &1_u32.to_le_bytes());
            image
        }

        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn inode(&mut self, number: u64, layout: u16, mode: u16, size: u32, block: u32) {
            let at = BLOCK + 32 * number as usize;
            self.put(at, &(layout << 1).to_le_bytes());
            self.put(at + 4, &mode.to_le_bytes());
            self.put(at + 8, &size.to_le_bytes());
            self.put(at + 16, &block.to_le_bytes());
        }

        /// A folder of these entries in one block.
        fn folder(&mut self, number: u64, block: u32, entries: &[(&[u8], u64)]) {
            let mut names = Vec::new();
            for (index, (name, inode)) in entries.iter().enumerate() {
                let at = block as usize * BLOCK + 12 * index;
                let name_at = 12 * entries.len() + names.len();
                self.put(at, &inode.to_le_bytes());
                self.put(at + 8, &(name_at as u16).to_le_bytes());
                names.extend_from_slice(name);
            }
            self.put(block as usize * BLOCK + 12 * entries.len(), &names);
            let size = 12 * entries.len() + names.len();
            self.inode(number, 0, MODE_FOLDER, size as u32, block);
        }

        fn sample() -> Self {
            let mut image = Self::new();
            image.folder(ROOT, 2, &[(b".", 2), (b"..", 2), (b"a", 4), (b"b", 6), (b"link", 10)]);
            image.inode(4, 0, MODE_FILE, 5000, 4);
            image.inode(10, 0, 0o120_000, 3, 0);
            image.folder(6, 3, &[(b"c", 8)]);
            // A block, and ten bytes beside the inode, behind attributes of 12 bytes.
            image.inode(8, 2, MODE_FILE, 4096 + 10, 6);
            image.put(BLOCK + 32 * 8 + 2, &[1]);
            image
        }

        fn open(&self) -> Result<Volume, VolumeError> {
            let (executor, cache) = cache(&self.0);
            wait(&executor, Volume::open(cache))
        }

        fn refusal(&self) -> &'static str {
            match self.open() {
                Err(VolumeError::FileSystem(reason)) => reason,
                other => panic!("{:?}", other.map(|volume| volume.files)),
            }
        }
    }

    #[test]
    fn files_are_where_their_inodes_say() {
        let volume = Image::sample().open().unwrap();
        assert_eq!(volume.format, Format::Erofs);
        let files: Vec<_> = volume.files.iter().map(|file| (&*file.path, file.content)).collect();
        let a = Extents { at: 4 * 4096, bytes: 5000, ..Extents::default() };
        let tail_at = 4096 + 32 * 8 + 32 + 12;
        let c = Extents { at: 6 * 4096, bytes: 4096, tail_at, tail_bytes: 10 };
        assert_eq!(files, [("a", a), ("b/c", c)]);
        assert_eq!(volume.files[0].modified_unix_seconds, 1_700_000_000);
        assert_ne!(volume.files[0].version, volume.files[1].version);
    }

    #[test]
    fn a_file_is_its_body_and_its_tail() {
        let extents = Extents { at: 100, bytes: 10, tail_at: 500, tail_bytes: 3 };
        assert_eq!(extents.len(), 13);
        for (offset, place) in [
            (0, Some((100, 10))),
            (9, Some((109, 1))),
            (10, Some((500, 3))),
            (12, Some((502, 1))),
            (13, None),
            (u64::MAX, None),
        ] {
            assert_eq!(extents.place(offset), place, "{offset}");
        }
    }

    #[test]
    fn another_file_system_has_other_versions() {
        let before = Image::sample().open().unwrap();
        let mut image = Image::sample();
        image.put(1024 + 48, &[1]);
        let after = image.open().unwrap();
        assert_ne!(before.files[0].version, after.files[0].version);
        let mut image = Image::sample();
        image.inode(4, 0, MODE_FILE, 5001, 4);
        assert_ne!(before.files[0].version, image.open().unwrap().files[0].version);
    }

    #[test]
    fn what_is_not_read_here_is_named() {
        for (layout, words) in [(1, "without -z"), (3, "without -z"), (4, "without --chunksize")] {
            let mut image = Image::sample();
            image.inode(4, layout, MODE_FILE, 5000, 4);
            assert!(image.refusal().contains(words), "{layout}");
        }
        for (at, value) in [(80, 0x80), (12, 8), (12, 17), (90, 1)] {
            let mut image = Image::sample();
            image.put(1024 + at, &[value]);
            image.refusal();
        }
    }

    #[test]
    fn folders_and_inodes_that_are_damaged_are_refused() {
        let folder = 2 * BLOCK;
        let damages: [(&str, usize, &[u8]); 7] = [
            ("no names", folder + 8, &[0, 0]),
            ("names between entries", folder + 8, &[61, 0]),
            ("names beyond the block", folder + 8, &[0xfc, 0x0f]),
            ("a name inside the entries", folder + 12 + 8, &[3, 0]),
            ("names that go back", folder + 24 + 8, &[60, 0]),
            ("a slash", folder + 60 + 3, b"/"),
            ("a root that is a file", BLOCK + 32 * 2 + 4, &MODE_FILE.to_le_bytes()),
        ];
        for (damage, at, bytes) in damages {
            let mut image = Image::sample();
            image.put(at, bytes);
            assert!(image.refusal().starts_with("a "), "{damage}");
        }
        let mut image = Image::sample();
        // A tail that crosses the end of its block.
        image.inode(8, 2, MODE_FILE, 4096 + 4000, 6);
        assert_eq!(image.refusal(), "a damaged inode");
    }

    #[test]
    fn an_inode_beyond_the_disk_is_an_error() {
        let mut image = Image::sample();
        for number in [1 << 20, u64::MAX, u64::MAX / 32] {
            image.folder(6, 3, &[(b"c", number)]);
            assert!(image.open().is_err(), "{number}");
        }
    }

    /// It has no end, but for the bounds of paths and of folders.
    #[test]
    fn a_folder_in_itself_ends() {
        let mut image = Image::new();
        image.folder(ROOT, 2, &[(b"again", 2), (b"once more", 2)]);
        image.open().map(|_| ()).unwrap_err();
        let mut image = Image::new();
        image.folder(ROOT, 2, &[(b"again", 2)]);
        assert_eq!(image.open().unwrap().files, []);
    }

    /// Whatever a byte says, nothing panics.
    #[test]
    fn each_byte_may_be_any() {
        let image = Image::sample();
        let interesting =
            (1024..1024 + 128).chain(BLOCK..BLOCK + 400).chain(2 * BLOCK..2 * BLOCK + 80);
        for at in interesting {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut image = Image(image.0.clone());
                image.put(at, &[value]);
                drop(image.open());
            }
        }
    }

    /// As fs/erofs/super.c computes it: bit by bit, from all ones, without inversion at the end.
    fn crc_32c(bytes: &[u8]) -> u32 {
        bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                crc >> 1 ^ if crc & 1 == 0 { 0 } else { 0x82f6_3b78 }
            })
        })
    }

    #[test]
    fn a_super_block_with_a_checksum_is_as_it_was_made() {
        let mut image = Image::sample();
        image.put(1024 + 8, &1_u32.to_le_bytes());
        let checksum = crc_32c(&image.0[1024..BLOCK]);
        image.put(1024 + 4, &checksum.to_le_bytes());
        assert!(image.open().is_ok());
        // The checksum itself, the UUID, and the last byte of the block.
        for at in [4, 48, BLOCK - 1024 - 1] {
            image.0[1024 + at] ^= 1;
            assert!(image.refusal().contains("checksum"), "{at}");
            image.0[1024 + at] ^= 1;
        }
        // Without the feature there is none.
        image.0[BLOCK - 1] ^= 1;
        image.put(1024 + 8, &0_u32.to_le_bytes());
        assert!(image.open().is_ok());
    }

    #[test]
    fn a_disk_that_was_cut_is_refused_or_has_its_files_where_they_were() {
        let image = Image::sample();
        for blocks in 0..8 {
            let cut = Image(image.0[..blocks * BLOCK].to_vec());
            match cut.open() {
                Ok(volume) => assert_eq!(volume.files.len(), 2),
                Err(error) => assert!(blocks < 4, "{blocks}: {error}"),
            }
        }
    }
}
