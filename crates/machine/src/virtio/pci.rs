//! Devices on the PCI bus (virtio 1.2, 4.1), with message-signalled interrupts where they have
//! them.

use super::{Device, Error, Events, Kind, kind_of};
use crate::interrupt::{Line, Trigger};
use crate::mmio::Mmio;
use crate::pci::{self, Config, Function};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use virtio_drivers::transport::Transport;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// All modern devices of a kind.
pub(super) fn devices(kind: Kind) -> Vec<Device> {
    let Some(config) = Config::find() else { return Vec::new() };
    let functions = pci::functions(config);
    functions.into_iter().filter_map(|function| open(function, kind)).collect()
}

fn open(function: Function, kind: Kind) -> Option<Device> {
    const VENDOR: u16 = 0x1af4;
    if function.vendor() != VENDOR {
        return None;
    }
    function.enable();
    let address = DeviceFunction {
        bus: function.bus(),
        device: function.device(),
        function: function.function(),
    };
    let mut root = PciRoot::new(function.config());
    let transport = PciTransport::new::<NoDma, _>(&mut root, address).ok()?;
    if kind_of(transport.device_type()) != Some(kind) {
        return None;
    }
    let wiring = Wiring::new(&function)?;
    Some(Device::new(kind, Box::new(transport), super::Wiring::Pci(wiring)))
}

/// Registers that the transport keeps to itself or uses slowly, and interrupts.
pub(super) struct Wiring {
    common: Mmio,
    notify: Mmio,
    notify_bytes: usize,
    notify_multiplier: usize,
    /// Where each queue's doorbell is; the transport would ask the device each time.
    doorbells: Vec<usize>,
    interrupts: Interrupts,
}

enum Interrupts {
    /// Message 0 says that the configuration changed, message 1 that a queue did.
    Messages {
        configuration: Line,
        queues: Line,
    },
    Pin(Line),
}

impl Wiring {
    fn new(function: &Function) -> Option<Self> {
        let common = structure(function, COMMON)?;
        let notify = structure(function, NOTIFY)?;
        let notify_multiplier = function.read(notify.capability + 16) as usize;
        Some(Self {
            common: common.map(),
            notify: notify.map(),
            notify_bytes: notify.bytes,
            notify_multiplier,
            doorbells: Vec::new(),
            interrupts: Interrupts::connect(function)?,
        })
    }

    pub(super) fn ring_doorbell(&self, queue: u16) {
        if let Some(&offset) = self.doorbells.get(usize::from(queue)) {
            self.notify.write16(offset, queue);
        }
    }

    /// What the messages say, or else the pin to ask.
    pub(super) fn take_messages(&self) -> Result<Events, &Line> {
        match &self.interrupts {
            Interrupts::Messages { configuration, queues } => {
                Ok(Events { interrupt: queues.take(), configuration: configuration.take() })
            }
            Interrupts::Pin(line) => Err(line),
        }
    }

    /// Has configuration changes send message 0. A reset undoes it.
    pub(super) fn attach_configuration(&mut self) -> Result<(), Error> {
        self.doorbells.clear();
        self.attach(MSIX_CONFIG, 0)
    }

    /// Has a queue send message 1, and learns its doorbell. To be called before the queue starts.
    pub(super) fn attach_queue(&mut self, queue: u16) -> Result<(), Error> {
        self.common.write16(QUEUE_SELECT, queue);
        self.attach(QUEUE_MSIX_VECTOR, 1)?;
        let offset = usize::from(self.common.read16(QUEUE_NOTIFY_OFF)) * self.notify_multiplier;
        if offset + 2 > self.notify_bytes {
            return Err(Error::Unsupported("a doorbell for each queue"));
        }
        self.doorbells.resize(usize::from(queue) + 1, offset);
        Ok(())
    }

    fn attach(&self, register: usize, message: u16) -> Result<(), Error> {
        if let Interrupts::Pin(_) = self.interrupts {
            return Ok(());
        }
        self.common.write16(register, message);
        // 4.1.4.3.2: what is read back says whether the device had room for it.
        if self.common.read16(register) == message { Ok(()) } else { Err(Error::OutOfInterrupts) }
    }
}

impl Interrupts {
    fn connect(function: &Function) -> Option<Self> {
        if let Some(table) = function.message_table()
            && table.messages() >= 2
        {
            let (configuration, queues) = (Line::allocate()?, Line::allocate()?);
            table.set(0, configuration.message());
            table.set(1, queues.message());
            table.enable();
            return Some(Self::Messages { configuration, queues });
        }
        let line = Line::allocate()?;
        // As for registers at a fixed address: acknowledged before each wait, so edges do.
        line.route(function.pin()?, Trigger::Edge).then_some(Self::Pin(line))
    }
}

/// Registers in the common structure (4.1.4.3).
const MSIX_CONFIG: usize = 16;
const QUEUE_SELECT: usize = 22;
const QUEUE_MSIX_VECTOR: usize = 26;
const QUEUE_NOTIFY_OFF: usize = 30;

/// Kinds of structure (4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;

/// A structure of a device, as its capability describes it.
struct Structure {
    capability: u8,
    address: u64,
    bytes: usize,
}

impl Structure {
    fn map(&self) -> Mmio {
        // SAFETY: firmware put the device's registers there, and this is its only driver.
        unsafe { Mmio::map(self.address, self.bytes) }
    }
}

fn structure(function: &Function, kind: u8) -> Option<Structure> {
    const VENDOR_SPECIFIC: u8 = 9;
    let mut capabilities = function.capabilities(VENDOR_SPECIFIC);
    let capability = capabilities.find(|&at| (function.read(at) >> 24) as u8 == kind)?;
    let bar = function.bar(function.read(capability + 4) as u8)?;
    let address = bar.checked_add(function.read(capability + 8).into())?;
    Some(Structure { capability, address, bytes: function.read(capability + 12) as usize })
}

impl ConfigurationAccess for Config {
    fn read_word(&self, at: DeviceFunction, register: u8) -> u32 {
        self.read(at.bus, at.device, at.function, register)
    }

    fn write_word(&mut self, at: DeviceFunction, register: u8, data: u32) {
        self.write(at.bus, at.device, at.function, register, data);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}

/// What the transport asks of memory: only to find registers. Queues are not the crate's.
struct NoDma;

// SAFETY: refuses to allocate, and device memory is mapped for ever.
unsafe impl Hal for NoDma {
    fn dma_alloc(_pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        (0, NonNull::dangling())
    }

    unsafe fn dma_dealloc(_at: PhysAddr, _start: NonNull<u8>, _pages: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, bytes: usize) -> NonNull<u8> {
        // SAFETY: the caller vouches that it is a device's.
        unsafe { crate::paging::map_device(physical, bytes) }
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_at: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
