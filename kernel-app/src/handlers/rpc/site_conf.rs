//! The site as a table of settings: `site` is its version and its paths, a line each; `site/PATH` is a file; `settings` are
//! those of the appliance that others may take over, as TOML.

use crate::live_settings::LiveSettings;
use crate::live_site::{Files, LiveSite};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use capnp::Error;
use config::cpio::PATH_BYTES_MAX;
use core::cell::Cell;
use core::fmt::Display;
use endpoints::rpc::network::{Conf, Watch};
use flow::sync::Watcher;

/// The key of the list, and what is before the paths of files.
pub(crate) const LIST: &str = "site";
const FOLDER: &str = "site/";
/// The key of the appliance's settings.
pub(crate) const SETTINGS: &str = "settings";
/// Files that a site may have that somebody writes: each write makes a new list of them.
const FILES_MAX: usize = 10_000;

/// The table. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SiteConf {
    site: Rc<LiveSite>,
    settings: Rc<LiveSettings>,
    /// What writers may make of the site; none may write.
    bytes_max: Option<usize>,
}

impl SiteConf {
    pub(crate) fn read_only(site: &Rc<LiveSite>, settings: &Rc<LiveSettings>) -> Self {
        Self { site: site.clone(), settings: settings.clone(), bytes_max: None }
    }

    /// Which writers may fill with so many bytes.
    pub(crate) fn writable(
        site: &Rc<LiveSite>,
        settings: &Rc<LiveSettings>,
        bytes_max: usize,
    ) -> Self {
        Self { bytes_max: Some(bytes_max), ..Self::read_only(site, settings) }
    }

    fn value(&self, key: &str) -> Option<Vec<u8>> {
        if key == LIST {
            return Some(list(self.site.version(), &self.site.files()).into_bytes());
        }
        if key == SETTINGS {
            return Some(self.settings.get().shared_settings().into_bytes());
        }
        let path = key.strip_prefix(FOLDER)?;
        self.site.files().get(path).map(|content| content.to_vec())
    }

    /// How often the value of a key may have changed.
    fn version(&self, key: &str) -> u64 {
        if key == SETTINGS { self.settings.version() } else { self.site.version() }
    }

    /// Tells of its changes from now on.
    fn changes(&self, key: &str) -> Watcher<u64> {
        if key == SETTINGS { self.settings.watch() } else { self.site.watch() }
    }

    /// Puts settings in force; those of which nothing is said stay.
    fn edit_settings(&self, value: &[u8]) -> Result<(), Error> {
        let failed = |error: &dyn Display| Error::failed(format!("{error}"));
        let text = core::str::from_utf8(value).map_err(|error| failed(&error))?;
        let edited = self.settings.get().edit(SETTINGS, text).map_err(|error| failed(&error))?;
        if self.settings.change(edited) {
            log::info!("settings are changed by RPC");
        }
        Ok(())
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
        if key == SETTINGS && self.bytes_max.is_some() {
            return self.edit_settings(value);
        }
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

/// A watch on one key: it tells of each change of the site, or of the settings.
pub(crate) struct SiteWatch {
    conf: SiteConf,
    key: String,
    /// The version of which it told last.
    seen: Cell<Option<u64>>,
}

impl Watch for SiteWatch {
    async fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut changes = self.conf.changes(&self.key);
        while self.seen.get() == Some(self.conf.version(&self.key)) {
            changes.changed().await;
        }
        self.seen.set(Some(self.conf.version(&self.key)));
        Ok(self.conf.value(&self.key))
    }
}

fn list(version: u64, files: &Files) -> String {
    files.keys().fold(format!("{version}"), |list, path| list + "\n" + path)
}

/// Files of a site that is taken over.
pub(crate) const LISTED_MAX: usize = 16_384;

/// What a list says: the version, and paths, at most one more than there may be.
pub(crate) fn parse_list(list: &[u8]) -> Option<(u64, Vec<String>)> {
    let mut lines = core::str::from_utf8(list).ok()?.split('\n');
    let version = lines.next()?.parse().ok()?;
    // Of a list that is too long, enough to see that.
    let paths: Vec<String> = lines.take(LISTED_MAX + 1).map(String::from).collect();
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
