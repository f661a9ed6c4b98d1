use super::*;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use spinning_top::Spinlock;

/// Configuration space by bus, device, function and register; all ones elsewhere. A base address register keeps the bits that
/// [`SIZE`] behind it has zeros for.
#[derive(Debug, Default)]
pub(crate) struct Space(Spinlock<BTreeMap<[u8; 4], u32>>);

impl Space {
    pub(crate) fn read(&self, bus: u8, device: u8, function: u8, register: u8) -> u32 {
        let words = self.0.lock();
        let exists = words.contains_key(&[bus, device, function, 0]);
        let absent = if exists { 0 } else { NOBODY };
        words.get(&[bus, device, function, register]).copied().unwrap_or(absent)
    }

    pub(crate) fn write(&self, bus: u8, device: u8, function: u8, register: u8, value: u32) {
        let mut words = self.0.lock();
        let size = words.get(&[bus, device, function, register | SIZE]).copied();
        let mask = size.filter(|_| (0x10..0x28).contains(&register)).unwrap_or(u32::MAX);
        let word = words.entry([bus, device, function, register]).or_default();
        // The upper half of the command's word is the status, of which a written 1 clears bits, and a 0 nothing.
        *word = if register == 4 {
            *word & !0xffff & !value | value & 0xffff
        } else {
            value & mask | *word & !mask
        };
    }
}

/// No header reaches so far.
const SIZE: u8 = 0x80;

fn space(words: &[([u8; 4], u32)]) -> Config {
    let space = Space::default();
    space.0.lock().extend(words.iter().copied());
    Config::Fake(Box::leak(Box::new(space)))
}

/// The only function of a bus, with this configuration space.
pub(crate) fn only(words: &[(u8, u32)]) -> Function {
    let words: Vec<_> = words.iter().map(|&(at, word)| ([0, 1, 0, at], word)).collect();
    let found = functions(space(&words));
    assert_eq!(found.len(), 1);
    found[0]
}

const VIRTIO: u32 = 0x1041_1af4;
const BRIDGE: u32 = 1 << 16;
const MANY: u32 = 1 << 23;

#[test]
fn functions_behind_bridges_are_found_once() {
    let config = space(&[
        ([0, 0, 0, 0], 0x29c0_8086),
        ([0, 2, 0, 0], VIRTIO),
        ([0, 2, 0, 0xc], MANY),
        ([0, 2, 5, 0], VIRTIO),
        ([0, 3, 5, 0], VIRTIO),
        ([0, 4, 0, 0], 0x000c_1b36),
        ([0, 4, 0, 0xc], BRIDGE),
        ([0, 4, 0, 0x18], 1 << 8),
        // A second bridge to the same bus, one to itself and one to nowhere.
        ([0, 5, 0, 0], 0x000c_1b36),
        ([0, 5, 0, 0xc], BRIDGE),
        ([0, 5, 0, 0x18], 1 << 8),
        ([1, 0, 0, 0], VIRTIO),
        ([1, 1, 0, 0], 0x000c_1b36),
        ([1, 1, 0, 0xc], BRIDGE),
        ([1, 1, 0, 0x18], 1 << 8),
        ([1, 2, 0, 0], 0x000c_1b36),
        ([1, 2, 0, 0xc], BRIDGE),
        ([1, 2, 0, 0x18], 200 << 8),
    ]);
    let places: Vec<_> =
        functions(config).iter().map(|at| (at.bus, at.device, at.function)).collect();
    assert_eq!(places, [(0, 0, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0)]);
}

#[test]
fn capabilities_are_listed_by_kind() {
    let function = only(&[
        (0, VIRTIO),
        (4, 1 << 20),
        (0x34, 0x40),
        (0x40, 0x0000_5009),
        (0x50, 0x0000_6011),
        (0x60, 0x0000_0009),
    ]);
    assert_eq!(function.capabilities(9).collect::<Vec<_>>(), [0x40, 0x60]);
    assert_eq!(function.capabilities(5).count(), 0);
}

#[test]
fn capability_lists_that_are_broken_end() {
    let circle = only(&[(0, VIRTIO), (4, 1 << 20), (0x34, 0x40), (0x40, 0x4009)]);
    assert!(circle.capabilities(9).count() <= 48);
    for first in [0, 0x3c, 0xec, 0xfc] {
        let function = only(&[(0, VIRTIO), (4, 1 << 20), (0x34, first)]);
        assert_eq!(function.capabilities(0).count(), 0, "{first:#x}");
    }
    let none = only(&[(0, VIRTIO), (0x34, 0x40), (0x40, 9)]);
    assert_eq!(none.capabilities(9).count(), 0);
}

