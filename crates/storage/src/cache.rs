//! Page cache: what of a disk is in memory, so that it is read once and given away as often as it is wanted.
//!
//! A page is [`PAGE_BYTES`] of the disk, or what a request can have at most. Whoever reads gets a reference to it, which the
//! network sends from where it lies; a page that nobody has used for longest goes first. Tasks that want the same page wait
//! for one read. A read goes on when those that wait for it are gone.
//!
//! All pages are weighed until the last reference to them is gone, also those that were given up and are still being sent.
//! They count with what peers make the machine hold: before that comes to half of its limit, where peers begin to be held
//! back, the cache gives up pages.

use crate::{BlockDevice, DiskError};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::sync::Arc;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use flow::ledger::{Ledger, Reserve};
use flow::sync::WakerList;
use flow::task::Spawner;
use flow::time::Timers;
use foldhash::fast::FixedState;
use inspect::Metric;
use lru::LruCache;

/// A page's length, in bytes.
pub const PAGE_BYTES: usize = 64 << 10;

/// Pages of one disk. Clones are the same cache.
#[derive(Clone)]
pub struct PageCache(Rc<Cache>);

/// What a page cache needs besides its disk.
#[derive(Clone)]
pub struct CacheEnvironment {
    /// Runs the reads.
    pub spawner: Spawner,
    /// Ends waits.
    pub timers: Timers,
    /// Where pages are weighed.
    pub ledger: Ledger,
}

/// Bounds of a page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Pages that are kept, in bytes. As much again may be on loan: given up, but still being sent.
    pub bytes_max: usize,
    /// How long a reader waits for room, and for the disk.
    pub wait_max: Duration,
}

/// What a cache did so far, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Pages that were asked for and there.
    pub hits: u64,
    /// Pages that were read from the disk.
    pub misses: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Bytes in memory, with what is on loan.
    pub held_bytes: usize,
}

/// The metrics of a page cache.
pub static CACHE_METRICS: &[Metric<PageCache>] = &[
    Metric::counter("disk_cache_hits", "Pages of disks that were in memory.", |cache| {
        cache.counters().hits
    }),
    Metric::counter("disk_cache_misses", "Pages of disks that were read.", |cache| {
        cache.counters().misses
    }),
    Metric::counter("disk_cache_failed", "Reads of pages that failed.", |cache| {
        cache.counters().failed
    }),
    Metric::byte_gauge("disk_cache_held", "Pages of disks in memory.", |cache| {
        cache.counters().held_bytes as u64
    }),
];

/// Why a page is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The disk failed.
    Disk(DiskError),
    /// The disk took longer than readers wait.
    TimedOut,
    /// So many pages are being sent that there was no room for more all the time.
    Busy,
}

struct Cache {
    device: Rc<dyn BlockDevice>,
    environment: CacheEnvironment,
    limits: CacheLimits,
    page_bytes: usize,
    pages: RefCell<LruCache<u64, Bytes, FixedState>>,
    loading: RefCell<BTreeMap<u64, Rc<Loading>>>,
    /// Bytes of pages that anybody has a reference to.
    held: Arc<AtomicUsize>,
    /// Bytes of pages that are kept.
    kept: Cell<usize>,
    reserve: Reserve,
    /// What the reserve says.
    stated: Cell<usize>,
    counters: Cell<CacheCounters>,
}

/// A page that is being read.
#[derive(Default)]
struct Loading {
    outcome: RefCell<Option<Result<Bytes, DiskError>>>,
    waiting: WakerList,
}

/// A page's bytes, weighed as long as somebody refers to them.
struct Page {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl PageCache {
    /// An empty cache for a disk.
    pub fn new(
        device: Rc<dyn BlockDevice>,
        environment: &CacheEnvironment,
        limits: CacheLimits,
    ) -> Self {
        let page_bytes = device.geometry().request_bytes_max.min(PAGE_BYTES);
        // A power of two, so that pages are whole blocks.
        let page_bytes = 1 << page_bytes.ilog2();
        Self(Rc::new(Cache {
            page_bytes,
            device,
            reserve: environment.ledger.reserve(),
            environment: environment.clone(),
            limits,
            pages: RefCell::new(LruCache::unbounded_with_hasher(FixedState::default())),
            loading: RefCell::default(),
            held: Arc::default(),
            kept: Cell::new(0),
            stated: Cell::new(0),
            counters: Cell::default(),
        }))
    }

    /// How long the disk is.
    pub fn capacity_bytes(&self) -> u64 {
        self.0.device.geometry().capacity_bytes
    }

