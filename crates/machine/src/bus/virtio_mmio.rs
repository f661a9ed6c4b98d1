//! Discovery of virtio devices with memory-mapped registers (virtio 1.2, section 4.2.3): a bus that lists
//! nothing itself, so the command line or ACPI's tables do.

use super::acpi::{self, u32_at};
use crate::start_info;

/// Where a device is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MmioDevice {
    pub(crate) base: u64,
    pub(crate) bytes: usize,
    /// The pin of the I/O APIC that it raises.
    pub(crate) pin: u32,
}

/// All that the command line or the ACPI tables name.
pub(crate) fn devices() -> impl Iterator<Item = MmioDevice> {
    let dsdt = acpi::table(b"DSDT").unwrap_or_default();
    from_command_line(start_info::command_line()).chain(from_dsdt(dsdt))
}

/// `virtio_mmio.device=<bytes>@<base>:<pin>[:<id>]`, which QEMU adds for each device when there are
/// no ACPI tables; numbers as Linux reads them.
fn from_command_line(line: &str) -> impl Iterator<Item = MmioDevice> {
    line.split_ascii_whitespace().filter_map(|word| {
        let (bytes, rest) = word.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
        let (base, rest) = rest.split_once(':')?;
        let pin = rest.split(':').next()?;
        Some(MmioDevice {
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
fn from_dsdt(table: &[u8]) -> impl Iterator<Item = MmioDevice> {
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
fn resources(device: &[u8]) -> Option<MmioDevice> {
    // Tag and length of a 32-bit fixed memory range (6.4.3.4) and an extended interrupt (6.4.3.6).
    const MEMORY: [u8; 3] = [0x86, 9, 0];
    const INTERRUPT: [u8; 3] = [0x89, 6, 0];
    let find = |tag: [u8; 3]| device.windows(3).position(|window| window == tag);
    let memory = device.get(find(MEMORY)?..)?;
    let interrupt = device.get(find(INTERRUPT)?..)?;
    Some(MmioDevice {
        base: u32_at(memory, 4)?.into(),
        bytes: u32_at(memory, 8)? as usize,
        pin: u32_at(interrupt, 5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn devices(line: &str) -> Vec<MmioDevice> {
        from_command_line(line).collect()
    }

    #[test]
    fn command_line_words_are_places() {
        let line = "log=debug virtio_mmio.device=512@0xfeb00e00:12 ip=dhcp \
                    virtio_mmio.device=4K@0xd0000000:5:1";
        let expected = [
            MmioDevice { base: 0xfeb0_0e00, bytes: 512, pin: 12 },
            MmioDevice { base: 0xd000_0000, bytes: 4096, pin: 5 },
        ];
        assert_eq!(devices(line), expected);
    }

    /// Linux's `memparse`, as far as QEMU and operators use it.
    #[test]
    fn numbers_are_decimal_or_hexadecimal_and_have_factors() {
        for (text, value) in [
            ("512", 512),
            ("0x1fF", 511),
            ("4K", 4096),
            ("12k", 12_288),
            ("3M", 3 << 20),
            ("10m", 10 << 20),
            ("0x10M", 16 << 20),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert!(["", "M", "0x", "1G", "x1", "1 "].iter().all(|text| number(text).is_none()));
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
            assert_eq!(devices(word), [], "{word}");
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
            MmioDevice { base: 0xfeb0_0000, bytes: 512, pin: 24 },
            MmioDevice { base: 0xfeb0_0200, bytes: 512, pin: 25 },
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
