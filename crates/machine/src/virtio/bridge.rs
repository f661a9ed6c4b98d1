//! Bridge to the crate `virtio-drivers`: our DMA memory and our transports, as its queues see them.
//!
//! Devices are found and negotiated with by [`Control`], as all others; the crate's transports for memory and for PCI are
//! not used. Its queue is, where a device answers requests in any order ([`BlockQueue`](super::BlockQueue)); rings whose
//! buffers come back in order ([`ReceiveRing`](super::ReceiveRing)) are ours, and cost less.

use super::control::Control;
use super::error::Error;
use super::feature;
use super::queue::Addresses;
use super::transport::{Doorbell, Events, Interrupt, Kind};
use crate::arch::page_tables;
use crate::memory::{PAGE_BYTES, Pages, dma};
use alloc::boxed::Box;
use core::ptr::NonNull;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// DMA memory. It is never given back, as in [`dma`](crate::memory::dma): nothing proves that a device that breaks the
/// rules has stopped using it.
#[derive(Debug)]
pub(super) struct Memory;

const _: () = assert!(PAGE_BYTES == virtio_drivers::PAGE_SIZE);

// SAFETY: pages are zeroed, aligned, and leaked to the one who asked for them.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        /// Which is no page's address, and says that memory is short.
        const NOWHERE: PhysAddr = 0;
        match Pages::new(pages, 1) {
            Some(pages) => dma::leak(pages),
            None => (NOWHERE, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only the crate's own transports ask, and none of them is used")
    }

    /// Where it is for us, it is for the device, too.
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let physical = buffer.cast::<u8>().as_ptr() as PhysAddr;
        let is_host = cfg!(any(test, feature = "fake"));
        assert!(is_host || page_tables::is_identity(physical), "only rings are mapped elsewhere");
        physical
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// A device that has been negotiated with, for queues of the crate: each of them with its doorbell, all with one interrupt.
pub(super) struct Bridge {
    control: Control,
    doorbells: [Option<Box<dyn Doorbell>>; QUEUES_MAX],
    interrupt: Interrupt,
    /// Why the last queue could not be set up; the crate's way to do so has no result.
    refusal: Option<Error>,
}

const QUEUES_MAX: usize = 3;

impl Bridge {
    /// The interrupts of its queues come to this CPU.
    pub(super) fn new(mut control: Control) -> Result<Self, Error> {
        let interrupt = control.transport().pair_interrupt(0)?;
        Ok(Self { control, doorbells: [const { None }; QUEUES_MAX], interrupt, refusal: None })
    }

    pub(super) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Why the last queue could not be set up, if it could not.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.refusal.take().map_or(Ok(()), Err)
    }

    /// What happened since this was last asked, as [`Control::take_events`].
    pub(super) fn take_events(&mut self) -> Events {
        let events = self.control.take_events();
        Events { interrupt: self.interrupt.take() || events.interrupt, ..events }
    }
}

impl Transport for Bridge {
    fn device_type(&self) -> DeviceType {
        match self.control.kind() {
            Kind::Network => DeviceType::Network,
            Kind::Block => DeviceType::Block,
            Kind::Entropy => DeviceType::EntropySource,
            Kind::Socket => DeviceType::Socket,
        }
    }

    /// Without the event index: the crate compares its positions as if they did not wrap, so that a doorbell would be left
    /// out once in 65,536.
    fn read_device_features(&mut self) -> u64 {
        self.control.transport().offered() & !feature::EVENT_IDX
    }

    fn write_driver_features(&mut self, features: u64) {
        self.control.transport().accept(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.control.transport().queue_size_max(queue)
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(doorbell)) = self.doorbells.get(usize::from(queue)) {
            doorbell.ring();
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.control.status().into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.control.transport().set_status(status.bits() as u8);
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        let at = Addresses { descriptors, driver, device };
        let Some(place) = self.doorbells.get_mut(usize::from(queue)) else {
            self.refusal = Some(Error::Unsupported("so many queues"));
            return;
        };
        match self.control.transport().start_queue(queue, 0, size as u16, at) {
            Ok(doorbell) => *place = Some(doorbell),
            Err(error) => self.refusal = Some(error),
        }
    }

    /// The device is reset before its queues go.
    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.doorbells.get(usize::from(queue)).is_some_and(Option::is_some)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let events = self.take_events();
        let mut status = InterruptStatus::empty();
        status.set(InterruptStatus::QUEUE_INTERRUPT, events.interrupt);
        status.set(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT, events.configuration);
        status
    }

    /// Transports here do not read it: what is asked for does not change while it is read.
    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(
        &self,
        offset: usize,
    ) -> virtio_drivers::Result<T> {
        let mut value = T::new_zeroed();
        for (at, byte) in (offset..).zip(value.as_mut_bytes()) {
            *byte = self.control.configuration(at);
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _: usize,
        _: T,
    ) -> virtio_drivers::Result<()> {
        Err(virtio_drivers::Error::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::fake::{self, Offer};
    use crate::virtio::feature::VERSION_1;
    use alloc::vec::Vec;

    /// A device whose queues have no interrupt of their own raises the one of all.
    #[test]
    fn interrupts_are_taken_once_for_queues_and_for_the_configuration() {
        let (kind, queue_sizes) = (Kind::Block, Vec::from([8]));
        let offer = Offer { kind, features: VERSION_1, configuration: Vec::from([0]), queue_sizes };
        let (control, side) = fake::device(offer);
        let mut bridge = Bridge::new(control).unwrap();
        // 4.1.4.5: bit 0 is for queues, bit 1 for the configuration.
        let mut taken = || bridge.ack_interrupt().bits();
        assert_eq!(taken(), 0);
        side.interrupt();
        assert_eq!((taken(), taken()), (1, 0));
        side.configure(0, 1);
        assert_eq!((taken(), taken()), (2, 0));
    }
}
