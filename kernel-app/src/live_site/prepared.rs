//! Prepared content: the files of another bundle, checked and not yet served.

use super::{Files, LiveSite};
use crate::handlers::site;
use crate::settings::site::{leaked, media_types};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use config::cpio::Reader;
use config::{Bundle, Config, Index, MEDIA_TYPES_FILE, MediaType};
use flow::task::Slices;
use web::files::redirects::REDIRECTS_FILE;
use web::files::rules::FieldRule;
use web::files::{self, Options, Variant};

/// What a file of a bundle takes beside its bytes and its path: its places in the index and in the trees of files, with the
/// fields of its answers. `tests/bundle_memory.rs` measures it.
const FILE_BYTES: usize = 1792;
/// Files, or as much of other work, after which others have their turn: a millisecond at most on a common machine.
const SLICE_FILES: usize = 256;
/// How often its path is there, and how often the fields of rules are, at most.
const PATH_COPIES: usize = 8;
const FIELD_COPIES: usize = 3;
/// Most media types that an appliance ever knows beside its own: those of all bundles that were served.
const MEDIA_TYPES_MAX: usize = 4096;

/// Files that are checked, for each site.
#[derive(Default)]
pub(crate) struct Prepared<'a> {
    sites: Vec<(&'a LiveSite, Files, files::Site, Options)>,
    /// Where the site's own are, if they are on a disk.
    #[cfg(feature = "disk")]
    disk: Option<Rc<crate::disk::DiskSite>>,
    warnings: Vec<String>,
}

/// What was served before, to be dropped.
pub(crate) struct Replaced(Vec<(Rc<Files>, Rc<files::Site>)>);

impl Replaced {
    /// Gives back its memory, while others have their turn. What somebody still has is left to them.
    pub(crate) async fn drop_in_slices(self) {
        let mut slices = Slices::of(SLICE_FILES);
        for (files, served) in self.0 {
            if let Some(served) = Rc::into_inner(served) {
                served.drop_in_slices(&mut slices).await;
            }
            let mut files = Rc::into_inner(files).unwrap_or_default();
            while files.pop_first().is_some() {
                slices.done(1).await;
            }
        }
    }
}

/// Why a bundle is not served, in a sentence or a line for each fault.
pub(crate) enum Unfit {
    /// It is no archive as it should be.
    Archive(String),
    /// It would take more memory than there is for it.
    TooLarge(String),
    /// What is in it is wrong.
    Content(String),
}

