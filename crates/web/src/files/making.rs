//! Making a site of its files, at once or while others have their turn, and giving back its memory.

use super::redirects::REDIRECTS_FILE;
use super::{File, Options, Site, Variant};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use flow::task::Slices;

impl Site {
    /// The site of these files: name, content, and when each last changed in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn new(
        files: impl IntoIterator<Item = (String, Variant, Option<u64>)>,
        options: Options,
    ) -> Site {
        let mut plain = Plain::new();
        for file in files {
            add(&mut plain, file, &options);
        }
        let mut site = Site::with_room_for(&plain, options);
        while site.take_first_of(&mut plain) {}
        site
    }

    /// The same, while others have their turn: a file is a unit of its work.
    pub async fn in_slices(
        files: impl IntoIterator<Item = (String, Variant, Option<u64>)>,
        options: Options,
        slices: &mut Slices,
    ) -> Site {
        let mut plain = Plain::new();
        for file in files {
            add(&mut plain, file, &options);
            slices.done(1).await;
        }
        let mut site = Site::with_room_for(&plain, options);
        while site.take_first_of(&mut plain) {
            slices.done(1).await;
        }
        site
    }

    /// Gives back the memory of all files, as dropping it does, while others have their turn.
    pub async fn drop_in_slices(mut self, slices: &mut Slices) {
        while self.entries.pop_first().is_some() {
            slices.done(1).await;
        }
    }

    /// A site that none of these files is in yet.
    fn with_room_for(plain: &Plain, options: Options) -> Site {
        let has_error_pages = plain.keys().any(|name| {
            let errors = name.strip_prefix(&*options.errors).filter(|_| !options.errors.is_empty());
            errors.is_some_and(|rest| rest.starts_with('/')) || name == "404.html"
        });
        Site { entries: BTreeMap::new(), files: plain.len(), options, has_error_pages }
    }

    /// Serves the first of these files, and says whether there was one. Its variants are behind it, since their names begin with
    /// its own, and a file with the other name for which it would answer is in front of it.
    fn take_first_of(&mut self, plain: &mut Plain) -> bool {
        let Some((name, file)) = plain.pop_first() else { return false };
        let variant =
            |suffix: &str| plain.get(&(name.clone() + suffix)).map(|file| file.identity.clone());
        let (gzip, brotli, zstd) = (variant(".gz"), variant(".br"), variant(".zst"));
        let file = File { gzip, brotli, zstd, ..file };
        let own = Rc::new(file.with_fields(&self.options, &[&name]));
        if let Some(other) =
            self.other_name(&name).filter(|other| !self.entries.contains_key(*other))
        {
            let other = String::from(other);
            // Rules may be for the one path or the other.
            let file = match &*self.options.rules {
                [] => own.clone(),
                _ => Rc::new(file.with_fields(&self.options, &[&other, &name])),
            };
            self.entries.insert(other, file);
        }
        self.entries.insert(name, own);
        true
    }
}

/// Files by their names, of which none knows its variants yet.
type Plain = BTreeMap<String, File>;

/// Inserted one by one: collecting would sort them first, with a sort of its own.
fn add(plain: &mut Plain, file: (String, Variant, Option<u64>), options: &Options) {
    let (name, identity, modified) = file;
    if name == REDIRECTS_FILE {
        return;
    }
    let media_type = options.media_type(&name);
    let own = Rc::from(&*name);
    let (gzip, brotli, zstd) = (None, None, None);
    let file = File { name: own, identity, gzip, brotli, zstd, modified, media_type };
    plain.insert(name, file);
}