    /// The bytes from `at` on, at most `bytes_max` of them, as many as one page has: at least one, and never more than the
    /// disk has.
    ///
    /// # Errors
    /// See [`ReadError`]; [`DiskError::OutOfRange`] at the end of the disk.
    pub async fn read(&self, at: u64, bytes_max: usize) -> Result<Bytes, ReadError> {
        let page = self.page(at / self.0.page_bytes as u64).await?;
        let from = (at % self.0.page_bytes as u64) as usize;
        let bytes = page.len().saturating_sub(from).min(bytes_max);
        if bytes == 0 {
            return Err(ReadError::Disk(DiskError::OutOfRange));
        }
        Ok(page.slice(from..from + bytes))
    }

    /// As [`read`](Self::read), if it is there.
    pub fn cached(&self, at: u64, bytes_max: usize) -> Option<Bytes> {
        let page = self.0.pages.borrow_mut().get(&(at / self.0.page_bytes as u64)).cloned()?;
        let from = (at % self.0.page_bytes as u64) as usize;
        let bytes = page.len().checked_sub(from)?.min(bytes_max);
        self.0.count(|counters| counters.hits += 1);
        (bytes > 0).then(|| page.slice(from..from + bytes))
    }

    /// Fills `out` with the bytes from `at` on.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn copy(&self, at: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let mut filled = 0;
        while filled < out.len() {
            let part = self.read(at + filled as u64, out.len() - filled).await?;
            out[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        Ok(())
    }

    /// Begins to read what of these bytes is not there, without waiting for it; no more than an eighth of the cache.
    pub fn read_ahead(&self, at: u64, bytes: usize) {
        let page_bytes = self.0.page_bytes as u64;
        let end = at.saturating_add(bytes as u64).min(self.capacity_bytes());
        let pages_max = self.0.limit_bytes() / self.0.page_bytes / 8;
        for number in (at / page_bytes..end.div_ceil(page_bytes)).take(pages_max) {
            if self.0.pages.borrow().contains(&number) {
                continue;
            }
            if self.load(number).is_err() {
                return;
            }
        }
    }

    /// Its bounds.
    pub fn limits(&self) -> &CacheLimits {
        &self.0.limits
    }

    /// What it did so far, and holds.
    pub fn counters(&self) -> CacheCounters {
        CacheCounters { held_bytes: self.0.held.load(Ordering::Relaxed), ..self.0.counters.get() }
    }

    /// A page, as long as the disk has it.
    async fn page(&self, number: u64) -> Result<Bytes, ReadError> {
        if let Some(page) = self.0.pages.borrow_mut().get(&number) {
            self.0.count(|counters| counters.hits += 1);
            return Ok(page.clone());
        }
        let timers = &self.0.environment.timers;
        let deadline = timers.now() + self.0.limits.wait_max;
        let loading = loop {
            match self.load(number) {
                // What is on loan comes back when it is sent, of which nobody tells us.
                Err(ReadError::Busy) if timers.now() < deadline => {
                    timers.sleep(BUSY_RETRY).await;
                }
                loading => break loading,
            }
        };
        let read = match loading {
            Err(error) => Err(error),
            Ok(loading) => match timers.before(deadline, poll_fn(|cx| loading.poll(cx))).await {
                Ok(outcome) => outcome.map_err(ReadError::Disk),
                Err(_) => Err(ReadError::TimedOut),
            },
        };
        // The disk's own errors are told where they come.
        if let Err(error @ (ReadError::Busy | ReadError::TimedOut)) = &read {
            log::warn!("disk, byte {}: {error}", number * self.0.page_bytes as u64);
        }
        read
    }

    /// Has a page read, if it is not being read already.
    fn load(&self, number: u64) -> Result<Rc<Loading>, ReadError> {
        let cache = &*self.0;
        if let Some(loading) = cache.loading.borrow().get(&number) {
            return Ok(loading.clone());
        }
        let at = number.checked_mul(cache.page_bytes as u64);
        let left = at.and_then(|at| self.capacity_bytes().checked_sub(at));
        let (Some(at), Some(left @ 1..)) = (at, left) else {
            return Err(ReadError::Disk(DiskError::OutOfRange));
        };
        let bytes = left.min(cache.page_bytes as u64) as usize;
        if !cache.has_room(bytes) {
            return Err(ReadError::Busy);
        }
        let loading = Rc::<Loading>::default();
        cache.loading.borrow_mut().insert(number, loading.clone());
        cache.count(|counters| counters.misses += 1);
        let reading = cache.device.read(at, bytes);
        let guard = LoadGuard { cache: self.0.clone(), number, loading: loading.clone() };
        cache.environment.spawner.spawn("disk read", async move {
            let outcome = reading.await.and_then(|page| whole(page, bytes));
            guard.cache.finish(number, &guard.loading, outcome);
        });
        Ok(loading)
    }
}

impl Cache {
    /// How much is kept at most, now.
    fn limit_bytes(&self) -> usize {
        let ledger = &self.environment.ledger;
        let others = ledger.held_bytes().saturating_sub(self.stated.get());
        let free = (ledger.limit_bytes() / 16 * 7).saturating_sub(others);
        self.limits.bytes_max.min(free).max(self.page_bytes)
    }

