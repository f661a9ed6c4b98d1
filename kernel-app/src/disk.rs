//! Disks: a bundle that is on one instead of in memory, and a site that is served from one.
//!
//! A platform has disks, and runs what is here before the appliance starts: [`bundle_at_start`] where it has no boot module,
//! and then [`with_site`]. What is where on a disk is known from then on, and content is read when it is asked for.

use crate::settings::http::{HttpSettings, SiteSettings};
use crate::settings::storage::StorageSettings;
use crate::{Platform, context::Context};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use config::cpio::Writer;
use config::{Bundle, CONFIG_FILE, Config, MEDIA_TYPES_FILE, NAMES_FILE};
use core::cell::RefCell;
use core::ops::Range;
use core::time::Duration;
use flow::ledger::Ledger;
use flow::task::{Executor, Spawner};
use flow::time::Timers;
#[cfg(feature = "inspection")]
use storage::DiskRow;
use storage::{
    BlockDevice, CacheEnvironment, CacheLimits, Extents, Format, PageCache, ReadError, Volume,
    VolumeError, VolumeFile,
};
use web::Data;
use web::files::redirects::{REDIRECTS_BYTES_MAX, REDIRECTS_FILE, Redirects};
use web::files::{Reading, Stored, Unreadable, Variant};

/// A machine's disks, the first first.
pub type Disks = Vec<Rc<dyn BlockDevice>>;

/// A machine's disks at the start, when nothing else is worked with.
pub trait AtStart {
    /// All of them.
    fn devices(&self) -> Disks;

    /// The present.
    fn now(&self) -> Duration;

    /// Waits until one has answered since the last wait, at most until the deadline; has them told before that what they
    /// were asked.
    fn wait(&self, deadline: Option<Duration>);

    /// Runs `work` to its end. A panic in it is an error.
    ///
    /// # Errors
    /// Those of the work.
    fn run<T: 'static>(
        &self,
        executor: &Executor,
        timers: &Timers,
        work: impl Future<Output = Result<T, String>> + 'static,
    ) -> Result<T, String> {
        let outcome = Rc::new(RefCell::new(None));
        let (told, spawner) = (outcome.clone(), executor.spawner());
        executor.spawner().spawn("start from a disk", async move {
            let outcome = spawner.catching(work).await;
            told.replace(Some(outcome.unwrap_or_else(|error| Err(error.to_string()))));
        });
        loop {
            timers.advance(self.now());
            executor.run(usize::MAX);
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            self.wait(timers.next_deadline());
        }
    }
}

/// The bundle that the first disk begins with, if it does: see [`load_bundle`].
///
/// # Errors
/// Those of [`load_bundle`].
pub fn bundle_at_start(
    disks: &impl AtStart,
    executor: &Executor,
    timers: &Timers,
) -> Result<Option<DiskBundle>, String> {
    let (devices, spawner, clock) = (disks.devices(), executor.spawner(), timers.clone());
    let loading = async move { load_bundle(&devices, &spawner, &clock).await };
    disks.run(executor, timers, loading)
}

/// The same context with the site that is on a disk, if one is: see [`open_site`].
///
/// # Errors
/// Those of [`open_site`].
pub fn with_site<P: Platform>(
    context: Context<P>,
    disks: &impl AtStart,
    loaded: Option<Volume>,
    executor: &Executor,
) -> Result<Context<P>, String> {
    add_to_inspector(&context, disks.devices());
    let context = context.with_disks(disks.devices());
    if loaded.is_none() && !is_wanted(&context.config) {
        return Ok(context);
    }
    let (devices, its) = (disks.devices(), context.clone());
    let opening = async move { open_site(&its, &devices, loaded).await };
    let site = disks.run(executor, &context.timers, opening)?;
    Ok(context.with_disk_site(site))
}