#[test]
fn registers_are_where_firmware_put_them() {
    let function = only(&[
        (0, VIRTIO),
        (0x10, 0xc041),
        (0x14, 0xfebd_1000),
        (0x20, 0xfe00_000c),
        (0x24, 0x80),
    ]);
    let bars: Vec<_> = (0..7).map(|index| function.bar(index)).collect();
    let expected = [None, Some(0xfebd_1000), None, None, Some(0x80_fe00_0000), Some(0x80), None];
    assert_eq!(bars, expected);
}

/// Where the answer to the question stays what was written, the lowest four bits alone are the device's: 16 bytes.
#[test]
fn asking_for_a_ranges_length_leaves_its_place_and_the_command_as_they_were() {
    let placed = [(0, VIRTIO), (4, 0x6), (0x18, 0xfe00_000c), (0x1c, 1), (0x20, 0xe000_0000)];
    let function = only(&placed);
    assert_eq!((function.range_bytes(2), function.bar(2)), (Some(16), Some(0x1_fe00_0000)));
    assert_eq!((function.range_bytes(4), function.bar(4)), (Some(16), Some(0xe000_0000)));
    assert_eq!(function.read(4), 0x6);
    assert_eq!(function.range_bytes(0), None, "it has no address");
}

#[test]
fn enabling_leaves_other_command_bits() {
    // Off, and by firmware on already.
    for command in [0x0010_0501, 0x0010_0507] {
        let function = only(&[(0, VIRTIO), (4, command)]);
        function.enable();
        assert_eq!(function.read(4), 0x0010_0107, "{command:#x}");
    }
}

#[test]
fn interrupt_pins_that_firmware_left_out_are_none() {
    for (line, pin) in [(0x010b, Some(11)), (0x0100, None), (0x01ff, None)] {
        assert_eq!(only(&[(0, VIRTIO), (0x3c, line)]).pin(), pin);
    }
}

#[test]
fn configuration_space_in_memory_ends_at_4_gib_and_at_its_last_bus() {
    for (base, last_bus, is_there) in [
        (0xf000_0000, 0xff, true),
        (0xf010_0000, 0xff, false),
        (0xfff0_0000, 0, true),
        (0xfff0_0000, 1, false),
        (u64::MAX, 0, false),
    ] {
        assert_eq!(Config::memory(base, last_bus).is_some(), is_there, "{base:#x} {last_bus}");
    }
    let memory = crate::memory::dma::host::low(2 << 20);
    let config = Config::memory(memory.as_ptr() as u64, 1).unwrap();
    for (bus, device, function, register, at) in
        [(0, 0, 0, 4, 4), (0, 31, 7, 0xfe, 0xf_f0fc), (1, 2, 3, 0x10, 0x11_3010)]
    {
        config.write(bus, device, function, register, 0x0403_0201);
        assert_eq!(memory[at..at + 4], [1, 2, 3, 4]);
        assert_eq!(config.read(bus, device, function, register), 0x0403_0201);
    }
    config.write(2, 0, 0, 0, 1);
    assert_eq!(config.read(2, 0, 0, 0), u32::MAX);
}

/// PCI 3.0, section 6.8.2: bit 15 of the message control enables, bit 14 masks all.
#[test]
fn messages_are_enabled_and_not_masked_whatever_firmware_left() {
    let base = crate::memory::dma::host::low(0x1_0000).as_ptr() as u64;
    for left in [0, 1 << 31, 1 << 30, 3 << 30] {
        let function = only(&[
            (0, VIRTIO),
            (4, 1 << 20),
            (0x34, 0x40),
            (0x10, base as u32),
            (0x40, 0x11 | 0x7ff << 16 | left),
            (0x44, 0x1000),
        ]);
        let table = function.message_table().unwrap();
        assert_eq!(table.messages(), 2048);
        table.enable();
        assert_eq!(function.read(0x40), 0x11 | 0x7ff << 16 | 1 << 31, "{left:#x}");
        table.set(2047, Message { address: 0x1_fee0_0000, data: 0x55 });
        // SAFETY: a test's memory, which it reaches by registers only.
        let registers = unsafe { Mmio::map(base + 0x1000 + 2047 * 16, 16) };
        let entry = [0, 4, 8, 12].map(|at| registers.read32(at));
        assert_eq!(entry, [0xfee0_0000, 1, 0x55, 0]);
    }
}

