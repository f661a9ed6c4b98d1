//! Folder of a bundle: which files of it the bundle has. The maker of bundles and a process that is
//! given the folder itself both read it here.

use crate::{
    Bundle, CONFIG_FILE, Config, LOAD_FILE, MEDIA_TYPES_FILE, MediaType, NAMES_FILE,
    PRIVATE_FOLDERS, cpio,
};
use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::fmt;
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Deepest folder; a loop of links ends here.
const DEPTH_MAX: usize = 32;

/// A file for a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// In the bundle, as `site/index.html`.
    pub path: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Modification time in seconds since 1970.
    pub mtime: u32,
}

/// Why no bundle can be made of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderError {
    /// What the sentence is about.
    pub path: PathBuf,
    /// What is wrong with it; with its place, where that is a line.
    pub sentence: String,
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl core::error::Error for FolderError {}

/// The configuration of a folder, its file checked; the defaults if it has none.
///
/// # Errors
/// What [`files`] refuses of the folder itself and of its `appliance.toml`.
pub fn configuration(folder: &Path) -> Result<Config, FolderError> {
    let path = folder.join(CONFIG_FILE);
    match kind(folder)? {
        Some(Kind::Folder) => {}
        _ => {
            let wanted = format!(
                "is not a folder; a bundle is made from one with `site/` and, if you like, {CONFIG_FILE}"
            );
            return Err(wrong(folder, &wanted));
        }
    }
    let Some(item) = named(folder, CONFIG_FILE)? else { return Ok(Config::default()) };
    let text = String::from_utf8(item.bytes).map_err(|_| wrong(&path, "is not text in UTF-8"))?;
    Config::parse(&format!("{}", path.display()), &text)
        .map_err(|error| FolderError { path, sentence: format!("{error}") })
}

/// The files that a folder's bundle has, sorted by path: `appliance.toml`, `load.toml` and `names` if they are
/// there, the site, `data/` (which is the handlers' own), `keys/`, `rpc/` and `tls/` with all that is in them, whatever its name begins
/// with; nothing else, so that a folder with other things beside them serves as it is.
///
/// # Errors
/// A configuration that is not allowed; what cannot be read, a link that leads nowhere among it;
/// a folder in the place of a file or the other way round; a pipe, a socket or a device; a name that is
/// not UTF-8; folders without end.
pub fn files(folder: &Path) -> Result<Vec<Item>, FolderError> {
    let config = configuration(folder)?;
    let mut items = Vec::new();
    for name in [CONFIG_FILE, LOAD_FILE, NAMES_FILE] {
        items.extend(named(folder, name)?);
    }
    let hosts =
        config.site_hosts.iter().map(|host| host.root.as_str()).filter(|root| !root.is_empty());
    let sites = core::iter::once(config.http.site_root.as_str()).chain(hosts);
    for root in PRIVATE_FOLDERS.into_iter().chain(sites) {
        walk(folder, root, &mut items)?;
    }
    items.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // A site may be one of the other folders, or in it.
    items.dedup_by(|a, b| a.path == b.path);
    in_its_folder(folder, &config, &items)?;
    Ok(items)
}

/// A site is in its folder, and not where that is, from where nothing would be taken.
fn in_its_folder(folder: &Path, config: &Config, items: &[Item]) -> Result<(), FolderError> {
    let root = &*config.http.site_root;
    let in_site = |item: &Item| item.path.strip_prefix(root).is_some_and(|it| it.starts_with('/'));
    let is_elsewhere = config.storage.site_disk > 0 || !config.conf.from.is_empty();
    // A load generator has none.
    let is_elsewhere = is_elsewhere || items.iter().any(|item| item.path == LOAD_FILE);
    if is_elsewhere || items.iter().any(in_site) {
        return Ok(());
    }
    for page in ["index.html", "index.htm"] {
        if kind(&folder.join(page))? == Some(Kind::File) {
            let what = format!(
                "has no folder `{root}` with files, and {page} beside where that would be: put the pages into {}",
                folder.join(root).display()
            );
            return Err(wrong(folder, &what));
        }
    }
    Ok(())
}

