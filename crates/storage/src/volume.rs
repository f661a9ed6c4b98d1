//! Volume: the files of a disk, and where on it their content lies.
//!
//! All heads are read once, when it is opened, so that what a path names is known without the disk. Content is read when it
//! is wanted. Two formats say which bytes of the disk a file is, so that pages are lent as they are:
//! an [archive](config::cpio), as bundles are, and [EROFS](crate::erofs) without compression.

use crate::{PageCache, ReadError, archive, erofs};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use config::cpio::{CpioError, MEMBERS_MAX};
use core::fmt;

/// The files of a disk.
#[derive(Clone)]
pub struct Volume {
    /// What is on it.
    pub format: Format,
    /// Regular files in order of their paths, of which none is there twice.
    pub files: Vec<VolumeFile>,
    cache: PageCache,
}

/// What a disk is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A newc cpio archive.
    Archive,
    /// The read-only file system EROFS.
    Erofs,
}

/// A file of a [`Volume`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative, no empty and no dotted parts.
    pub path: String,
    /// When it last changed, in seconds since 1970-01-01T00:00:00Z.
    pub modified_unix_seconds: u64,
    /// Tells versions of its content apart.
    pub version: u64,
    /// Where it lies.
    pub content: Extents,
}

/// Where the content of a file lies: one run of bytes, of which the end may be elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// Where the body begins on the disk.
    pub at: u64,
    /// How long it is.
    pub bytes: u64,
    /// Where the tail, that follows it, begins on the disk.
    pub tail_at: u64,
    /// How long that is.
    pub tail_bytes: u64,
}

/// Why a disk cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeError {
    /// It cannot be read.
    Read(ReadError),
    /// It is written in nothing that is known here.
    UnknownFormat,
    /// It has a damaged archive, or one that is not served.
    Archive(CpioError),
    /// It has a damaged file system, or one that uses what is not read here, which is named.
    FileSystem(&'static str),
    /// It has more files than [`MEMBERS_MAX`].
    TooManyFiles,
}

impl Volume {
    /// Reads what is where.
    ///
    /// # Errors
    /// The disk cannot be used: see [`VolumeError`].
    pub async fn open(cache: PageCache) -> Result<Self, VolumeError> {
        let (format, files) = if archive::is_one(&cache).await? {
            (Format::Archive, archive::files(&cache).await?)
        } else if erofs::is_one(&cache).await? {
            (Format::Erofs, erofs::files(&cache).await?)
        } else {
            return Err(VolumeError::UnknownFormat);
        };
        let files = files.into_values().collect();
        Ok(Self { format, files, cache })
    }

    /// The file of that path: a binary search.
    pub fn get(&self, path: &str) -> Option<&VolumeFile> {
        let at = self.files.binary_search_by(|file| (*file.path).cmp(path)).ok()?;
        self.files.get(at)
    }

    /// The same with another cache of the same disk.
    #[must_use]
    pub fn with_cache(self, cache: PageCache) -> Self {
        Self { cache, ..self }
    }

    /// What of the disk is in memory.
    pub fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// The whole of a file, for those that are needed at once.
    ///
    /// # Errors
    /// It cannot be read, or is longer than `bytes_max`.
    pub async fn read_whole(
        &self,
        file: &VolumeFile,
        bytes_max: usize,
    ) -> Result<Vec<u8>, VolumeError> {
        let bytes = usize::try_from(file.content.len()).ok().filter(|&bytes| bytes <= bytes_max);
        let mut whole =
            alloc::vec![0; bytes.ok_or(VolumeError::FileSystem("a file that is too long"))?];
        let (body, tail) = whole.split_at_mut(file.content.bytes as usize);
        self.cache.copy(file.content.at, body).await?;
        self.cache.copy(file.content.tail_at, tail).await?;
        Ok(whole)
    }
}

impl Extents {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.bytes + self.tail_bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the disk where the byte `offset` of the file lies, and how many follow it there; none at its end.
    pub fn place(&self, offset: u64) -> Option<(u64, u64)> {
        match offset.checked_sub(self.bytes) {
            None => Some((self.at + offset, self.bytes - offset)),
            Some(beyond) if beyond < self.tail_bytes => {
                Some((self.tail_at + beyond, self.tail_bytes - beyond))
            }
            Some(_) => None,
        }
    }

    /// Reads from the byte `offset` of the file on: at least one byte and at most `bytes_max`, as many as lie in one page.
    ///
    /// # Errors
    /// As of [`PageCache::read`]; out of range at the end of the file.
    pub async fn read(
        &self,
        cache: &PageCache,
        offset: u64,
        bytes_max: u64,
    ) -> Result<Bytes, ReadError> {
        let (at, bytes) = self.place(offset).ok_or(crate::DiskError::OutOfRange)?;
        cache.read(at, usize::try_from(bytes.min(bytes_max)).unwrap_or(usize::MAX)).await
    }

    /// The same, if it is in memory.
    pub fn cached(&self, cache: &PageCache, offset: u64, bytes_max: u64) -> Option<Bytes> {
        let (at, bytes) = self.place(offset)?;
        cache.cached(at, usize::try_from(bytes.min(bytes_max)).unwrap_or(usize::MAX))
    }
}

/// Files by their paths: in order as they are found, since to sort tens of thousands at the end would keep others waiting.
pub(crate) type Found = BTreeMap<String, VolumeFile>;

/// Files after which others have their turn.
pub(crate) const SLICE_FILES: usize = 256;

/// Adds a file, if there is room for it.
pub(crate) fn add(files: &mut Found, file: VolumeFile) -> Result<(), VolumeError> {
    if files.len() == MEMBERS_MAX {
        return Err(VolumeError::TooManyFiles);
    }
    files.insert(file.path.clone(), file);
    Ok(())
}

/// FNV-1a, 64 bits, of some numbers.
pub(crate) fn version(numbers: &[u64]) -> u64 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl From<ReadError> for VolumeError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::UnknownFormat => f.write_str(
                "it begins with neither an archive (`cargo xtask bundle DIR --out FILE` makes one) nor EROFS (mkfs.erofs)",
            ),
            Self::Archive(error) => error.fmt(f),
            Self::FileSystem(reason) => write!(f, "its file system has {reason}"),
            Self::TooManyFiles => write!(f, "it has more than {MEMBERS_MAX} files"),
        }
    }
}

impl core::error::Error for VolumeError {}
