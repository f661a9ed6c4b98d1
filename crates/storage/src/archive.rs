//! An archive on a disk: its heads, read one after the other.

use crate::volume::{Extents, Found, SLICE_FILES, VolumeError, VolumeFile, add, version};
use crate::{DiskError, PageCache, ReadError};
use alloc::borrow::ToOwned;
use config::cpio::{CpioError, Entry, Fault, Head, MEMBERS_MAX};
use flow::task::Slices;

/// Whether the disk begins with an archive.
pub(crate) async fn is_one(cache: &PageCache) -> Result<bool, ReadError> {
    const MAGIC: &[u8; 6] = b"070701";
    let mut start = [0; MAGIC.len()];
    match cache.copy(0, &mut start).await {
        Ok(()) => Ok(start == *MAGIC),
        Err(ReadError::Disk(DiskError::OutOfRange)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Its files. What follows its trailer is not looked at.
pub(crate) async fn files(cache: &PageCache) -> Result<Found, VolumeError> {
    let (mut files, mut slices) = (Found::new(), Slices::of(SLICE_FILES));
    let mut bytes = [0; Head::BYTES_MAX];
    let mut at = 0;
    for _ in 0..=MEMBERS_MAX {
        let refuse = |fault| {
            let offset = usize::try_from(at).unwrap_or(usize::MAX);
            VolumeError::Archive(CpioError { offset, fault })
        };
        let left = cache.capacity_bytes().saturating_sub(at);
        let there = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        cache.copy(at, &mut bytes[..there]).await?;
        let Head { entry, next } = Head::parse(&bytes[..there]).map_err(refuse)?;
        match entry {
            Entry::End => return Ok(files),
            Entry::Folder => {}
            Entry::File { path, content_at, content_bytes, mtime, content_hash } => {
                if files.contains_key(path) {
                    return Err(refuse(Fault::Duplicate));
                }
                let content =
                    Extents { at: at + content_at, bytes: content_bytes, ..Extents::default() };
                // The hash is of the content; without one, a change is seen by time, place and length.
                let version = match content_hash {
                    Some(hash) => u64::from(hash) << 32 | content_bytes & 0xffff_ffff,
                    None => version(&[mtime.into(), content.at, content_bytes]),
                };
                let modified_unix_seconds = mtime.into();
                let path = path.to_owned();
                add(&mut files, VolumeFile { path, modified_unix_seconds, version, content })?;
            }
        }
        if next > left {
            return Err(refuse(Fault::Truncated));
        }
        at += next;
        slices.done(1).await;
    }
    Err(VolumeError::TooManyFiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cache, wait};
    use crate::{Format, Volume};
    use alloc::vec::Vec;
    use config::cpio::Writer;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new();
        for (path, bytes) in files {
            writer.file(path, bytes, 1_700_000_000).unwrap();
        }
        writer.finish()
    }

    fn open(disk: &[u8]) -> Result<Volume, VolumeError> {
        let (executor, cache) = cache(disk);
        wait(&executor, Volume::open(cache))
    }

    #[test]
    fn what_a_bundle_has_is_found_and_read() {
        let long = alloc::vec![7; 200_000];
        let disk = archive(&[("site/b", b"second"), ("site/long", &long), ("a", b"")]);
        let (executor, cache) = cache(&disk);
        let volume = wait(&executor, Volume::open(cache)).unwrap();
        assert_eq!(volume.format, Format::Archive);
        let paths: Vec<_> = volume.files.iter().map(|file| &*file.path).collect();
        assert_eq!(paths, ["a", "site/b", "site/long"]);
        let file = volume.get("site/b").unwrap().clone();
        assert_eq!(file.modified_unix_seconds, 1_700_000_000);
        let bundle = config::Bundle::parse(&disk).unwrap();
        let hash = bundle.get("site/b").unwrap().content_hash.unwrap();
        assert_eq!(file.version, u64::from(hash) << 32 | 6, "as of the same file in memory");
        assert_eq!(&disk[file.content.at as usize..][..6], b"second");
        let (file, reader) = (volume.get("site/long").unwrap().clone(), volume.clone());
        let read = async move { reader.read_whole(&file, 200_000).await };
        assert_eq!(wait(&executor, read).unwrap(), long);
        assert_eq!(volume.get("site/none"), None);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let whole = archive(&[("site/a", &[1; 2000]), ("site/b", b"x")]);
        // 110 bytes of header, 7 of name, 3 of padding.
        let second = 120 + 2000;
        let mut damaged = whole.clone();
        damaged[second] = b'x';
        let fault = |disk: &[u8]| match open(disk) {
            Err(VolumeError::Archive(error)) => (error.offset, error.fault),
            other => panic!("{:?}", other.map(|volume| volume.files)),
        };
        assert_eq!(fault(&damaged), (second, Fault::NotNewc));
        // A disk ends with a block: zeros follow.
        assert_eq!(fault(&whole[..1500]), (0, Fault::Truncated));
        assert_eq!(fault(&whole[..second]), (second, Fault::NotNewc));
        assert_eq!(fault(&archive(&[("a", b""), ("a", b"")])).1, Fault::Duplicate);
    }

    #[test]
    fn what_is_no_archive_is_not_taken_for_one() {
        for disk in [&[][..], &[0; 512], &[0; 4096], b"070702"] {
            assert_eq!(open(disk).map(|_| ()), Err(VolumeError::UnknownFormat));
        }
    }
}