    /// Whether a page more may be read: there is as much room for what is on its way, to us and from us, as for what is kept.
    fn has_room(&self, bytes: usize) -> bool {
        let coming = self.loading.borrow().len() * self.page_bytes;
        let held = self.held.load(Ordering::Relaxed);
        let on_loan = held.saturating_sub(self.kept.get());
        on_loan + coming + bytes <= self.limits.bytes_max.max(READS_MIN * self.page_bytes)
    }

    /// A read is done: whoever waits for it is told, and the page is kept.
    fn finish(&self, number: u64, loading: &Loading, outcome: Result<Bytes, DiskError>) {
        let outcome = outcome.map(|bytes| self.weighed(bytes));
        self.loading.borrow_mut().remove(&number);
        match &outcome {
            Ok(page) => self.keep(number, page.clone()),
            Err(error) => {
                self.count(|counters| counters.failed += 1);
                log::warn!("disk, byte {}: {error}", number * self.page_bytes as u64);
            }
        }
        loading.outcome.replace(Some(outcome));
        loading.waiting.wake();
    }

    fn keep(&self, number: u64, page: Bytes) {
        let limit = self.limit_bytes();
        let mut pages = self.pages.borrow_mut();
        let mut kept = self.kept.get() + page.len();
        while kept > limit
            && let Some((_, oldest)) = pages.pop_lru()
        {
            kept -= oldest.len();
        }
        if let Some(before) = pages.put(number, page) {
            kept -= before.len();
        }
        self.kept.set(kept);
        drop(pages);
        self.stated.set(self.held.load(Ordering::Relaxed));
        self.reserve.set(self.stated.get());
    }

    fn weighed(&self, bytes: Bytes) -> Bytes {
        self.held.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Page { bytes, held: self.held.clone() })
    }

    fn count(&self, change: impl FnOnce(&mut CacheCounters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

impl Loading {
    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Bytes, DiskError>> {
        match &*self.outcome.borrow() {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                self.waiting.register(cx);
                Poll::Pending
            }
        }
    }
}

/// Whoever waits is told, even if the task that reads ends before the read does.
struct LoadGuard {
    cache: Rc<Cache>,
    number: u64,
    loading: Rc<Loading>,
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        if self.loading.outcome.borrow().is_none() {
            self.cache.finish(self.number, &self.loading, Err(DiskError::Failed));
        }
    }
}

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the disk does not answer"),
            Self::Busy => f.write_str("too much of the disk is being sent"),
        }
    }
}

impl core::error::Error for ReadError {}

impl From<DiskError> for ReadError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// How soon it is tried again to read a page for which there was no room.
const BUSY_RETRY: Duration = Duration::from_millis(20);
/// Whatever the limits, so many pages may be on their way.
const READS_MIN: usize = 4;