/// Lets others see the disks.
#[cfg(feature = "inspection")]
fn add_to_inspector<P: Platform>(context: &Context<P>, disks: Disks) {
    let inspector = &context.inspector;
    let disks: Rc<[_]> = disks.into();
    let all = disks.clone();
    inspector.add_table(&storage::DISKS, move |visit| {
        let rows = (1..).zip(all.iter()).map(|(id, disk)| DiskRow::of(id, &**disk));
        rows.for_each(|row| visit(&row));
    });
    inspector.add_metrics(storage::DISK_METRICS, move |visit| {
        for (id, disk) in (1_usize..).zip(disks.iter()) {
            visit(Some(("disk", &id)), &disk.counters());
        }
    });
}

/// Nobody looks.
#[cfg(not(feature = "inspection"))]
fn add_to_inspector<P: Platform>(_: &Context<P>, _: Disks) {}

/// A site that is on a disk.
#[derive(Clone)]
pub struct DiskSite {
    volume: Volume,
    folder: String,
    /// Of each folder that is served, the redirects that it has.
    redirects: Rc<[(String, Rc<Redirects>)]>,
}

/// A bundle that is on a disk, without its site.
pub struct DiskBundle {
    /// Its configuration, and what else is needed at the start.
    pub bundle: Bundle<'static>,
    /// Where all of it is.
    pub volume: Volume,
}

/// The bundle that the first disk begins with, if it does. It is kept for the life of the appliance, as a boot module is.
///
/// # Errors
/// The disk cannot be read, or the bundle is damaged.
pub async fn load_bundle(
    disks: &Disks,
    spawner: &Spawner,
    timers: &Timers,
) -> Result<Option<DiskBundle>, String> {
    let Some(disk) = disks.first() else { return Ok(None) };
    let say = |error: &dyn core::fmt::Display| format!("disk 1: {error}");
    let volume = match Volume::open(boot_cache(disk, spawner, timers)).await {
        Ok(volume) if volume.format == Format::Archive => volume,
        Ok(_) | Err(VolumeError::UnknownFormat) => return Ok(None),
        Err(error) => return Err(say(&error)),
    };
    let archive = without_site(&volume).await.map_err(|fault| format!("disk 1, {fault}"))?;
    let bundle = Bundle::parse(archive.leak()).map_err(|error| say(&error))?;
    log::info!("the bundle is on disk 1");
    Ok(Some(DiskBundle { bundle: bundle.with_site_elsewhere(), volume }))
}

/// An archive of what a disk has beside the site.
async fn without_site(volume: &Volume) -> Result<Vec<u8>, String> {
    /// Longest configuration.
    const FILE_BYTES_MAX: usize = 1 << 20;
    let mut archive = Writer::new();
    for path in [CONFIG_FILE, NAMES_FILE, MEDIA_TYPES_FILE] {
        if let Some(file) = volume.get(path) {
            let bytes = volume.read_whole(file, FILE_BYTES_MAX).await;
            let bytes = bytes.map_err(|error| format!("{path}: {error}"))?;
            archive.file(path, &bytes, 0).map_err(|error| error.to_string())?;
        }
    }
    Ok(archive.finish())
}

/// What reads disks anew, after the start.
#[cfg(feature = "admin")]
pub(crate) struct DiskReader {
    disks: Rc<[Rc<dyn BlockDevice>]>,
    environment: CacheEnvironment,
    cache: CacheLimits,
}

/// A disk that was read anew.
#[cfg(feature = "admin")]
pub(crate) struct ReadDisk {
    /// What is beside the site, as an archive.
    pub(crate) without_site: Vec<u8>,
    /// Files of all of it, none of which is in a folder that is served yet.
    pub(crate) site: DiskSite,
}

#[cfg(feature = "admin")]
impl DiskReader {
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Self {
        let memory_bytes = context.platform.memory_bytes();
        let environment = CacheEnvironment {
            spawner: context.spawner.clone(),
            timers: context.timers.clone(),
            ledger: context.ledger.clone(),
        };
        let cache = StorageSettings::new(&context.config.storage, memory_bytes).cache;
        Self { disks: context.disks.clone(), environment, cache }
    }

    /// How many disks there are.
    pub(crate) fn count(&self) -> usize {
        self.disks.len()
    }