/// What lies in a folder and is not in its bundle: names, those of folders with a slash, and none of what is hidden. For whoever
/// misses it.
///
/// # Errors
/// The folder cannot be read.
pub fn left_out(folder: &Path, bundle: &Bundle<'_>) -> Result<Vec<String>, FolderError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_taken = bundle.files().any(|file| file.path.split('/').next() == Some(&*name));
        if name.starts_with('.') || is_taken {
            continue;
        }
        let is_folder = entry.path().is_dir();
        names.push(if is_folder { name + "/" } else { name });
    }
    names.sort_unstable();
    Ok(names)
}

/// The media types of the extensions that files have, for a bundle whose appliance does not know them; none if it knows all.
pub fn media_types(files: &[Item], is_known: impl Fn(&str) -> bool) -> Option<Item> {
    let mut lines = std::collections::BTreeSet::new();
    // What is not in a folder, and keys, are nobody's to get.
    let is_served = |path: &&str| {
        path.split_once('/').is_some_and(|(folder, _)| !PRIVATE_FOLDERS.contains(&folder))
    };
    let paths = files.iter().map(|file| file.path.as_str()).filter(is_served);
    for path in paths.filter(|path| !is_known(path)) {
        let extension = Path::new(path).extension().and_then(|it| it.to_str()).unwrap_or("");
        let Some(found) = mime_guess::from_ext(extension).first_raw() else { continue };
        // Browsers guess otherwise.
        let charset = if found.starts_with("text/") { "; charset=utf-8" } else { "" };
        let line = format!("{} {found}{charset}", extension.to_ascii_lowercase());
        if found != "application/octet-stream" && line.parse::<MediaType>().is_ok() {
            lines.insert(line);
        }
    }
    let text = lines.into_iter().fold(String::new(), |all, line| all + &line + "\n");
    let item =
        |text: String| Item { path: MEDIA_TYPES_FILE.to_owned(), bytes: text.into(), mtime: 0 };
    Some(text).filter(|text| !text.is_empty()).map(item)
}

/// The archive of a folder's files, as they are, and of the media types that `is_known` does not know by their paths.
///
/// # Errors
/// Those of [`files`], and a path that no bundle can have.
pub fn archive(folder: &Path, is_known: impl Fn(&str) -> bool) -> Result<Vec<u8>, FolderError> {
    let mut writer = cpio::Writer::new();
    let mut files = files(folder)?;
    files.extend(media_types(&files, is_known));
    for item in files {
        writer.file(&item.path, &item.bytes, item.mtime).map_err(|error| {
            wrong(&folder.join(&item.path), &format!("cannot be packed: {error}"))
        })?;
    }
    Ok(writer.finish())
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// `None` if nothing is there. A link that leads nowhere is something, and cannot be read.
fn kind(path: &Path) -> Result<Option<Kind>, FolderError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|error| unreadable(path, &error))?,
    };
    let found = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    match () {
        () if found.is_file() => Ok(Some(Kind::File)),
        () if found.is_dir() => Ok(Some(Kind::Folder)),
        () => Err(wrong(path, "is neither a file nor a folder")),
    }
}

/// A file that a folder may have.
fn named(folder: &Path, name: &str) -> Result<Option<Item>, FolderError> {
    let path = folder.join(name);
    match kind(&path)? {
        None => Ok(None),
        Some(Kind::File) => Ok(Some(read(folder, name.to_owned())?)),
        Some(Kind::Folder) => Err(wrong(&path, "is a folder, and must be a file")),
    }
}

/// Adds the files below `root`, a folder that `folder` may have.
fn walk(folder: &Path, root: &str, items: &mut Vec<Item>) -> Result<(), FolderError> {
    let path = folder.join(root);
    match kind(&path)? {
        None => return Ok(()),
        Some(Kind::File) => return Err(wrong(&path, "is a file, and must be a folder")),
        Some(Kind::Folder) => {}
    }
    let mut folders = vec![root.to_owned()];
    while let Some(relative) = folders.pop() {
        let path = folder.join(&relative);
        if relative.split('/').count() > DEPTH_MAX {
            let deep = format!("is more than {DEPTH_MAX} folders deep; is there a loop of links?");
            return Err(wrong(&path, &deep));
        }
        for entry in fs::read_dir(&path).map_err(|error| unreadable(&path, &error))? {
            let entry = entry.map_err(|error| unreadable(&path, &error))?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .ok_or_else(|| wrong(&entry.path(), "has a name that is not UTF-8"))?;
            let relative = format!("{relative}/{name}");
            match kind(&entry.path())? {
                // It went while the folder was read.
                None => {}
                Some(Kind::Folder) => folders.push(relative),
                Some(Kind::File) => items.push(read(folder, relative)?),
            }
        }
    }
    Ok(())
}