/// A device that says it gave all is taken at its word only so far.
fn whole(page: Bytes, bytes: usize) -> Result<Bytes, DiskError> {
    if page.len() == bytes { Ok(page) } else { Err(DiskError::Short) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;
    use crate::testing::executor;
    use alloc::vec::Vec;
    use flow::task::Executor;

    const WAIT_MAX: Duration = Duration::from_secs(30);

    struct World {
        executor: Executor,
        timers: Timers,
        ledger: Ledger,
        disk: MemoryDisk,
        cache: PageCache,
    }

    fn world(disk_bytes: usize, bytes_max: usize) -> World {
        let executor = executor();
        let (timers, ledger) = (Timers::new(), Ledger::new(64 << 20));
        let content: Vec<u8> = (0..disk_bytes).map(|at| (at / 512) as u8).collect();
        let disk = MemoryDisk::new(content);
        let environment = CacheEnvironment {
            spawner: executor.spawner(),
            timers: timers.clone(),
            ledger: ledger.clone(),
        };
        let limits = CacheLimits { bytes_max, wait_max: WAIT_MAX };
        let cache = PageCache::new(Rc::new(disk.clone()), &environment, limits);
        World { executor, timers, ledger, disk, cache }
    }

    type Outcome = Rc<RefCell<Option<Result<Bytes, ReadError>>>>;

    impl World {
        fn start(&self, at: u64, bytes_max: usize) -> Outcome {
            let (cache, outcome) = (self.cache.clone(), Outcome::default());
            let told = outcome.clone();
            self.executor.spawner().spawn("reader", async move {
                let read = cache.read(at, bytes_max).await;
                told.replace(Some(read));
            });
            self.executor.run(usize::MAX);
            outcome
        }

        fn read(&self, at: u64, bytes_max: usize) -> Result<Bytes, ReadError> {
            self.start(at, bytes_max).take().expect("the disk answers at once")
        }
    }

    #[test]
    fn a_page_is_read_once() {
        let world = world(4 * PAGE_BYTES, 4 * PAGE_BYTES);
        assert_eq!(world.read(512, 2).unwrap(), [1, 1][..]);
        assert_eq!(world.read(1023, 2).unwrap(), [1, 2][..]);
        assert_eq!(world.disk.reads(), 1);
        let counters = world.cache.counters();
        assert_eq!((counters.hits, counters.misses, counters.held_bytes), (1, 1, PAGE_BYTES));
    }

    #[test]
    fn a_read_ends_with_its_page_and_with_the_disk() {
        let world = world(PAGE_BYTES + 700, 4 * PAGE_BYTES);
        assert_eq!(world.read(PAGE_BYTES as u64 - 3, 10).unwrap().len(), 3);
        assert_eq!(world.read(PAGE_BYTES as u64, 5000).unwrap().len(), 1024);
        let end = PAGE_BYTES as u64 + 1024;
        assert_eq!(world.read(end - 1, 10).unwrap().len(), 1);
        let beyond = Err(ReadError::Disk(DiskError::OutOfRange));
        for at in [end, end + 1, 2 * PAGE_BYTES as u64, u64::MAX] {
            assert_eq!(world.read(at, 1), beyond, "{at}");
        }
    }

    #[test]
    fn those_that_want_the_same_wait_for_one_read() {
        let world = world(4 * PAGE_BYTES, 4 * PAGE_BYTES);
        world.disk.hold();
        let readers: Vec<_> = (0..5).map(|at| world.start(at, 1)).collect();
        assert!(readers.iter().all(|outcome| outcome.borrow().is_none()));
        assert_eq!(world.disk.reads(), 1);
        world.disk.release();
        world.executor.run(usize::MAX);
        assert!(readers.iter().all(|outcome| matches!(&*outcome.borrow(), Some(Ok(_)))));
    }

    #[test]
    fn an_error_is_told_to_all_and_not_kept() {
        let world = world(4 * PAGE_BYTES, 4 * PAGE_BYTES);
        world.disk.fail(100, Some(DiskError::Failed));
        world.disk.hold();
        let readers = [world.start(0, 1), world.start(5, 1)];
        world.disk.release();
        world.executor.run(usize::MAX);
        for outcome in readers {
            assert_eq!(outcome.take(), Some(Err(ReadError::Disk(DiskError::Failed))));
        }
        assert!(world.read(PAGE_BYTES as u64, 1).is_ok(), "the others are there");
        world.disk.fail(100, None);
        assert!(world.read(0, 1).is_ok());
        assert_eq!(world.cache.counters().failed, 1);
    }

    #[test]
    fn what_was_used_last_stays() {
        let world = world(8 * PAGE_BYTES, 2 * PAGE_BYTES);
        let page = |number| number * PAGE_BYTES as u64;
        for number in [0, 1, 0, 2] {
            world.read(page(number), 1).unwrap();
        }
        assert_eq!((world.disk.reads(), world.cache.counters().held_bytes), (3, 2 * PAGE_BYTES));
        world.read(page(0), 1).unwrap();
        assert_eq!(world.disk.reads(), 3);
        world.read(page(1), 1).unwrap();
        assert_eq!(world.disk.reads(), 4);
    }

    #[test]
    fn what_is_on_loan_is_weighed_and_bounded() {
        let world = world(32 * PAGE_BYTES, 4 * PAGE_BYTES);
        let page = |number| number * PAGE_BYTES as u64;
        let mut loans: Vec<_> = (0..8).map(|at| world.read(page(at), 1).unwrap()).collect();
        assert_eq!(world.cache.counters().held_bytes, 8 * PAGE_BYTES);
        assert_eq!(world.ledger.held_bytes(), 8 * PAGE_BYTES);
        let waiting = [world.start(page(8), 1), world.start(page(9), 1)];
        world.timers.advance(WAIT_MAX / 2);
        world.executor.run(usize::MAX);
        assert!(waiting.iter().all(|outcome| outcome.borrow().is_none()), "they wait for room");
        loans.remove(0);
        for time in [WAIT_MAX / 2 + BUSY_RETRY, WAIT_MAX + BUSY_RETRY] {
            world.timers.advance(time);
            world.executor.run(usize::MAX);
        }
        let outcomes = waiting.map(|outcome| outcome.take().expect("the wait is over"));
        let busy = outcomes.iter().filter(|outcome| **outcome == Err(ReadError::Busy));
        assert_eq!(busy.count(), 1, "there was room for one");
        drop(outcomes);
        drop(loans);
        assert_eq!(world.cache.counters().held_bytes, 4 * PAGE_BYTES);
    }

    /// Peers' memory goes before the cache's: it keeps what a little less than half of the ledger's limit leaves.
    #[test]
    fn it_gives_way_to_peers() {
        let world = world(8 * PAGE_BYTES, 8 * PAGE_BYTES);
        let page = |number| number * PAGE_BYTES as u64;
        (0..4).for_each(|number| drop(world.read(page(number), 1)));
        let limit = world.ledger.limit_bytes();
        let service = world.ledger.service("test", limit, limit);
        let account = service.account();
        account.set(limit / 16 * 7 - 2 * PAGE_BYTES);
        world.read(page(4), 1).unwrap();
        assert_eq!(world.cache.counters().held_bytes, 2 * PAGE_BYTES);
        account.set(limit / 2);
        world.read(page(5), 1).unwrap();
        assert_eq!(world.cache.counters().held_bytes, PAGE_BYTES, "one has to be had");
    }

    #[test]
    fn reading_ahead_waits_for_nothing_and_leaves_the_rest_of_the_cache() {
        let world = world(64 * PAGE_BYTES, 32 * PAGE_BYTES);
        world.disk.hold();
        world.cache.read_ahead(PAGE_BYTES as u64 / 2, 16 * PAGE_BYTES);
        assert_eq!(world.disk.reads(), 4, "an eighth");
        world.cache.read_ahead(0, PAGE_BYTES);
        assert_eq!(world.disk.reads(), 4, "what is being read is not read again");
        world.disk.release();
        world.executor.run(usize::MAX);
        world.read(3 * PAGE_BYTES as u64, 1).unwrap();
        assert_eq!(world.disk.reads(), 4);
        world.cache.read_ahead(63 * PAGE_BYTES as u64, 2 * PAGE_BYTES);
        assert_eq!(world.disk.reads(), 5, "not beyond the end");
    }

    #[test]
    fn a_disk_that_does_not_answer_costs_its_reader_only_so_long() {
        let world = world(4 * PAGE_BYTES, 4 * PAGE_BYTES);
        world.disk.hold();
        let late = world.start(0, 1);
        world.timers.advance(WAIT_MAX - Duration::from_millis(1));
        world.executor.run(usize::MAX);
        assert!(late.borrow().is_none());
        world.timers.advance(WAIT_MAX);
        world.executor.run(usize::MAX);
        assert_eq!(late.take(), Some(Err(ReadError::TimedOut)));
        world.disk.release();
        world.executor.run(usize::MAX);
        assert!(world.read(0, 1).is_ok());
        assert_eq!(world.disk.reads(), 1, "what came late is there");
    }

    #[test]
    fn a_read_goes_on_without_its_reader() {
        let world = world(4 * PAGE_BYTES, 4 * PAGE_BYTES);
        world.disk.hold();
        let cache = world.cache.clone();
        let spawner = world.executor.spawner();
        let reader = spawner.spawn("reader", async move { drop(cache.read(0, 1).await) });
        world.executor.run(usize::MAX);
        spawner.cancel(reader);
        world.disk.release();
        world.executor.run(usize::MAX);
        assert!(world.read(0, 1).is_ok());
        assert_eq!(world.disk.reads(), 1);
    }

    #[test]
    fn a_copy_goes_over_pages() {
        let world = world(3 * PAGE_BYTES, 4 * PAGE_BYTES);
        let (cache, done) = (world.cache.clone(), Rc::new(Cell::new(false)));
        let told = done.clone();
        world.executor.spawner().spawn("reader", async move {
            let mut out = [0xee; PAGE_BYTES + 1024];
            cache.copy(PAGE_BYTES as u64 - 512, &mut out).await.unwrap();
            let expected = (0..out.len()).map(|at| ((PAGE_BYTES - 512 + at) / 512) as u8);
            assert!(out.iter().copied().eq(expected));
            told.set(true);
        });
        world.executor.run(usize::MAX);
        assert!(done.get());
    }
}