    /// Reads what is where on a disk, the first being 0, and the redirects of folders.
    ///
    /// # Errors
    /// It cannot be read, or is none to be served from.
    pub(crate) async fn read(&self, number: usize, folders: &[&str]) -> Result<ReadDisk, String> {
        let say = |error: &dyn core::fmt::Display| format!("disk {}: {error}", number + 1);
        let disk = self.disks.get(number).ok_or_else(|| say(&"there is none"))?;
        let boot = boot_cache(disk, &self.environment.spawner, &self.environment.timers);
        let volume = Volume::open(boot).await.map_err(|error| say(&error))?;
        folders.iter().try_for_each(|folder| check_folder(&volume, folder, number))?;
        let without_site = without_site(&volume).await.map_err(|fault| say(&fault))?;
        let redirects = read_redirects(&volume, folders.iter().copied()).await;
        let redirects = redirects.map_err(|fault| say(&fault))?;
        // What was read of the disk before may be of what was there then.
        let cache = PageCache::new(disk.clone(), &self.environment, self.cache);
        let volume = volume.with_cache(cache);
        let site = DiskSite { volume, folder: String::new(), redirects };
        Ok(ReadDisk { without_site, site })
    }
}

/// Nobody is served what is beside the site of a bundle: its configuration, and keys.
///
/// # Errors
/// The folder of this disk has them.
fn check_folder(volume: &Volume, folder: &str, number: usize) -> Result<(), String> {
    let is_bundle = volume.get(CONFIG_FILE).is_some();
    let has_private = folder.is_empty() || config::PRIVATE_FOLDERS.contains(&folder);
    if is_bundle && has_private {
        return Err(format!(
            "disk {}: found all of a bundle, with its {CONFIG_FILE} and keys; allowed: a folder of it without, as \"site\"",
            number + 1
        ));
    }
    Ok(())
}

/// Whether the configuration has the site on a disk.
fn is_wanted(config: &Config) -> bool {
    config.storage.site_disk > 0
}

/// The site that the configuration has on a disk; else that of the bundle that is on one, `loaded`.
///
/// # Errors
/// There is no such disk, it cannot be used, or nothing is in the folder.
pub async fn open_site<P: Platform>(
    context: &Context<P>,
    disks: &Disks,
    loaded: Option<Volume>,
) -> Result<Option<DiskSite>, String> {
    let settings = StorageSettings::new(&context.config.storage, context.platform.memory_bytes());
    let (number, folder, volume) = match (settings.site, loaded) {
        (Some((number, folder)), _) => {
            let disk = disks.get(number).ok_or_else(|| no_disk(number + 1, disks.len()))?;
            let boot = boot_cache(disk, &context.spawner, &context.timers);
            let volume = Volume::open(boot).await;
            let volume = volume.map_err(|error| format!("disk {}: {error}", number + 1))?;
            check_folder(&volume, &folder, number)
                .map_err(|fault| format!("[storage] site_folder: {fault}"))?;
            (number, folder, volume)
        }
        (None, Some(volume)) => {
            let SiteSettings { root, index: _ } = HttpSettings::new(&context.config.http).site;
            (0, root, volume)
        }
        (None, None) => return Ok(None),
    };
    let environment = CacheEnvironment {
        spawner: context.spawner.clone(),
        timers: context.timers.clone(),
        ledger: context.ledger.clone(),
    };
    let cache = PageCache::new(disks[number].clone(), &environment, settings.cache);
    let hosts = context.config.site_hosts.iter().map(|host| host.root.as_str());
    let folders = core::iter::once(&*folder).chain(hosts);
    let redirects = read_redirects(&volume, folders).await?;
    let site = DiskSite { volume: volume.with_cache(cache), folder, redirects };
    if site.files().next().is_none() {
        let DiskSite { folder, .. } = site;
        return Err(format!(
            "[storage] site_folder, or site_root in [http]: a folder of disk {} with files, and {folder}/ has none",
            number + 1
        ));
    }
    Ok(Some(site))
}

