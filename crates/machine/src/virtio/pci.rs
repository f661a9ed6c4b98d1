//! Virtio over the PCI bus (virtio 1.2, 4.1), with message-signalled interrupts where they have
//! them.

use super::control::Control;
use super::error::Error;
use super::queue::Addresses;
use super::transport::{Doorbell, Events, Interrupt, Kind, OwnInterrupt, Transport, kind_of};
use crate::bus::host_bridge;
use crate::bus::mmio::Mmio;
use crate::bus::pci::{self, Config, Function, MessageTable};
use crate::interrupt::Line;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// All modern devices of a kind.
pub(super) fn devices(kind: Kind) -> Vec<Control> {
    let Some(config) = Config::find() else { return Vec::new() };
    let functions = pci::functions(config);
    functions.into_iter().filter_map(|function| open(function, kind)).collect()
}

/// Network controllers that are no virtio cards, or have the legacy interface only.
pub(super) fn unusable_cards() -> impl Iterator<Item = String> {
    let functions = Config::find().map(pci::functions).unwrap_or_default();
    functions.into_iter().filter_map(|function| remedy(&function))
}

/// How to have a card that works in the place of this function, if that is a card.
fn remedy(function: &Function) -> Option<String> {
    const NETWORK: u32 = 2;
    if function.read(8) >> 24 != NETWORK {
        return None;
    }
    let [vendor, device] = [function.read(0) & 0xffff, function.read(0) >> 16];
    let remedy = match vendor {
        VENDOR => "without a modern interface that works (QEMU: leave out disable-modern=on)",
        _ => "which is no virtio card (QEMU: -device virtio-net-pci)",
    };
    Some(format!("PCI card {vendor:04x}:{device:04x}, {remedy}"))
}

/// virtio's.
const VENDOR: u32 = 0x1af4;

fn open(function: Function, kind: Kind) -> Option<Control> {
    const MODERN: u32 = 0x1040;
    let [vendor, device] = [function.read(0) & 0xffff, function.read(0) >> 16];
    // 4.1.2.1: devices that also speak the legacy interface have numbers of their own.
    let number = match device {
        0x1000 => 1,
        0x1001 => 2,
        0x1005 => 4,
        0x1012 => 19,
        _ => device.checked_sub(MODERN)?,
    };
    if vendor != VENDOR || kind_of(number) != Some(kind) {
        return None;
    }
    host_bridge::place(&function);
    function.enable();
    Some(Control::new(kind, Box::new(Registers::new(&function)?)))
}

/// A device's registers: structures that lie where capabilities say.
struct Registers {
    common: Mmio,
    notify: Mmio,
    notify_bytes: usize,
    notify_multiplier: usize,
    interrupt_status: Mmio,
    configuration: Option<(Mmio, usize)>,
    interrupts: Interrupts,
}

enum Interrupts {
    /// Message 0 says that the configuration changed, message 1 + N that a queue of pair N did.
    Messages {
        configuration: Line,
        table: MessageTable,
    },
    Pin(Line),
}

impl Registers {
    fn new(function: &Function) -> Option<Self> {
        let structures = structures(function);
        let find = |kind, bytes_min, align| {
            let found = structures.iter().find(|one| {
                one.kind == kind && one.bytes >= bytes_min && one.offset.is_multiple_of(align)
            })?;
            Some((found, function.registers(found.range, found.offset, found.bytes)?))
        };
        let (_, common) = find(COMMON, COMMON_BYTES, 4)?;
        let (doorbells, notify) = find(NOTIFY, 2, 2)?;
        let (_, interrupt_status) = find(INTERRUPT_STATUS, 1, 1)?;
        Some(Self {
            common,
            notify,
            notify_bytes: doorbells.bytes,
            notify_multiplier: function.read(doorbells.capability + 16) as usize,
            interrupt_status,
            configuration: find(CONFIGURATION, 1, 1).map(|(found, place)| (place, found.bytes)),
            interrupts: Interrupts::connect(function)?,
        })
    }

    /// Has an event send a message.
    fn attach(&self, register: usize, message: u16) -> Result<(), Error> {
        if let Interrupts::Pin(_) = self.interrupts {
            return Ok(());
        }
        self.common.write16(register, message);
        // 4.1.4.3.2: what is read back says whether the device had room for it.
        if self.common.read16(register) == message { Ok(()) } else { Err(Error::OutOfInterrupts) }
    }

    /// The doorbell of the selected queue.
    fn doorbell(&self, queue: u16) -> Result<Notify, Error> {
        let offset = usize::from(self.common.read16(QUEUE_NOTIFY_OFF)) * self.notify_multiplier;
        if offset + 2 > self.notify_bytes || !offset.is_multiple_of(2) {
            return Err(Error::Unsupported("a doorbell for each queue"));
        }
        Ok(Notify { register: self.notify.window(offset, 2), queue })
    }
}

impl Transport for Registers {
    fn offered(&mut self) -> u64 {
        let half = |number| {
            self.common.write32(OFFERED_HALF, number);
            u64::from(self.common.read32(OFFERED))
        };
        half(0) | half(1) << 32
    }