impl Prepared<'_> {
    /// Serves them from now on, all at once. How many there are, and what was served before.
    pub(crate) fn serve(mut self) -> (usize, Replaced) {
        let (mut count, mut replaced) = (0, Vec::new());
        // The site's own folder is the first.
        for (site, files, served, options) in core::mem::take(&mut self.sites) {
            count += served.len();
            site.options.replace(options);
            let files = site.set(files);
            replaced.push((files, site.served.replace(Rc::new(served))));
            site.is_old.set(false);
            #[cfg(feature = "disk")]
            site.disk.replace(self.disk.take());
        }
        (count, Replaced(replaced))
    }

    /// What a boot would warn of.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl LiveSite {
    /// The files of another bundle, for this site and those of other hosts, all of which are checked and none of which is served
    /// yet. Their bytes stay in the archive. What all of it takes is known, and at most `memory_bytes_max`, before any of it is. Others have their turn meanwhile.
    ///
    /// # Errors
    /// What is wrong with the bundle.
    pub(crate) async fn prepare(
        &self,
        archive: &Bytes,
        memory_bytes_max: usize,
    ) -> Result<Prepared<'_>, Unfit> {
        let sites: Vec<_> =
            core::iter::once(self).chain(self.hosts.iter().map(|(_, site)| site)).collect();
        let mut slices = Slices::of(SLICE_FILES);
        let counts = weigh(archive, &sites, memory_bytes_max, &mut slices).await?;
        let mut index = Index::of(archive);
        while index.read_next().map_err(|error| Unfit::Archive(error.to_string()))? {
            slices.done(1).await;
        }
        let bundle = index.finish();
        Config::load(&bundle, "").map_err(|error| Unfit::Content(error.to_string()))?;
        let types = types_of(&bundle)?;
        if let Some((site, _)) = sites.iter().zip(counts).find(|(_, count)| *count == 0) {
            let text = format!("{}/ has no files, and it is served here", site.root);
            return Err(Unfit::Content(text));
        }
        let mut prepared = Prepared::default();
        for site in sites {
            let is_host = !core::ptr::eq(site, self);
            let options = site.prepare_options(&bundle, &types).map_err(Unfit::Content)?;
            let (paths, place) = (site::below(&bundle, &site.root), format!("{}/", site.root));
            let paths = paths.map(|(path, _)| path);
            let hidden = options.redirects.hidden().map(|hidden| format!("{place}{hidden}"));
            prepared.warnings.extend(hidden);
            prepared.warnings.extend(site::absent_of(paths, &place, is_host, &options));
            let (files, served) = site.prepare_files(&bundle, archive, &options, &mut slices).await;
            prepared.sites.push((site, files, served, options));
        }
        Ok(prepared)
    }

    /// How its files are served: as before, but for what the bundle says.
    fn prepare_options(&self, bundle: &Bundle<'_>, types: &[MediaType]) -> Result<Options, String> {
        let root = &self.root;
        let mut options = self.options.borrow().clone();
        let path = format!("{root}/{REDIRECTS_FILE}");
        let redirects = bundle.get(&path).map(|file| site::redirects(file.bytes)).transpose();
        // Each line begins with the name of the file, below the root.
        let placed = |faults: String| {
            faults.lines().map(|fault| format!("{root}/{fault}")).collect::<Vec<_>>().join("\n")
        };
        options.redirects = redirects.map_err(placed)?.unwrap_or_default().into();
        add_types(&mut options, types)?;
        Ok(options)
    }

    async fn prepare_files(
        &self,
        bundle: &Bundle<'_>,
        archive: &Bytes,
        options: &Options,
        slices: &mut Slices,
    ) -> (Files, files::Site) {
        let (mut by_path, mut variants) = (Files::new(), Vec::new());
        for (path, file) in site::below(bundle, &self.root) {
            let content = archive.slice_ref(file.bytes);
            let variant = match site::tag(file) {
                Some(tag) => Variant::tagged(content.clone(), tag),
                None => Variant::new_in_slices(content.clone(), slices).await,
            };
            variants.push((String::from(path), variant, Some(file.mtime.into())));
            by_path.insert(path.into(), content);
            slices.done(1).await;
        }
        (by_path, files::Site::in_slices(variants, options.clone(), slices).await)
    }
}

#[cfg(feature = "disk")]
impl LiveSite {
    /// The folders that are served: the first the site's own, those of other hosts behind it.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        let hosts = self.hosts.iter().map(|(_, site)| &*site.root);
        core::iter::once(&*self.root).chain(hosts)
    }

    /// As [`prepare`](Self::prepare), of a disk, whose folder `own` is the site's own. What is in memory of its files is what
    /// is asked for.
    ///
    /// # Errors
    /// What is wrong with what is on it.
    pub(crate) async fn prepare_disk(
        &self,
        disk: &crate::disk::ReadDisk,
        own: &str,
        memory_bytes_max: usize,
    ) -> Result<Prepared<'_>, Unfit> {
        let bundle = Bundle::parse(&disk.without_site);
        let bundle = bundle.map_err(|error| Unfit::Archive(error.to_string()))?;
        let bundle = bundle.with_site_elsewhere();
        Config::load(&bundle, "").map_err(|error| Unfit::Content(error.to_string()))?;
        let types = types_of(&bundle)?;
        let sites = core::iter::once(self).chain(self.hosts.iter().map(|(_, site)| site));
        let mut prepared = Prepared::default();
        let mut slices = Slices::of(SLICE_FILES);
        let (mut bytes, mut count) = (0, 0);
        for site in sites {
            let is_host = !core::ptr::eq(site, self);
            let folder = if is_host { &*site.root } else { own };
            let files = disk.site.of_folder(folder);
            let mut options = site.options.borrow().clone();
            add_types(&mut options, &types).map_err(Unfit::Content)?;
            options.redirects = files.redirects();
            let weight = Weight::of(&options);
            let before = count;
            for path in files.paths() {
                count += 1;
                bytes += weight.file(path);
                slices.done(1).await;
            }
            if count == before {
                let text = format!("{folder}/ of the disk has no files, and it is served here");
                return Err(Unfit::Content(text));
            }
            if bytes > memory_bytes_max {
                return Err(Unfit::TooLarge(format!(
                    "a disk whose files take at most {memory_bytes_max} bytes, a quarter of the memory, without their content; the first {count} take {bytes}"
                )));
            }
            let place = files.name();
            let hidden = options.redirects.hidden().map(|hidden| format!("{place}: {hidden}"));
            prepared.warnings.extend(hidden);
            prepared.warnings.extend(site::absent_of(files.paths(), &place, is_host, &options));
            let served =
                files::Site::in_slices(files.variants(), options.clone(), &mut slices).await;
            prepared.sites.push((site, Files::new(), served, options));
            prepared.disk.get_or_insert_with(|| Rc::new(files));
        }
        Ok(prepared)
    }
}

