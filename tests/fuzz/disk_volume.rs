//! A disk with anything on it: no panic, every file is where a disk can be read or an error, and there is an end.

use flow::ledger::Ledger;
use flow::task::Executor;
use flow::time::Timers;
use std::rc::Rc;
use std::time::Duration;
use storage::memory::MemoryDisk;
use storage::{CacheEnvironment, CacheLimits, PageCache, Volume};

pub(crate) fn target(data: &[u8]) {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let environment = CacheEnvironment {
        spawner: executor.spawner(),
        timers: Timers::new(),
        ledger: Ledger::unbounded(),
    };
    let limits = CacheLimits { bytes_max: 1 << 20, wait_max: Duration::from_secs(1) };
    let cache = PageCache::new(Rc::new(MemoryDisk::new(data)), &environment, limits);
    executor.spawner().spawn("open", async move {
        let Ok(volume) = Volume::open(cache).await else { return };
        assert!(volume.files.is_sorted_by(|one, other| one.path <= other.path));
        for file in &volume.files {
            // A file may say that it is longer than any disk: what there is of it is read to its end.
            let mut offset = 0;
            while let Ok(part) = file.content.read(volume.cache(), offset, u64::MAX).await {
                assert!(!part.is_empty());
                offset += part.len() as u64;
            }
            assert!(offset <= file.content.len());
        }
    });
    executor.run(usize::MAX);
}
