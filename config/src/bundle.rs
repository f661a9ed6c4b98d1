//! Boot bundle: an archive with an index by path.

use crate::cpio::{CpioError, Fault, Member, Reader};
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
        if archive.is_empty() {
            return Ok(Self::default());
        }
        let mut files = Reader::new(archive).collect::<Result<Vec<_>, _>>()?;
        files.sort_unstable_by_key(|file| file.path);
        let duplicate = files.windows(2).find(|pair| matches!(pair, [a, b] if a.path == b.path));
        if let Some([_, second]) = duplicate {
            let offset = (second.path.as_ptr() as usize).saturating_sub(archive.as_ptr() as usize);
            return Err(CpioError { offset, fault: Fault::Duplicate });
        }
        Ok(Self { files, is_given: true, has_site_elsewhere: false })
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
    fn a_path_twice_is_refused() {
        let archive = archive(&["a", "b", "a"]);
        assert_eq!(Bundle::parse(&archive).unwrap_err().fault, Fault::Duplicate);
    }
}