/// The redirects of the folders that are served.
async fn read_redirects(
    volume: &Volume,
    folders: impl Iterator<Item = &str>,
) -> Result<Rc<[(String, Rc<Redirects>)]>, String> {
    let mut all = Vec::new();
    for folder in folders {
        let path = if folder.is_empty() {
            REDIRECTS_FILE.to_string()
        } else {
            format!("{folder}/{REDIRECTS_FILE}")
        };
        let Some(file) = volume.get(&path) else { continue };
        let bytes = volume.read_whole(file, REDIRECTS_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| format!("the disk's {path}: {error}"))?;
        let redirects = crate::handlers::site::redirects(&bytes);
        let redirects = redirects.map_err(|faults| format!("the disk's {path}: {faults}"))?;
        all.push((folder.to_string(), Rc::new(redirects)));
    }
    Ok(all.into())
}

impl DiskSite {
    /// Another folder of the same disk.
    pub(crate) fn of_folder(&self, folder: &str) -> Self {
        Self { folder: folder.to_string(), ..self.clone() }
    }

    /// The folder's redirects.
    pub(crate) fn redirects(&self) -> Rc<Redirects> {
        let own = self.redirects.iter().find(|(folder, _)| *folder == self.folder);
        own.map(|(_, redirects)| redirects.clone()).unwrap_or_default()
    }

    /// The pages of it that are in memory.
    pub(crate) fn cache(&self) -> &PageCache {
        self.volume.cache()
    }

    /// What it is called in the log.
    pub(crate) fn name(&self) -> String {
        format!("{}/ of the disk", self.folder)
    }

    /// The paths inside the folder.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files().map(|(path, _)| path)
    }

    /// The files of the folder, by their paths inside of it.
    fn files(&self) -> impl Iterator<Item = (&str, &VolumeFile)> {
        self.volume.files.iter().filter_map(|file| Some((self.inside(&file.path)?, file)))
    }

    /// As [`web::files::Site::new`] takes them.
    pub(crate) fn variants(&self) -> impl Iterator<Item = (String, Variant, Option<u64>)> {
        self.files().map(|(path, file)| {
            let stored = StoredFile { content: file.content, cache: self.volume.cache().clone() };
            let variant = Variant::stored(Rc::new(stored), file.version);
            (path.to_string(), variant, Some(file.modified_unix_seconds))
        })
    }

    fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        match &*self.folder {
            "" => Some(path),
            folder => path.strip_prefix(folder)?.strip_prefix('/'),
        }
    }
}

/// A file whose content is read when it is wanted.
struct StoredFile {
    content: Extents,
    cache: PageCache,
}

impl Stored for StoredFile {
    fn len(&self) -> usize {
        self.content.len() as usize
    }

    fn at_hand(&self, range: Range<usize>) -> Option<Data> {
        let bytes = self.content.cached(&self.cache, range.start as u64, range.len() as u64)?;
        Some(bytes.into())
    }

    fn read(&self, range: Range<usize>) -> Reading {
        let (content, cache) = (self.content, self.cache.clone());
        Box::pin(async move {
            let read = content.read(&cache, range.start as u64, range.len() as u64).await;
            read.map(Data::from).map_err(|error| match error {
                ReadError::Busy => Unreadable::Busy,
                ReadError::Disk(_) | ReadError::TimedOut => Unreadable::Failed,
            })
        })
    }

    fn read_ahead(&self, range: Range<usize>) {
        if let Some((at, bytes)) = self.content.place(range.start as u64) {
            self.cache.read_ahead(at, bytes.min(range.len() as u64) as usize);
        }
    }
}

/// What is read before the configuration is known.
fn boot_cache(disk: &Rc<dyn BlockDevice>, spawner: &Spawner, timers: &Timers) -> PageCache {
    const LIMITS: CacheLimits =
        CacheLimits { bytes_max: 512 << 10, wait_max: Duration::from_secs(30) };
    let environment = CacheEnvironment {
        spawner: spawner.clone(),
        timers: timers.clone(),
        ledger: Ledger::unbounded(),
    };
    PageCache::new(disk.clone(), &environment, LIMITS)
}

fn no_disk(number: usize, count: usize) -> String {
    format!(
        "[storage] site_disk: a disk that the machine has, and of disk {number} it has none (it has {count})"
    )
}