    fn accept(&mut self, features: u64) {
        for (number, half) in (0..).zip([features as u32, (features >> 32) as u32]) {
            self.common.write32(ACCEPTED_HALF, number);
            self.common.write32(ACCEPTED, half);
        }
    }

    fn status(&self) -> u8 {
        self.common.read8(STATUS)
    }

    fn set_status(&mut self, status: u8) {
        self.common.write8(STATUS, status);
    }

    /// By message 0.
    fn attach_configuration(&mut self) -> Result<(), Error> {
        self.attach(MSIX_CONFIG, 0)
    }

    fn queue_size_max(&mut self, queue: u16) -> u32 {
        self.common.write16(QUEUE_SELECT, queue);
        self.common.read16(QUEUE_SIZE).into()
    }

    fn pair_interrupt(&mut self, pair: u16) -> Result<Interrupt, Error> {
        let Interrupts::Messages { table, .. } = &self.interrupts else {
            return Ok(Interrupt::Shared);
        };
        if pair >= table.messages() - 1 {
            return Err(Error::OutOfInterrupts);
        }
        let line = Line::allocate().ok_or(Error::OutOfInterrupts)?;
        table.set(1 + pair, line.message());
        Ok(Interrupt::Own(OwnInterrupt(line)))
    }

    fn start_queue(
        &mut self,
        queue: u16,
        pair: u16,
        size: u16,
        at: Addresses,
    ) -> Result<Box<dyn Doorbell>, Error> {
        self.common.write16(QUEUE_SELECT, queue);
        self.attach(QUEUE_MSIX_VECTOR, 1 + pair)?;
        let doorbell = self.doorbell(queue)?;
        self.common.write16(QUEUE_SIZE, size);
        for (register, address) in [
            (QUEUE_DESCRIPTORS, at.descriptors),
            (QUEUE_DRIVER, at.driver),
            (QUEUE_DEVICE, at.device),
        ] {
            // 4.1.3.1: as two halves.
            self.common.write32(register, address as u32);
            self.common.write32(register + 4, (address >> 32) as u32);
        }
        self.common.write16(QUEUE_ENABLE, 1);
        Ok(Box::new(doorbell))
    }

    fn take_events(&mut self) -> Events {
        match &self.interrupts {
            Interrupts::Messages { configuration, .. } => {
                Events { interrupt: false, configuration: configuration.take() }
            }
            // Reading it lets the pin go.
            Interrupts::Pin(line) if line.take() => {
                Events::of_status(self.interrupt_status.read8(0))
            }
            Interrupts::Pin(_) => Events::default(),
        }
    }

    fn configuration(&self, offset: usize) -> Option<u8> {
        let (place, bytes) = self.configuration.as_ref()?;
        (offset < *bytes).then(|| place.read8(offset))
    }
}

impl Interrupts {
    fn connect(function: &Function) -> Option<Self> {
        if let Some(table) = function.message_table()
            && table.messages() >= 2
        {
            let configuration = Line::allocate()?;
            table.set(0, configuration.message());
            table.enable();
            return Some(Self::Messages { configuration, table });
        }
        let line = Line::allocate()?;
        // As for registers at a fixed address: acknowledged before each wait, so edges do.
        line.route(function.pin()?).then_some(Self::Pin(line))
    }
}

/// Where a queue has its doorbell (4.1.4.4).
#[derive(Debug)]
struct Notify {
    register: Mmio,
    queue: u16,
}

impl Doorbell for Notify {
    fn ring(&self) {
        self.register.write16(0, self.queue);
    }
}

/// Registers in the common structure (4.1.4.3).
const OFFERED_HALF: usize = 0;
const OFFERED: usize = 4;
const ACCEPTED_HALF: usize = 8;
const ACCEPTED: usize = 12;
const MSIX_CONFIG: usize = 16;
const STATUS: usize = 20;
const QUEUE_SELECT: usize = 22;
const QUEUE_SIZE: usize = 24;
const QUEUE_MSIX_VECTOR: usize = 26;
const QUEUE_ENABLE: usize = 28;
const QUEUE_NOTIFY_OFF: usize = 30;
const QUEUE_DESCRIPTORS: usize = 32;
const QUEUE_DRIVER: usize = 40;
const QUEUE_DEVICE: usize = 48;
const COMMON_BYTES: usize = 56;

/// Kinds of structure (4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const INTERRUPT_STATUS: u8 = 3;
const CONFIGURATION: u8 = 4;

/// A structure of a device, as its capability describes it.
struct Structure {
    kind: u8,
    capability: u8,
    range: u8,
    offset: u32,
    bytes: usize,
}

/// All structures, in the order of preference that the device gives them.
fn structures(function: &Function) -> Vec<Structure> {
    const VENDOR_SPECIFIC: u8 = 9;
    let describe = |capability| Structure {
        kind: (function.read(capability) >> 24) as u8,
        capability,
        range: function.read(capability + 4) as u8,
        offset: function.read(capability + 8),
        bytes: function.read(capability + 12) as usize,
    };
    function.capabilities(VENDOR_SPECIFIC).map(describe).collect()
}

#[cfg(test)]
mod tests;
