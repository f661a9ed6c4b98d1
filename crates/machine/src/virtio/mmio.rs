//! Virtio over memory-mapped registers (virtio 1.2, 4.2), as on QEMU's `microvm`.

use super::control::Control;
use super::error::Error;
use super::queue::Addresses;
use super::transport::{Doorbell, Events, Interrupt, Kind, Transport, kind_of};
use crate::bus::mmio::Mmio;
use crate::bus::virtio_mmio::{self, MmioDevice};
use crate::interrupt::Line;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// All devices of a kind.
pub(super) fn devices(kind: Kind) -> Vec<Control> {
    virtio_mmio::devices().filter_map(|device| open(device, kind)).collect()
}

/// Network cards with the legacy interface only.
pub(super) fn unusable_cards() -> impl Iterator<Item = String> {
    virtio_mmio::devices().filter_map(remedy).map(String::from)
}

/// How to have a card that works in the place of a legacy one.
fn remedy(device: MmioDevice) -> Option<&'static str> {
    let is_card = kind_of(registers(device, LEGACY)?.read32(DEVICE)) == Some(Kind::Network);
    is_card.then_some(
        "a legacy virtio card (QEMU: -global virtio-mmio.force-legacy=false makes it a modern one)",
    )
}

/// The device there, if it is modern and of that kind.
fn open(device: MmioDevice, kind: Kind) -> Option<Control> {
    let registers = registers(device, MODERN)?;
    if kind_of(registers.read32(DEVICE)) != Some(kind) {
        return None;
    }
    let line = Line::allocate()?;
    // The pin stays high until the device is acknowledged, which happens before each wait: the
    // rising edge is enough, and cannot storm.
    line.route(device.pin).then_some(())?;
    let bytes = device.bytes;
    Some(Control::new(kind, Box::new(Registers { registers, bytes, line })))
}

/// The registers there, if they are a device's with this version of the interface.
fn registers(device: MmioDevice, version: u32) -> Option<Mmio> {
    const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
    if device.bytes <= CONFIGURATION || device.base.checked_add(device.bytes as u64)? > 1 << 32 {
        return None;
    }
    // SAFETY: the hypervisor says that there is a device, and only this module looks.
    let registers = unsafe { Mmio::map(device.base, device.bytes) };
    let is_it = registers.read32(MAGIC) == MAGIC_VALUE && registers.read32(VERSION) == version;
    is_it.then_some(registers)
}

/// Versions of the interface.
const LEGACY: u32 = 1;
const MODERN: u32 = 2;

/// A device's registers (4.2.2), its configuration last.
struct Registers {
    registers: Mmio,
    bytes: usize,
    line: Line,
}

impl Transport for Registers {
    fn offered(&mut self) -> u64 {
        let half = |number| {
            self.registers.write32(OFFERED_HALF, number);
            u64::from(self.registers.read32(OFFERED))
        };
        half(0) | half(1) << 32
    }

    fn accept(&mut self, features: u64) {
        for (number, half) in (0..).zip([features as u32, (features >> 32) as u32]) {
            self.registers.write32(ACCEPTED_HALF, number);
            self.registers.write32(ACCEPTED, half);
        }
    }

    fn status(&self) -> u8 {
        self.registers.read32(STATUS) as u8
    }

    fn set_status(&mut self, status: u8) {
        self.registers.write32(STATUS, status.into());
    }

    /// The one interrupt is for that too.
    fn attach_configuration(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn queue_size_max(&mut self, queue: u16) -> u32 {
        self.registers.write32(QUEUE_SELECT, queue.into());
        self.registers.read32(QUEUE_SIZE_MAX)
    }

    /// The one interrupt is for that too.
    fn pair_interrupt(&mut self, _pair: u16) -> Result<Interrupt, Error> {
        Ok(Interrupt::Shared)
    }

    fn start_queue(
        &mut self,
        queue: u16,
        _pair: u16,
        size: u16,
        at: Addresses,
    ) -> Result<Box<dyn Doorbell>, Error> {
        self.registers.write32(QUEUE_SELECT, queue.into());
        self.registers.write32(QUEUE_SIZE, size.into());
        for (register, address) in [
            (QUEUE_DESCRIPTORS, at.descriptors),
            (QUEUE_DRIVER, at.driver),
            (QUEUE_DEVICE, at.device),
        ] {
            self.registers.write32(register, address as u32);
            self.registers.write32(register + 4, (address >> 32) as u32);
        }
        self.registers.write32(QUEUE_READY, 1);
        Ok(Box::new(Notify { register: self.registers.window(QUEUE_NOTIFY, 4), queue }))
    }

    fn take_events(&mut self) -> Events {
        if !self.line.take() {
            return Events::default();
        }
        let status = self.registers.read32(INTERRUPT_STATUS);
        self.registers.write32(INTERRUPT_ACKNOWLEDGE, status);
        Events::of_status(status as u8)
    }

    fn configuration(&self, offset: usize) -> Option<u8> {
        let at = CONFIGURATION.checked_add(offset).filter(|&at| at < self.bytes)?;
        Some(self.registers.read8(at))
    }
}

/// Where all queues of a device have their doorbell.
#[derive(Debug)]
struct Notify {
    register: Mmio,
    queue: u16,
}

impl Doorbell for Notify {
    fn ring(&self) {
        self.register.write32(0, self.queue.into());
    }
}

const MAGIC: usize = 0;
const VERSION: usize = 4;
const DEVICE: usize = 8;
const OFFERED: usize = 0x10;
const OFFERED_HALF: usize = 0x14;
const ACCEPTED: usize = 0x20;
const ACCEPTED_HALF: usize = 0x24;
const QUEUE_SELECT: usize = 0x30;
const QUEUE_SIZE_MAX: usize = 0x34;
const QUEUE_SIZE: usize = 0x38;
const QUEUE_READY: usize = 0x44;
const QUEUE_NOTIFY: usize = 0x50;
const INTERRUPT_STATUS: usize = 0x60;
const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
const STATUS: usize = 0x70;
const QUEUE_DESCRIPTORS: usize = 0x80;
const QUEUE_DRIVER: usize = 0x90;
const QUEUE_DEVICE: usize = 0xa0;
const CONFIGURATION: usize = 0x100;

#[cfg(test)]
mod tests;
