//! What tests of this crate have in common.

use crate::memory::MemoryDisk;
use crate::{CacheEnvironment, CacheLimits, PAGE_BYTES, PageCache};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::time::Duration;
use flow::ledger::Ledger;
use flow::task::Executor;
use flow::time::Timers;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

/// Runs tasks of tests.
pub(crate) fn executor() -> Executor {
    Executor::new(|body| catch_unwind(AssertUnwindSafe(body)).map_err(|_| String::from("a panic")))
}

/// A disk with this content, and whoever runs its reads.
pub(crate) fn cache(disk: &[u8]) -> (Executor, PageCache) {
    let executor = executor();
    let environment = CacheEnvironment {
        spawner: executor.spawner(),
        timers: Timers::new(),
        ledger: Ledger::unbounded(),
    };
    let limits = CacheLimits { bytes_max: 16 * PAGE_BYTES, wait_max: Duration::from_secs(1) };
    let cache = PageCache::new(Rc::new(MemoryDisk::new(disk)), &environment, limits);
    (executor, cache)
}

/// What comes of work that waits for nothing but a disk in memory.
pub(crate) fn wait<T: 'static>(executor: &Executor, work: impl Future<Output = T> + 'static) -> T {
    let outcome = Rc::new(RefCell::new(None));
    let told = outcome.clone();
    executor.spawner().spawn("work", async move {
        let done = work.await;
        told.replace(Some(done));
    });
    executor.run(usize::MAX);
    outcome.take().expect("a disk in memory answers at once")
}
