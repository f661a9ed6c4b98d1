//! The site as a table of settings: `site` is its version and its paths, a line each; `site/PATH` is a file.

use crate::live_site::{Files, LiveSite};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use capnp::Error;
use config::cpio::PATH_BYTES_MAX;
use core::cell::Cell;
use endpoints::rpc::network::{Conf, Watch};

/// The key of the list, and what is before the paths of files.
pub(crate) const LIST: &str = "site";
const FOLDER: &str = "site/";
/// Files that a site may have that somebody writes: each write makes a new list of them.
const FILES_MAX: usize = 10_000;

/// The table. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SiteConf {
    site: Rc<LiveSite>,
    /// What writers may make of the site; none may write.
    bytes_max: Option<usize>,
}

impl SiteConf {
    pub(crate) fn read_only(site: &Rc<LiveSite>) -> Self {
        Self { site: site.clone(), bytes_max: None }
    }

    /// Which writers may fill with so many bytes.
    pub(crate) fn writable(site: &Rc<LiveSite>, bytes_max: usize) -> Self {
        Self { site: site.clone(), bytes_max: Some(bytes_max) }
    }

    fn value(&self, key: &str) -> Option<Vec<u8>> {
        if key == LIST {
            return Some(list(self.site.version(), &self.site.files()).into_bytes());
        }
        let path = key.strip_prefix(FOLDER)?;
        self.site.files().get(path).map(|content| content.to_vec())
    }

    /// The path of a file that may be written.
    fn writable_path<'a>(&self, key: &'a str) -> Result<(&'a str, usize), Error> {
        let Some(bytes_max) = self.bytes_max else {
            return Err(Error::failed(String::from("this table is read only")));
        };
        let path = key.strip_prefix(FOLDER);
        let path = path.filter(|path| is_path(path) && path.len() <= PATH_BYTES_MAX);
        let path = path.ok_or_else(|| {
            Error::failed(format!("`{key}` is no file of the site, as {FOLDER}index.html"))
        })?;
        Ok((path, bytes_max))
    }
}

impl Conf for SiteConf {
    type Watch = SiteWatch;

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.value(key))
    }

    async fn write(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let (path, bytes_max) = self.writable_path(key)?;
        let others = self.site.files();
        if others.len() >= FILES_MAX && !others.contains_key(path) {
            return Err(Error::overloaded(format!("a site has at most {FILES_MAX} files")));
        }
        let others = others.iter().filter(|(other, _)| *other != path);
        let bytes: usize = others.map(|(_, content)| content.len()).sum();
        if bytes + value.len() > bytes_max {
            return Err(Error::overloaded(format!("a site has at most {bytes_max} bytes")));
        }
        let (path, content) = (path.to_string(), Bytes::copy_from_slice(value));
        self.site.change(|files| drop(files.insert(path, content)));
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        let (path, _) = self.writable_path(key)?;
        let existed = self.site.files().contains_key(path);
        if existed {
            self.site.change(|files| drop(files.remove(path)));
        }
        Ok(existed)
    }

    async fn watch(&self, key: &str) -> Result<SiteWatch, Error> {
        Ok(SiteWatch { conf: self.clone(), key: key.into(), seen: Cell::new(None) })
    }
}

/// A watch on one key: it tells of each change of the site.
pub(crate) struct SiteWatch {
    conf: SiteConf,
    key: String,
    /// The version of which it told last.
    seen: Cell<Option<u64>>,
}

impl Watch for SiteWatch {
    async fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        let site = &self.conf.site;
        let mut changes = site.watch();
        while self.seen.get() == Some(site.version()) {
            changes.changed().await;
        }
        self.seen.set(Some(site.version()));
        Ok(self.conf.value(&self.key))
    }
}

fn list(version: u64, files: &Files) -> String {
    files.keys().fold(format!("{version}"), |list, path| list + "\n" + path)
}

/// What a list says: the version, and paths.
pub(crate) fn parse_list(list: &[u8]) -> Option<(u64, Vec<String>)> {
    let mut lines = core::str::from_utf8(list).ok()?.split('\n');
    let version = lines.next()?.parse().ok()?;
    let paths: Vec<String> = lines.map(String::from).collect();
    paths.iter().all(|path| is_path(path)).then_some((version, paths))
}

/// The key of a file.
pub(crate) fn file_key(path: &str) -> String {
    format!("{FOLDER}{path}")
}

/// Relative, without empty or dotted parts, and one line.
fn is_path(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_and_bad_paths_are_refused() {
        let files = ["a", "b/c d"].map(|path| (path.to_string(), Bytes::new()));
        let text = list(7, &files.into());
        let paths = alloc::vec!["a".to_string(), "b/c d".to_string()];
        assert_eq!(parse_list(text.as_bytes()), Some((7, paths)));
        assert_eq!(parse_list(b"0"), Some((0, Vec::new())));
        for bad in [&b""[..], b"x", b"1\n", b"1\na//b", b"1\n../a", b"1\n/a", b"1\na\0", b"1\n\xff"]
        {
            assert_eq!(parse_list(bad), None, "{bad:?}");
        }
    }
}