/// What is kept of each file of a folder, in bytes.
struct Weight {
    fields: usize,
}

impl Weight {
    fn of(options: &Options) -> Self {
        let of_rule = |rule: &FieldRule| {
            rule.set.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
        };
        Self { fields: options.rules.iter().map(of_rule).sum() }
    }

    fn file(&self, path: &str) -> usize {
        FILE_BYTES + PATH_COPIES * path.len() + FIELD_COPIES * self.fields
    }
}

fn types_of(bundle: &Bundle<'_>) -> Result<Vec<MediaType>, Unfit> {
    let types = bundle.get(MEDIA_TYPES_FILE).map(|file| media_types(file.bytes)).transpose();
    let types = types.map_err(|reason| Unfit::Content(format!("{MEDIA_TYPES_FILE}: {reason}")));
    Ok(types?.unwrap_or_default())
}

/// Goes through an archive without taking memory: how many files each of the sites has of it.
///
/// # Errors
/// It is none, or what it takes with all that is kept of each file is more than `memory_bytes_max`.
async fn weigh(
    archive: &Bytes,
    sites: &[&LiveSite],
    memory_bytes_max: usize,
    slices: &mut Slices,
) -> Result<Vec<usize>, Unfit> {
    let mut counts = alloc::vec![0; sites.len()];
    let weights: Vec<_> = sites.iter().map(|site| Weight::of(&site.options.borrow())).collect();
    let mut bytes = archive.len();
    for member in Reader::new(archive) {
        let path = member.map_err(|error| Unfit::Archive(error.to_string()))?.path;
        bytes += FILE_BYTES;
        for ((site, count), weight) in sites.iter().zip(&mut counts).zip(&weights) {
            let below = path.strip_prefix(&*site.root).is_some_and(|rest| rest.starts_with('/'));
            if below {
                *count += 1;
                bytes += weight.file(path);
            }
        }
        slices.done(1).await;
    }
    if bytes <= memory_bytes_max {
        return Ok(counts);
    }
    let (count, length) = (counts.iter().sum::<usize>(), archive.len());
    Err(Unfit::TooLarge(format!(
        "a bundle that takes at most {memory_bytes_max} bytes, a quarter of the memory; this one takes {bytes}: its own {length}, and what is kept of each of {count} files"
    )))
}

/// Adds media types that the options have not. Each is kept for the life of the appliance, once.
///
/// # Errors
/// They are too many.
fn add_types(options: &mut Options, types: &[MediaType]) -> Result<(), String> {
    let is_new = |wanted: &&MediaType| {
        options.media_types.iter().all(|(extension, _)| *extension != wanted.extension)
    };
    let new: Vec<_> = types.iter().filter(is_new).cloned().collect();
    if options.media_types.len() + new.len() > MEDIA_TYPES_MAX {
        return Err(format!(
            "{MEDIA_TYPES_FILE}: at most {MEDIA_TYPES_MAX} media types, those of earlier bundles included"
        ));
    }
    if !new.is_empty() {
        let new = new.into_iter().map(|it| (it.extension, leaked(it.media_type)));
        options.media_types = options.media_types.iter().cloned().chain(new).collect();
    }
    Ok(())
}
