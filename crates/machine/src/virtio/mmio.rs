//! Devices with registers at a fixed address (virtio 1.2, 4.2), as on QEMU's `microvm`.

use super::queue::Addresses;
use super::{Bus, Device, Error, Events, Kind, kind_of};
use crate::bus::mmio::Mmio;
use crate::interrupt::{Line, Trigger};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// All devices of a kind that the command line or the ACPI tables name.
pub(super) fn devices(kind: Kind) -> Vec<Device> {
    let dsdt = crate::bus::acpi::table(b"DSDT").unwrap_or_default();
    let places = from_command_line(command_line()).chain(from_dsdt(dsdt));
    places.filter_map(|place| open(place, kind)).collect()
}

#[cfg(feature = "runtime")]
use crate::boot::command_line;

/// A process on a host has no devices.
#[cfg(not(feature = "runtime"))]
fn command_line() -> &'static str {
    ""
}

/// Where a device is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    base: u64,
    bytes: usize,
    /// The pin of the I/O APIC that it raises.
    pin: u32,
}

/// The device there, if it is modern and of that kind.
fn open(place: Place, kind: Kind) -> Option<Device> {
    const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
    const MODERN: u32 = 2;
    if place.bytes <= CONFIGURATION || place.base.checked_add(place.bytes as u64)? > 1 << 32 {
        return None;
    }
    // SAFETY: the hypervisor says that there is a device, and this is the only code to look.
    let registers = unsafe { Mmio::map(place.base, place.bytes) };
    let is_modern = registers.read32(MAGIC) == MAGIC_VALUE && registers.read32(VERSION) == MODERN;
    if !is_modern || kind_of(registers.read32(DEVICE)) != Some(kind) {
        return None;
    }
    let line = Line::allocate()?;
    // The pin stays high until the device is acknowledged, which happens before each wait: the
    // rising edge is enough, and cannot storm.
    line.route(place.pin, Trigger::Edge).then_some(())?;
    let bytes = place.bytes;
    Some(Device::new(kind, Box::new(Registers { registers, bytes, line })))
}

/// A device's registers (4.2.2), its configuration last.
struct Registers {
    registers: Mmio,
    bytes: usize,
    line: Line,
}

impl Bus for Registers {
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

    fn start_queue(&mut self, queue: u16, size: u16, at: Addresses) -> Result<(), Error> {
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
        Ok(())
    }

    fn ring_doorbell(&self, queue: u16) {
        self.registers.write32(QUEUE_NOTIFY, queue.into());
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

/// `virtio_mmio.device=<bytes>@<base>:<pin>[:<id>]`, which QEMU adds for each device when there are
/// no ACPI tables; numbers as Linux reads them.
fn from_command_line(line: &str) -> impl Iterator<Item = Place> {
    line.split_ascii_whitespace().filter_map(|word| {
        let (bytes, rest) = word.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
        let (base, rest) = rest.split_once(':')?;
        let pin = rest.split(':').next()?;
        Some(Place {
            base: number(base)?,
            bytes: number(bytes)?.try_into().ok()?,
            pin: number(pin)?.try_into().ok()?,
        })
    })
}

/// A decimal or `0x` number with an optional factor of K or M.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok()?.checked_mul(1 << shift)
}

/// Devices in the DSDT. Their AML needs no interpreter: each has the name `LNRO0005` in it and,
/// after that, its resources as constant descriptors (ACPI 6.5, section 6.4.3).
fn from_dsdt(table: &[u8]) -> impl Iterator<Item = Place> {
    const NAME: &[u8; 8] = b"LNRO0005";
    // As arrays, which are compared at once: a table may be long.
    let is_name = |window: &[u8]| window.first_chunk() == Some(NAME);
    let names = table.windows(NAME.len()).enumerate().filter(move |(_, window)| is_name(window));
    names.filter_map(move |(at, _)| {
        let device = &table[at + NAME.len()..];
        let end = device.windows(NAME.len()).position(is_name);
        resources(&device[..end.unwrap_or(device.len())])
    })
}

/// The first memory range and the first interrupt among a device's descriptors.
fn resources(device: &[u8]) -> Option<Place> {
    use crate::bus::acpi::u32_at;
    // Tag and length of a 32-bit fixed memory range (6.4.3.4) and an extended interrupt (6.4.3.6).
    const MEMORY: [u8; 3] = [0x86, 9, 0];
    const INTERRUPT: [u8; 3] = [0x89, 6, 0];
    let find = |tag: [u8; 3]| device.windows(3).position(|window| window == tag);
    let memory = device.get(find(MEMORY)?..)?;
    let interrupt = device.get(find(INTERRUPT)?..)?;
    Some(Place {
        base: u32_at(memory, 4)?.into(),
        bytes: u32_at(memory, 8)? as usize,
        pin: u32_at(interrupt, 5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(line: &str) -> Vec<Place> {
        from_command_line(line).collect()
    }

    #[test]
    fn command_line_words_are_places() {
        let line = "log=debug virtio_mmio.device=512@0xfeb00e00:12 ip=dhcp \
                    virtio_mmio.device=4K@0xd0000000:5:1";
        let expected = [
            Place { base: 0xfeb0_0e00, bytes: 512, pin: 12 },
            Place { base: 0xd000_0000, bytes: 4096, pin: 5 },
        ];
        assert_eq!(places(line), expected);
    }

    #[test]
    fn command_line_words_that_are_wrong_are_left_out() {
        for word in [
            "virtio_mmio.device=",
            "virtio_mmio.device=512",
            "virtio_mmio.device=512@0xfeb00e00",
            "virtio_mmio.device=512@0xfeb00e00:",
            "virtio_mmio.device=512@-1:5",
            "virtio_mmio.device=99999999999999999999@1:5",
            "virtio_mmio.device=18446744073709551615M@1:5",
            "virtio_mmio.device=K@1:5",
            "virtio_mmio.device=512@1:4294967296",
        ] {
            assert_eq!(places(word), [], "{word}");
        }
    }

    /// A device as QEMU's microvm describes it.
    fn aml(base: u32, pin: u32) -> Vec<u8> {
        let mut bytes = b"\x5b\x82\x37VR05\x08_HID\x0dLNRO0005\0\x08_UID\x0a\x05".to_vec();
        bytes.extend(b"\x08_CCA\x01\x08_CRS\x11\x1a\x0a\x17\x86\x09\x00\x01");
        bytes.extend(base.to_le_bytes());
        bytes.extend(0x200_u32.to_le_bytes());
        bytes.extend([0x89, 6, 0, 1, 1]);
        bytes.extend(pin.to_le_bytes());
        bytes.extend([0x79, 0]);
        bytes
    }

    #[test]
    fn dsdt_devices_are_places() {
        let mut table = b"DSDT and other devices ".to_vec();
        table.extend(aml(0xfeb0_0000, 24));
        table.extend(b"something in between");
        table.extend(aml(0xfeb0_0200, 25));
        let expected = [
            Place { base: 0xfeb0_0000, bytes: 512, pin: 24 },
            Place { base: 0xfeb0_0200, bytes: 512, pin: 25 },
        ];
        assert_eq!(from_dsdt(&table).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_dsdt_cut_anywhere_is_read_without_harm() {
        let table = aml(0xfeb0_0000, 24);
        for end in 0..table.len() - 2 {
            assert_eq!(from_dsdt(&table[..end]).count(), 0, "cut at {end}");
        }
    }
}
