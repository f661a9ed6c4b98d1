//! Boot bundle: an archive with an index by path.

use crate::cpio::{CpioError, Fault, Member, Reader};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A file of the bundle: path, bytes in place, time, inode number.
pub type File<'a> = Member<'a>;

/// The files of a boot module, sorted by path. Holds no copy of their bytes.
#[derive(Clone, Debug, Default)]
pub struct Bundle<'a> {
    files: Vec<File<'a>>,
    /// Whether there was an archive at all.
    is_given: bool,
    has_site_elsewhere: bool,
}

impl<'a> Bundle<'a> {
    /// Reads the index of an archive. No bytes at all are an empty bundle: a machine without a boot module
    /// starts with the defaults.
    ///
    /// # Errors
    /// A damaged archive, or one with a path twice.
    pub fn parse(archive: &'a [u8]) -> Result<Self, CpioError> {
        let mut index = Index::of(archive);
        while index.read_next()? {}
        Ok(index.finish())
    }

    /// Whether there was an archive, with or without files in it; false for a machine without a boot module.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.is_given
    }

    /// The same files, of a bundle whose site is not in memory: that it is not among them is no mistake.
    #[must_use]
    pub fn with_site_elsewhere(self) -> Self {
        Self { has_site_elsewhere: true, ..self }
    }

    pub(crate) fn has_site_elsewhere(&self) -> bool {
        self.has_site_elsewhere
    }

    /// The file of that path, as `site/index.html`: a binary search.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&File<'a>> {
        let index = self.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        self.files.get(index)
    }

    /// All files, sorted by path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &File<'a>> {
        self.files.iter()
    }
}

/// A bundle whose index is being read, file by file: for who has other work in between.
pub struct Index<'a> {
    archive: &'a [u8],
    reader: Reader<'a>,
    /// In the order of their paths, as archives usually are.
    sorted: Vec<File<'a>>,
    /// Those that came behind a path that is greater.
    others: BTreeMap<&'a str, File<'a>>,
}

impl<'a> Index<'a> {
    /// Nothing has been read yet.
    #[must_use]
    pub fn of(archive: &'a [u8]) -> Self {
        let reader = Reader::new(archive);
        Self { archive, reader, sorted: Vec::new(), others: BTreeMap::new() }
    }

    /// Reads the next file, and says whether there was one.
    ///
    /// # Errors
    /// As of [`Bundle::parse`].
    pub fn read_next(&mut self) -> Result<bool, CpioError> {
        if self.archive.is_empty() {
            return Ok(false);
        }
        let Some(file) = self.reader.next().transpose()? else { return Ok(false) };
        let path = file.path;
        // All others are in front of the last of these.
        let is_duplicate = if self.sorted.last().is_none_or(|last| last.path < path) {
            self.sorted.push(file);
            false
        } else {
            self.sorted.binary_search_by(|other| other.path.cmp(path)).is_ok()
                || self.others.insert(path, file).is_some()
        };
        if is_duplicate {
            let offset = (path.as_ptr() as usize).saturating_sub(self.archive.as_ptr() as usize);
            return Err(CpioError { offset, fault: Fault::Duplicate });
        }
        Ok(true)
    }

    /// The bundle of all that was read.
    #[must_use]
    pub fn finish(self) -> Bundle<'a> {
        let Self { archive, sorted, others, .. } = self;
        let mut files = sorted;
        if !others.is_empty() {
            let mut others = others.into_values().peekable();
            let mut merged = Vec::with_capacity(files.len() + others.len());
            for file in files {
                while let Some(other) = others.next_if(|other| other.path < file.path) {
                    merged.push(other);
                }
                merged.push(file);
            }
            merged.extend(others);
            files = merged;
        }
        Bundle { files, is_given: !archive.is_empty(), has_site_elsewhere: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio::Writer;

    fn archive(paths: &[&str]) -> Vec<u8> {
        let mut writer = Writer::new();
        for path in paths {
            writer.file(path, path.as_bytes(), 1).unwrap();
        }
        writer.finish()
    }

    #[test]
    fn files_are_found_whatever_their_order() {
        let archive = archive(&["site/z", "appliance.toml", "site/a/b", "site/a"]);
        let bundle = Bundle::parse(&archive).unwrap();
        for path in ["site/z", "appliance.toml", "site/a/b", "site/a"] {
            assert_eq!(bundle.get(path).unwrap().bytes, path.as_bytes());
        }
        assert!(
            bundle.get("site").is_none() && bundle.get("").is_none() && bundle.get("zz").is_none()
        );
        assert!(bundle.files().map(|file| file.path).is_sorted());
        assert_eq!(bundle.files().len(), 4);
    }

    #[test]
    fn no_module_is_an_empty_bundle() {
        assert_eq!(Bundle::parse(&[]).unwrap().files().len(), 0);
        assert!(Bundle::parse(&[0; 4096]).is_err());
    }

    #[test]
    fn a_path_twice_is_refused_whatever_the_order() {
        for paths in [
            &["a", "b", "a"][..],
            &["a", "a"],
            &["b", "a", "a"],
            &["c", "b", "d", "b"],
            &["a", "c", "b", "c"],
        ] {
            let archive = archive(paths);
            let error = Bundle::parse(&archive).unwrap_err();
            assert_eq!(error.fault, Fault::Duplicate, "{paths:?}");
            // The later of the two is the one too many.
            let last = paths.last().unwrap();
            assert!(archive[error.offset..].starts_with(last.as_bytes()), "{paths:?}");
        }
    }
}
