//! Disks of the machine: they are driven in each turn of the loop, beside the cards.

use crate::guest::Guest;
use alloc::rc::Rc;
use alloc::vec::Vec;
use aqueduct::disk::{self, AtStart};
use core::time::Duration;
use machine::virtio::{self, Kind};
use storage::BlockDevice;
use virtio_blk::{Settings, VirtioBlk};
use xen_blkfront::XenBlkfront;
use xen_store::Store;

/// All disks. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Disks {
    virtio: Rc<[VirtioBlk]>,
    xen: Rc<[XenBlkfront]>,
    /// Xen's come and go by xenstore.
    store: Option<Store>,
}

impl Disks {
    /// Finds them, in the order in which the machine lists them; those of a Xen guest by their numbers.
    pub(crate) fn open(guest: Option<&mut Guest>) -> Self {
        let store = guest.as_ref().map(|guest| guest.store().clone());
        let xen = guest.map_or(Vec::new(), Guest::disks);
        Self { virtio: open_virtio().into(), xen: xen.into(), store }
    }

    /// Takes up what they are done with, and wakes the tasks that wait for it.
    pub(crate) fn poll(&self) {
        for disk in self.virtio.iter() {
            disk.poll();
        }
        for disk in self.xen.iter() {
            disk.poll();
        }
    }

    /// Tells them what tasks asked for since the last call.
    pub(crate) fn flush(&self) {
        for disk in self.virtio.iter() {
            disk.flush_requests();
        }
        for disk in self.xen.iter() {
            disk.flush_requests();
        }
    }

    /// Turns their interrupts on; false when there is something to do already.
    pub(crate) fn prepare_to_wait(&self) -> bool {
        self.virtio.iter().all(VirtioBlk::prepare_to_wait)
            && self.xen.iter().all(XenBlkfront::prepare_to_wait)
    }
}

impl AtStart for Disks {
    fn devices(&self) -> disk::Disks {
        let virtio = self.virtio.iter().map(|disk| Rc::new(disk.clone()) as Rc<dyn BlockDevice>);
        let xen = self.xen.iter().map(|disk| Rc::new(disk.clone()) as Rc<dyn BlockDevice>);
        virtio.chain(xen).collect()
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
        // Its events would end each wait.
        self.store.as_ref().map(Store::poll);
    }
}

fn open_virtio() -> Vec<VirtioBlk> {
    let settings = Settings::for_ram(machine::memory::usage().total_bytes as u64);
    let open = |device| match VirtioBlk::open(device, &settings) {
        Ok(disk) => Some(disk),
        Err(error) => {
            log::error!("a disk cannot be used: {error:?}");
            None
        }
    };
    virtio::devices(Kind::Block).into_iter().filter_map(open).collect()
}