fn read(folder: &Path, path: String) -> Result<Item, FolderError> {
    let file = folder.join(&path);
    let bytes = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
    let modified = fs::metadata(&file)
        .and_then(|data| data.modified())
        .map_err(|error| unreadable(&file, &error))?;
    let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Item { path, bytes, mtime: u32::try_from(seconds).unwrap_or(u32::MAX) })
}

fn unreadable(path: &Path, error: &io::Error) -> FolderError {
    FolderError {
        path: path.to_owned(),
        sentence: format!("cannot read {}: {error}", path.display()),
    }
}

fn wrong(path: &Path, what: &str) -> FolderError {
    FolderError { path: path.to_owned(), sentence: format!("{} {what}", path.display()) }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};
    use std::os::unix::{fs::symlink, net::UnixListener};

    /// A folder that goes with its owner.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("aqueduct-folder-{}-{number}", std::process::id());
            let scratch = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(&scratch.0).unwrap();
            for (path, text) in files {
                let path = scratch.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            scratch
        }

        fn paths(&self) -> Vec<String> {
            files(&self.0).unwrap().into_iter().map(|item| item.path).collect()
        }

        fn refusal(&self) -> FolderError {
            files(&self.0).unwrap_err()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_bundle_has_the_site_and_what_belongs_to_it() {
        let scratch = Scratch::new(&[
            ("site/.well-known/a", "a"),
            ("site/index.html", "hello"),
            ("site/.hidden", ""),
            ("data/prices.csv", ""),
            ("keys/k", ""),
            ("names", ""),
            ("rpc/key.pem", ""),
            ("appliance.toml", ""),
            ("notes", "not for the bundle"),
            (".git/config", "neither"),
        ]);
        let expected = [
            "appliance.toml",
            "data/prices.csv",
            "keys/k",
            "names",
            "rpc/key.pem",
            "site/.hidden",
            "site/.well-known/a",
            "site/index.html",
        ];
        assert_eq!(scratch.paths(), expected);
        let archive = archive(&scratch.0, |_| true).unwrap();
        let bundle = Bundle::parse(&archive).unwrap();
        let packed: Vec<_> = bundle.files().map(|file| file.path).collect();
        assert_eq!(packed, expected);
        fs::create_dir(scratch.0.join("prices")).unwrap();
        assert_eq!(left_out(&scratch.0, &bundle).unwrap(), ["notes", "prices/"]);
    }

    #[test]
    fn a_site_that_is_not_in_its_folder_is_refused_with_where_it_belongs() {
        let scratch = Scratch::new(&[("index.html", "hello"), ("css/a.css", "")]);
        let told = scratch.refusal().sentence;
        assert!(told.contains("has no folder `site` with files, and index.html beside"), "{told}");
        assert!(told.ends_with(&format!("{}", scratch.0.join("site").display())), "{told}");
        fs::write(scratch.0.join("load.toml"), "").unwrap();
        assert_eq!(scratch.paths(), ["load.toml"]);
        let scratch = Scratch::new(&[("index.html", "notes"), ("site/a", "")]);
        assert_eq!(scratch.paths(), ["site/a"]);
        // It is elsewhere, and nobody put it beside its folder by mistake.
        for elsewhere in [
            "[storage]\nsite_disk = 1\n",
            "[conf]\nfrom = \"a\"\n[capabilities]\na = \"capnp://insecure@a:1\"\n",
        ] {
            let scratch = Scratch::new(&[("index.html", "notes"), ("appliance.toml", elsewhere)]);
            assert_eq!(scratch.paths(), ["appliance.toml"]);
        }
    }

    #[test]
    fn a_file_is_taken_once_whichever_folders_it_is_in() {
        for (root, expected) in [
            ("keys", &["appliance.toml", "keys/a/b", "keys/c"][..]),
            ("keys/a", &["appliance.toml", "keys/a/b", "keys/c"]),
        ] {
            let config = format!("[http]\nsite_root = \"{root}\"\n");
            let scratch =
                Scratch::new(&[("keys/a/b", ""), ("keys/c", ""), ("appliance.toml", &config)]);
            assert_eq!(scratch.paths(), expected);
            assert!(Bundle::parse(&archive(&scratch.0, |_| true).unwrap()).is_ok());
        }
    }

    #[test]
    fn what_is_not_known_of_media_types_is_told() {
        let scratch = Scratch::new(&[
            ("site/a.html", ""),
            ("site/b.GLB", ""),
            ("site/c.epub", ""),
            ("site/d.vtt", ""),
            ("site/e.unheard-of", ""),
            // Bytes, which says nothing.
            ("site/g.bin", ""),
            ("keys/h.mp3", ""),
            ("names", ""),
            ("shop/f.ics", ""),
            ("appliance.toml", "[[site_host]]\nnames = [\"a\"]\nroot = \"shop\"\n"),
        ]);
        let archive = archive(&scratch.0, |path| path.ends_with(".html")).unwrap();
        let bundle = Bundle::parse(&archive).unwrap();
        let text = core::str::from_utf8(bundle.get(MEDIA_TYPES_FILE).unwrap().bytes).unwrap();
        let expected = "epub application/epub+zip\nglb model/gltf-binary\nics text/calendar; charset=utf-8\n\
                        vtt text/vtt; charset=utf-8\n";
        assert_eq!(text, expected);
        assert!(bundle.get("shop/f.ics").is_some());
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_refused_by_its_path() {
        for name in ["appliance.toml", "names", "keys", "site", "site/a"] {
            let scratch = Scratch::new(&[("other/index.html", "hello")]);
            if name == "site/a" {
                fs::create_dir(scratch.0.join("site")).unwrap();
            }
            symlink("nowhere", scratch.0.join(name)).unwrap();
            let error = scratch.refusal();
            assert_eq!(error.path, scratch.0.join(name));
            let said = format!("{error}");
            assert!(said.contains(name) && said.starts_with("cannot read"), "{said}");
        }
    }

    #[test]
    fn a_folder_is_no_file_and_a_file_no_folder() {
        for (path, wrong) in [
            ("appliance.toml/a", "appliance.toml"),
            ("names/a", "names"),
            ("keys", "keys"),
            ("site", "site"),
        ] {
            let error = Scratch::new(&[(path, "")]).refusal();
            assert!(error.path.ends_with(wrong), "{error}");
            assert!(format!("{error}").contains("must be a"), "{error}");
        }
        let scratch = Scratch::new(&[("a", "")]);
        let error = files(&scratch.0.join("a")).unwrap_err();
        assert!(format!("{error}").contains("is not a folder"), "{error}");
        let error = files(&scratch.0.join("b")).unwrap_err();
        assert!(format!("{error}").contains("is not a folder"), "{error}");
    }

    #[test]
    fn what_is_neither_file_nor_folder_is_refused_and_not_waited_for() {
        for name in ["appliance.toml", "names", "keys", "site/pipe"] {
            let scratch = Scratch::new(&[("site/index.html", "")]);
            let _socket = UnixListener::bind(scratch.0.join(name)).unwrap();
            let error = scratch.refusal();
            assert_eq!(error.path, scratch.0.join(name));
            assert!(format!("{error}").ends_with("is neither a file nor a folder"), "{error}");
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let scratch = Scratch::new(&[("site/index.html", "")]);
        symlink(".", scratch.0.join("site/loop")).unwrap();
        let error = scratch.refusal();
        // The kernel may end it first (ELOOP).
        let said = format!("{error}");
        assert!(said.contains("loop of links") || said.starts_with("cannot read"), "{said}");
    }

    #[test]
    fn thirty_two_folders_are_not_too_deep_and_thirty_three_are() {
        // The first of them is the site's own.
        let deep = |folders: usize| format!("site/{}a", "d/".repeat(folders - 1));
        let path = deep(32);
        assert_eq!(Scratch::new(&[(&path, "")]).paths(), [path]);
        let error = Scratch::new(&[(&deep(33), "")]).refusal();
        assert!(error.sentence.contains("is more than 32 folders deep"), "{error}");
    }

    #[test]
    fn a_name_that_no_file_can_have_is_not_taken_for_one_that_is_not_there() {
        let config = format!("[http]\nsite_root = \"{}\"\n", "x".repeat(300));
        let error = Scratch::new(&[("appliance.toml", &config)]).refusal();
        assert!(error.sentence.starts_with("cannot read"), "{error}");
    }
}
