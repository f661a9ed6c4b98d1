//! The site as it is now: at first the bundle's or the disk's, later what has taken its place.

#[cfg(feature = "admin")]
pub(crate) mod prepared;

use crate::Platform;
use crate::context::Context;
use crate::handlers::site;
use crate::settings::site::FolderSettings;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use config::Bundle;
use core::cell::{Cell, OnceCell, RefCell};
use flow::sync::{Watch, Watcher};
use web::files::redirects::REDIRECTS_FILE;
use web::files::{self, Options, Variant};

/// Files by their paths below the site's root.
pub(crate) type Files = BTreeMap<String, Bytes>;

/// The files that are served. They change all at once: an answer that has begun ends on what it began with, and the next
/// one begins with what is new.
pub(crate) struct LiveSite {
    /// As of the last [redirects](web::files::redirects) that could be used.
    options: RefCell<Options>,
    served: RefCell<Rc<files::Site>>,
    /// The files have changed since it was made: it is made anew for the next answer, however many changes there were.
    is_old: Cell<bool>,
    /// The same by path, once somebody has asked; none of a disk.
    files: OnceCell<RefCell<Rc<Files>>>,
    bundle: Rc<Bundle<'static>>,
    root: String,
    /// How often they changed.
    version: Rc<Watch<u64>>,
    /// Where they are, if they are on a disk.
    #[cfg(feature = "disk")]
    disk: RefCell<Option<Rc<crate::disk::DiskSite>>>,
    /// What is served to other hosts.
    hosts: Vec<(Vec<String>, LiveSite)>,
}

impl LiveSite {
    /// The one that the configuration says.
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Self {
        let (own, hosts) = site::folders(context);
        let hosts = hosts
            .into_iter()
            .map(|folder| (folder.names.clone(), Self::of_folder(context, folder)));
        Self { hosts: hosts.collect(), ..Self::of_folder(context, own) }
    }

    fn of_folder<P: Platform>(context: &Context<P>, folder: FolderSettings) -> Self {
        let served = site::served(context, &folder);
        #[cfg(feature = "disk")]
        let disk = context.disk_site.clone().filter(|_| folder.names.is_empty());
        let FolderSettings { root, options, .. } = folder;
        Self {
            bundle: context.bundle.clone(),
            root,
            #[cfg(feature = "disk")]
            disk: RefCell::new(disk),
            ..Self::of(served, options)
        }
    }

    /// What is served to a host, as a request names it.
    pub(crate) fn of_host(&self, authority: &[u8]) -> &Self {
        self.section_of_host(authority).1
    }

    /// The same, with all names of the `[[site_host]]` that it is of; none of the site's own folder.
    pub(crate) fn section_of_host(&self, authority: &[u8]) -> (&[String], &Self) {
        if self.hosts.is_empty() {
            return (&[], self);
        }
        let host = host(authority);
        let is_own =
            |(names, _): &&(Vec<String>, Self)| names.iter().any(|name| is_named(host, name));
        self.hosts.iter().find(is_own).map_or((&[], self), |(names, site)| (names, site))
    }

    /// The same, and these to other hosts.
    #[cfg(test)]
    pub(crate) fn with_hosts(self, hosts: Vec<(Vec<String>, Self)>) -> Self {
        Self { hosts, ..self }
    }

    /// These files, and none by path.
    pub(crate) fn of(served: files::Site, options: Options) -> Self {
        Self {
            served: RefCell::new(Rc::new(served)),
            is_old: Cell::new(false),
            files: OnceCell::new(),
            bundle: Rc::default(),
            root: String::new(),
            version: Watch::new(0),
            options: RefCell::new(options),
            #[cfg(feature = "disk")]
            disk: RefCell::default(),
            hosts: Vec::new(),
        }
    }

    /// What the next answer is of.
    pub(crate) fn served(&self) -> Rc<files::Site> {
        if self.is_old.replace(false) {
            let files = self.files();
            self.read_redirects(&files);
            let options = self.options.borrow().clone();
            let variants = files
                .iter()
                .map(|(path, content)| (path.clone(), Variant::new(content.clone()), None));
            self.served.replace(Rc::new(files::Site::new(variants, options)));
        }
        self.served.borrow().clone()
    }