/// PCI firmware specification 3.3, table 4-2.
#[test]
fn configuration_space_is_where_the_table_lists_it() {
    let mut mcfg = [0; 60];
    mcfg[44..52].copy_from_slice(&0xb000_0000_u64.to_le_bytes());
    mcfg[55] = 0x7f;
    assert_eq!(listed(&mcfg), Some((0xb000_0000, 0x7f)));
    assert_eq!((listed(&mcfg[..56]), listed(&mcfg[..55])), (Some((0xb000_0000, 0x7f)), None));
    mcfg[54] = 1;
    assert_eq!(listed(&mcfg), None, "no root bus");
}

#[test]
fn a_range_without_a_place_says_how_long_it_is_and_takes_one() {
    let function =
        only(&[(0, VIRTIO), (0x14, 0xc001), (0x18, WIDE), (0x20, 0xfe00_0000), (0x24, 8)]);
    let unplaced = |index| function.unplaced_bytes(index).map(|one| (one.bytes, one.registers));
    assert_eq!(
        [0, 1, 2, 4, 5, 6].map(unplaced),
        [Some((16, 1)), Some((0, 1)), Some((16, 2)), Some((0, 1)), Some((16, 1)), None]
    );
    assert_eq!((function.read(0x10), function.read(0x18)), (0, 4), "asking changes nothing");
    function.set_bar(2, 0x12_fe00_0000);
    function.set_bar(0, 0x12_c000_0000);
    assert_eq!(
        [0x10, 0x14, 0x18, 0x1c].map(|at| function.read(at)),
        [0xc000_0000, 0xc001, 0xfe00_0000, 0x12]
    );
}

#[test]
fn registers_lie_within_their_range() {
    let base = crate::memory::dma::host::low(0x1_0000).as_ptr() as u64;
    let function = only(&[(0, VIRTIO), (0x10, base as u32), (0x14, 0xfec0_0000)]);
    let length = 1 << base.trailing_zeros();
    for (offset, bytes, is_there) in [
        (0, 16, true),
        (length - 16, 16, true),
        (length - 16, 17, false),
        (length, 1, false),
        (u32::MAX, usize::MAX, false),
    ] {
        assert_eq!(function.registers(0, offset, bytes).is_some(), is_there, "{offset:#x}");
    }
    assert!(function.registers(1, 0, 16).is_none(), "interrupt controllers are there");
    assert!(function.registers(2, 0, 16).is_none(), "it has no address");
}

#[test]
fn a_register_is_named_to_the_ports_by_its_place() {
    assert_eq!(port_address(0, 0, 0, 0), 0x8000_0000);
    assert_eq!(port_address(0x12, 31, 7, 0xff), 0x8012_fffc);
    assert_eq!(port_address(1, 2, 3, 0x10), 0x8001_1310);
}

/// PCI 3.0, section 6.2.5.1: what is written as ones and stays 0 are the bits of addresses within the range.
#[test]
fn a_range_is_as_long_as_the_addresses_that_it_keeps() {
    let function = only(&[
        (0, VIRTIO),
        (4, 0x6),
        (0x10, 0xfe00_0000),
        (0x10 | SIZE, 0xfff0_0000),
        // Of 8 GiB, and of what is no power of two.
        (0x14, 0xc),
        (0x14 | SIZE, 0),
        (0x18, 0x40),
        (0x18 | SIZE, 0xffff_fffe),
        (0x1c, 0xe000_0000),
        (0x1c | SIZE, 0xff0f_0000),
        (0x20 | SIZE, 0xffff_f000),
    ]);
    let bytes = [0, 1, 3, 4].map(|index| function.range_bytes(index));
    assert_eq!(bytes, [Some(1 << 20), Some(8 << 30), None, None]);
    let unplaced = Unplaced { bytes: 4096, registers: 1 };
    assert_eq!(function.unplaced_bytes(4), Some(unplaced));
    let words = [4, 0x10, 0x14, 0x18, 0x1c].map(|at| function.read(at));
    assert_eq!(words, [6, 0xfe00_0000, 0xc, 0x40, 0xe000_0000], "all is as it was");
}
