use super::*;
use crate::interrupt::tests::free_lines;
use crate::memory::dma::host;

/// Registers that do nothing, at an address below 4 GiB.
struct Memory(u64);

impl Memory {
    fn new() -> Self {
        let memory = Self(host::low(0x200).as_ptr() as u64);
        memory.set(0, u32::from_le_bytes(*b"virt"));
        memory.set(4, 2);
        memory.set(8, 1);
        memory
    }

    fn device(&self, bytes: usize) -> MmioDevice {
        MmioDevice { base: self.0, bytes, pin: 5 }
    }

    fn mmio(&self) -> Mmio {
        // SAFETY: a test's memory, which it reaches by registers only.
        unsafe { Mmio::map(self.0, 0x200) }
    }

    fn get(&self, register: usize) -> u32 {
        self.mmio().read32(register)
    }

    fn set(&self, register: usize, value: u32) {
        self.mmio().write32(register, value);
    }

    fn transport(&self) -> Registers {
        let line = Line::allocate().expect("a line");
        Registers { registers: self.mmio(), bytes: 0x108, line }
    }
}

#[test]
fn only_a_device_of_the_version_asked_for_is_one() {
    let memory = Memory::new();
    assert!(registers(memory.device(0x200), 2).is_some());
    assert!(registers(memory.device(0x101), 2).is_some());
    assert!(registers(memory.device(0x100), 2).is_none(), "no configuration");
    assert!(registers(memory.device(0x200), 1).is_none());
    memory.set(0, 0x1234);
    assert!(registers(memory.device(0x200), 2).is_none());
    let beyond = MmioDevice { base: u64::MAX, bytes: 0x200, pin: 5 };
    assert!(registers(beyond, 2).is_none());
    let high = MmioDevice { base: (1 << 32) - 0x1ff, ..beyond };
    assert!(registers(high, 2).is_none());
}

/// Offsets are section 4.2.2's.
#[test]
fn features_and_status_are_where_the_specification_has_them() {
    let _alone = free_lines();
    let memory = Memory::new();
    let mut transport = memory.transport();
    memory.set(0x10, 0x8000_0001);
    assert_eq!((transport.offered(), memory.get(0x14)), (0x8000_0001_8000_0001, 1));
    transport.accept(0x0123_4567_89ab_cdef);
    assert_eq!((memory.get(0x24), memory.get(0x20)), (1, 0x0123_4567));
    transport.set_status(0x4f);
    assert_eq!((memory.get(0x70), transport.status()), (0x4f, 0x4f));
    assert_eq!(transport.attach_configuration(), Ok(()));
    assert!(matches!(transport.pair_interrupt(7), Ok(Interrupt::Shared)));
}

#[test]
fn a_queue_is_told_part_by_part() {
    let _alone = free_lines();
    let memory = Memory::new();
    let mut transport = memory.transport();
    memory.set(0x34, 256);
    assert_eq!((transport.queue_size_max(3), memory.get(0x30)), (256, 3));
    let at = Addresses { descriptors: 0x1_2000_0000, driver: 0x3_4000_0000, device: 0x5_6000_0000 };
    let doorbell = transport.start_queue(1, 0, 64, at).unwrap();
    assert_eq!([0x30, 0x38, 0x44].map(|register| memory.get(register)), [1, 64, 1]);
    let words = [0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4].map(|register| memory.get(register));
    assert_eq!(words, [0x2000_0000, 1, 0x4000_0000, 3, 0x6000_0000, 5]);
    memory.set(0x50, 0xffff);
    doorbell.ring();
    assert_eq!(memory.get(0x50), 1);
}

#[test]
fn events_are_taken_once_and_acknowledged() {
    let _alone = free_lines();
    let memory = Memory::new();
    let mut transport = memory.transport();
    memory.set(0x60, 3);
    assert_eq!(transport.take_events(), Events::default());
    for (status, configuration) in [(3, true), (1, false), (2, true)] {
        memory.set(0x60, status);
        transport.line.raise();
        assert_eq!(transport.take_events(), Events { interrupt: true, configuration });
        assert_eq!(memory.get(0x64), status);
        assert_eq!(transport.take_events(), Events::default());
    }
}

#[test]
fn the_configuration_ends_where_the_registers_do() {
    let _alone = free_lines();
    let memory = Memory::new();
    memory.set(0x104, 0x0908_0706);
    let transport = memory.transport();
    let read = [4, 7, 8, usize::MAX].map(|offset| transport.configuration(offset));
    assert_eq!(read, [Some(6), Some(9), None, None]);
}

#[test]
fn numbers_say_what_devices_are_for() {
    let kinds: Vec<_> = (0..=20).filter_map(|number| Some((number, kind_of(number)?))).collect();
    let expected = [(1, Kind::Network), (2, Kind::Block), (4, Kind::Entropy), (19, Kind::Socket)];
    assert_eq!(kinds, expected);
}

#[test]
fn a_legacy_card_is_named_with_what_to_do() {
    let memory = Memory::new();
    let legacy_card = |version, number| {
        memory.set(4, version);
        memory.set(8, number);
        remedy(memory.device(0x200))
    };
    assert!(legacy_card(1, 1).is_some_and(|text| text.contains("force-legacy=false")));
    assert_eq!((legacy_card(2, 1), legacy_card(1, 2), legacy_card(1, 0)), (None, None, None));
}
