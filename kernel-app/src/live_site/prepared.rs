//! Prepared content: the files of another bundle, checked and not yet served.

use super::{Files, LiveSite};
use crate::handlers::site;
use crate::settings::site::{leaked, media_types};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use config::{Bundle, Config, MEDIA_TYPES_FILE, MediaType};
use web::files::redirects::REDIRECTS_FILE;
use web::files::{self, Options};

/// Files that are checked, for each site.
pub(crate) struct Prepared<'a>(Vec<(&'a LiveSite, (Files, files::Site, Options))>);

impl Prepared<'_> {
    /// Serves them from now on, all at once. How many there are.
    pub(crate) fn serve(self) -> usize {
        let mut count = 0;
        for (site, (files, served, options)) in self.0 {
            count += served.len();
            site.options.replace(options);
            site.set(files);
            site.served.replace(Rc::new(served));
            site.is_old.set(false);
        }
        count
    }
}

impl LiveSite {
    /// The files of another bundle, for this site and those of other hosts, all of which are checked and none of which is served
    /// yet. Their bytes stay in the archive.
    ///
    /// # Errors
    /// What is wrong with the bundle, a line each.
    pub(crate) fn prepare(&self, archive: &Bytes) -> Result<Prepared<'_>, String> {
        let bundle = Bundle::parse(archive).map_err(|error| error.to_string())?;
        Config::load(&bundle, "").map_err(|error| error.to_string())?;
        let types = bundle.get(MEDIA_TYPES_FILE).map(|file| media_types(file.bytes)).transpose();
        let types = types.map_err(|reason| format!("{MEDIA_TYPES_FILE}: {reason}"))?;
        let types = types.unwrap_or_default();
        let sites = core::iter::once(self).chain(self.hosts.iter().map(|(_, site)| site));
        let prepared = sites.map(|site| Ok((site, site.prepare_own(&bundle, archive, &types)?)));
        Ok(Prepared(prepared.collect::<Result<_, String>>()?))
    }

    fn prepare_own(
        &self,
        bundle: &Bundle<'_>,
        archive: &Bytes,
        types: &[MediaType],
    ) -> Result<(Files, files::Site, Options), String> {
        let root = &self.root;
        let mut options = self.options.borrow().clone();
        let path = format!("{root}/{REDIRECTS_FILE}");
        let redirects = bundle.get(&path).map(|file| site::redirects(file.bytes)).transpose();
        options.redirects =
            redirects.map_err(|faults| format!("{root}/: {faults}"))?.unwrap_or_default().into();
        add_types(&mut options, types);
        let (mut by_path, mut variants) = (Files::new(), Vec::new());
        for (path, file) in site::below(bundle, root) {
            let content = archive.slice_ref(file.bytes);
            let variant = site::variant(file, content.clone());
            variants.push((String::from(path), variant, Some(file.mtime.into())));
            by_path.insert(path.into(), content);
        }
        if by_path.is_empty() {
            return Err(format!("{root}/ has no files, and it is served here"));
        }
        let served = files::Site::new(variants, options.clone());
        Ok((by_path, served, options))
    }
}

/// Adds media types that the options have not. Each is kept for the life of the appliance, once.
fn add_types(options: &mut Options, types: &[MediaType]) {
    let is_new = |wanted: &&MediaType| {
        options.media_types.iter().all(|(extension, _)| *extension != wanted.extension)
    };
    let new: Vec<_> = types.iter().filter(is_new).cloned().collect();
    if !new.is_empty() {
        let new = new.into_iter().map(|it| (it.extension, leaked(it.media_type)));
        options.media_types = options.media_types.iter().cloned().chain(new).collect();
    }
}