    /// Those of the files; while they cannot be used, the last that could.
    fn read_redirects(&self, files: &Files) {
        let redirects = match files.get(REDIRECTS_FILE).map(|file| site::redirects(file)) {
            None => Rc::default(),
            Some(Ok(redirects)) => Rc::new(redirects),
            Some(Err(faults)) => {
                log::warn!("the site's redirects stay as they were: {faults}");
                return;
            }
        };
        self.options.borrow_mut().redirects = redirects;
    }

    /// Its files, as they are now.
    pub(crate) fn files(&self) -> Rc<Files> {
        self.by_path().borrow().clone()
    }

    /// The disk that they are on, if they are on one.
    #[cfg(feature = "disk")]
    pub(crate) fn disk(&self) -> Option<Rc<crate::disk::DiskSite>> {
        self.disk.borrow().clone()
    }

    /// How often the files changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }

    /// Tells of changes from now on.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.version.watch()
    }

    /// Serves these files from now on. Nothing changes if they are the same.
    #[cfg_attr(not(feature = "vats"), allow(dead_code, reason = "nobody is followed"))]
    pub(crate) fn replace(&self, files: Files) {
        if *self.files() != files {
            self.set(files);
        }
    }

    /// Those before.
    fn set(&self, files: Files) -> Rc<Files> {
        let files = RefCell::new(Rc::new(files));
        let before = match self.files.get() {
            Some(own) => own.replace(files.into_inner()),
            // Nobody has asked for those of the bundle, and nobody will.
            None => {
                self.files.get_or_init(|| files);
                Rc::default()
            }
        };
        #[cfg(feature = "disk")]
        self.disk.replace(None);
        self.is_old.set(true);
        self.version.update(|version| *version += 1);
        web::repeating::take_back();
        before
    }

    fn by_path(&self) -> &RefCell<Rc<Files>> {
        let of_bundle = || RefCell::new(Rc::new(site::of_bundle(&self.bundle, &self.root)));
        self.files.get_or_init(of_bundle)
    }

    /// Changes its files.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Files)) {
        let mut files = Files::clone(&self.files());
        change(&mut files);
        self.set(files);
    }
}

/// The host of an authority, without its port (RFC 3986 section 3.2) and without the dot at the end of a full name.
fn host(authority: &[u8]) -> &[u8] {
    let end = match authority.iter().rposition(|&byte| byte == b':') {
        // Of an address of IPv6 the colons are inside of brackets.
        Some(colon) if !authority.ends_with(b"]") => colon,
        _ => authority.len(),
    };
    let host = authority.get(..end).unwrap_or(authority);
    host.strip_suffix(b".").unwrap_or(host)
}

/// Whether a host has this name, or one that ends as `*.NAME` says.
fn is_named(host: &[u8], name: &str) -> bool {
    match name.strip_prefix('*') {
        None => host.eq_ignore_ascii_case(name.as_bytes()),
        Some(end) => {
            let at = host.len().checked_sub(end.len()).filter(|at| *at > 0);
            at.and_then(|at| host.get(at..))
                .is_some_and(|own| own.eq_ignore_ascii_case(end.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_by_their_names() {
        for (authority, name, is_it) in [
            ("shop.example", "shop.example", true),
            ("Shop.Example.:8080", "shop.example", true),
            ("shop.example", "*.shop.example", false),
            ("a.shop.example:80", "*.shop.example", true),
            ("a.b.shop.example", "*.shop.example", true),
            ("ashop.example", "*.shop.example", false),
            (".shop.example", "*.shop.example", false),
            ("[fd00::2]:80", "[fd00::2]", true),
            ("[fd00::2]", "[fd00::2]", true),
            ("", "shop.example", false),
        ] {
            assert_eq!(is_named(host(authority.as_bytes()), name), is_it, "{authority} {name}");
        }
    }
}
