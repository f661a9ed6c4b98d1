//! Disks of the machine: they are driven in each turn of the loop, beside the cards.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use aqueduct::disk;
use core::cell::RefCell;
use flow::task::Executor;
use flow::time::Timers;
use machine::virtio::{self, Kind};
use storage::BlockDevice;
use virtio_blk::{Settings, VirtioBlk};

/// All disks. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Disks(Rc<[VirtioBlk]>);

impl Disks {
    /// Finds them, in the order in which the machine lists them.
    pub(crate) fn open() -> Self {
        let settings = Settings::for_ram(machine::memory::usage().total_bytes as u64);
        let open = |device| match VirtioBlk::open(device, &settings) {
            Ok(disk) => Some(disk),
            Err(error) => {
                log::error!("a disk cannot be used: {error:?}");
                None
            }
        };
        Self(virtio::devices(Kind::Block).into_iter().filter_map(open).collect())
    }

    /// As the application sees them.
    pub(crate) fn devices(&self) -> disk::Disks {
        self.0.iter().map(|disk| Rc::new(disk.clone()) as Rc<dyn BlockDevice>).collect()
    }

    /// Takes up what they are done with, and wakes the tasks that wait for it.
    pub(crate) fn poll(&self) {
        for disk in self.0.iter() {
            disk.poll();
        }
    }

    /// Tells them what tasks asked for since the last call.
    pub(crate) fn flush(&self) {
        for disk in self.0.iter() {
            disk.flush_requests();
        }
    }

    /// Turns their interrupts on; false when there is something to do already.
    pub(crate) fn prepare_to_wait(&self) -> bool {
        self.0.iter().all(VirtioBlk::prepare_to_wait)
    }

    /// Waits for something at the start, when only disks are worked with.
    pub(crate) fn wait<T: 'static>(
        &self,
        executor: &Executor,
        timers: &Timers,
        what: impl Future<Output = Result<T, String>> + 'static,
    ) -> Result<T, String> {
        let outcome = Rc::new(RefCell::new(None));
        let (told, spawner) = (outcome.clone(), executor.spawner());
        executor.spawner().spawn("start from a disk", async move {
            let outcome = spawner.catching(what).await;
            told.replace(Some(outcome.unwrap_or_else(|error| Err(error.to_string()))));
        });
        loop {
            timers.advance(machine::clock::now());
            executor.run(usize::MAX);
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            self.flush();
            if self.prepare_to_wait() {
                machine::idle::wait(timers.next_deadline());
            }
            self.poll();
        }
    }
}
