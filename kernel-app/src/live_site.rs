//! The site as it is now: at first the bundle's or the disk's, later what has taken its place.

use crate::Platform;
use crate::context::Context;
use crate::handlers::site;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use bytes::Bytes;
use config::Bundle;
use core::cell::{Cell, OnceCell, RefCell};
use flow::sync::{Watch, Watcher};
use web::files::{self, Options, Variant};

/// Files by their paths below the site's root.
pub(crate) type Files = BTreeMap<String, Bytes>;

/// The files that are served. They change all at once: an answer that has begun ends on what it began with, and the next
/// one begins with what is new.
pub(crate) struct LiveSite {
    options: Options,
    served: RefCell<Rc<files::Site>>,
    /// The files have changed since it was made: it is made anew for the next answer, however many changes there were.
    is_old: Cell<bool>,
    /// The same by path, once somebody has asked; none of a disk.
    files: OnceCell<RefCell<Rc<Files>>>,
    bundle: Rc<Bundle<'static>>,
    root: String,
    /// How often they changed.
    version: Rc<Watch<u64>>,
}

impl LiveSite {
    /// The one that the configuration says.
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Self {
        let (options, root) = site::options(context);
        Self {
            served: RefCell::new(Rc::new(site::served(context, &root, &options))),
            is_old: Cell::new(false),
            files: OnceCell::new(),
            bundle: context.bundle.clone(),
            version: Watch::new(0),
            root,
            options,
        }
    }

    /// These files, and none by path.
    #[cfg(test)]
    pub(crate) fn of(served: files::Site, options: Options) -> Self {
        Self {
            served: RefCell::new(Rc::new(served)),
            is_old: Cell::new(false),
            files: OnceCell::new(),
            bundle: Rc::default(),
            root: String::new(),
            version: Watch::new(0),
            options,
        }
    }

    /// What the next answer is of.
    pub(crate) fn served(&self) -> Rc<files::Site> {
        if self.is_old.replace(false) {
            let files = self.files();
            let variants = files
                .iter()
                .map(|(path, content)| (path.clone(), Variant::new(content.clone()), None));
            self.served.replace(Rc::new(files::Site::new(variants, self.options.clone())));
        }
        self.served.borrow().clone()
    }

    /// Its files, as they are now.
    pub(crate) fn files(&self) -> Rc<Files> {
        self.by_path().borrow().clone()
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

    fn set(&self, files: Files) {
        self.by_path().replace(Rc::new(files));
        self.is_old.set(true);
        self.version.update(|version| *version += 1);
        web::repeating::take_back();
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
