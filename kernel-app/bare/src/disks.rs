//! Disks of the machine: they are driven in each turn of the loop, beside the cards.

use alloc::rc::Rc;
use aqueduct::disk::{self, AtStart};
use core::time::Duration;
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
}

impl AtStart for Disks {
    fn devices(&self) -> disk::Disks {
        self.0.iter().map(|disk| Rc::new(disk.clone()) as Rc<dyn BlockDevice>).collect()
    }

    fn now(&self) -> Duration {
        machine::clock::now()
    }

    fn wait(&self, deadline: Option<Duration>) {
        self.flush();
        if self.prepare_to_wait() {
            machine::idle::wait(deadline);
        }
        self.poll();
    }
}
