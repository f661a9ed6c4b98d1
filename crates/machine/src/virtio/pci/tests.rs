use super::*;
use crate::bus::pci::tests::only;
use crate::interrupt::tests::free_lines;
use crate::memory::dma::host;

/// A range of registers that do nothing: the common structure, doorbells at 0x1000, the interrupt status at 0x2000, the
/// configuration at 0x3000, messages at 0x4000.
struct Card {
    base: u64,
    function: Function,
}

/// A capability of a structure: where the next is, its kind, place and length (4.1.4).
fn structure(at: u8, next: u8, kind: u32, offset: u32, bytes: u32) -> [(u8, u32); 4] {
    let head = 9 | u32::from(next) << 8 | 20 << 16 | kind << 24;
    [(at, head), (at + 4, 4), (at + 8, offset), (at + 12, bytes)]
}

impl Card {
    /// One whose last capability is changed by `words`.
    fn new(words: &[(u8, u32)]) -> Self {
        let base = host::low(0x8000).as_ptr() as u64;
        let mut space = Vec::from([
            (0, 0x1041_1af4),
            (4, 1 << 20 | 2),
            (0x20, base as u32),
            (0x34, 0x40),
            (0x3c, 0x010b),
            (0x60, 4),
            // Three messages (PCI 3.0, section 6.8.2).
            (0xb0, 0x11 | 2 << 16),
            (0xb4, 0x4000 | 4),
        ]);
        space.extend(structure(0x40, 0x50, 1, 0, 56));
        space.extend(structure(0x50, 0x68, 2, 0x1000, 12));
        space.extend(structure(0x68, 0x78, 3, 0x2000, 1));
        space.extend(structure(0x78, 0xb0, 4, 0x3000, 10));
        space.extend(words);
        Self { base, function: only(&space) }
    }

    fn mmio(&self) -> Mmio {
        // SAFETY: a test's memory, which it reaches by registers only.
        unsafe { Mmio::map(self.base, 0x8000) }
    }

    fn words(&self, at: usize) -> [u32; 4] {
        core::array::from_fn(|nth| self.mmio().read32(at + 4 * nth))
    }

    fn registers(&self) -> Registers {
        Registers::new(&self.function).expect("a whole card")
    }
}

/// Offsets are section 4.1.4.3's.
#[test]
fn features_and_status_are_where_the_specification_has_them() {
    let _alone = free_lines();
    let card = Card::new(&[]);
    let (mmio, mut registers) = (card.mmio(), card.registers());
    mmio.write32(4, 0x8000_0001);
    assert_eq!((registers.offered(), mmio.read32(0)), (0x8000_0001_8000_0001, 1));
    registers.accept(0x0123_4567_89ab_cdef);
    assert_eq!((mmio.read32(8), mmio.read32(12)), (1, 0x0123_4567));
    registers.set_status(0x4f);
    assert_eq!((mmio.read8(20), registers.status()), (0x4f, 0x4f));
    mmio.write32(0x3008, 0x0908_0706);
    assert_eq!([8, 9, 10].map(|at| registers.configuration(at)), [Some(6), Some(7), None]);
}

#[test]
fn messages_are_set_and_enabled() {
    let _alone = free_lines();
    let card = Card::new(&[]);
    let mut registers = card.registers();
    assert_eq!(card.function.read(0xb0), 0x8002_0011);
    // Line 1 is vector 33.
    assert_eq!(card.words(0x4000), [0xfee0_0000, 0, 33, 0]);
    card.mmio().write16(16, 0xffff);
    assert_eq!(registers.attach_configuration(), Ok(()));
    assert_eq!(card.mmio().read16(16), 0);
    assert!(matches!(registers.pair_interrupt(0), Ok(Interrupt::Own(_))));
    let Ok(Interrupt::Own(own)) = registers.pair_interrupt(1) else { panic!("a message") };
    assert_eq!(card.words(0x4010), [0xfee0_0000, 0, 34, 0]);
    assert_eq!(card.words(0x4020), [0xfee0_0000, 0, 35, 0]);
    assert_eq!(registers.pair_interrupt(2).err(), Some(Error::OutOfInterrupts));
    own.0.raise();
    let own = Interrupt::Own(own);
    assert_eq!((own.take(), own.take(), Interrupt::Shared.take()), (true, false, false));
    assert_eq!(registers.take_events(), Events::default());
    let Interrupts::Messages { configuration, .. } = &registers.interrupts else { panic!("none") };
    configuration.raise();
    assert_eq!(registers.take_events(), Events { interrupt: false, configuration: true });
}

#[test]
fn a_queue_is_told_part_by_part() {
    let _alone = free_lines();
    let card = Card::new(&[]);
    let (mmio, mut registers) = (card.mmio(), card.registers());
    mmio.write16(24, 512);
    assert_eq!((registers.queue_size_max(3), mmio.read16(22)), (512, 3));
    mmio.write16(30, 2);
    let at = Addresses { descriptors: 0x1_2000_0000, driver: 0x3_4000_0000, device: 0x5_6000_0000 };
    let doorbell = registers.start_queue(5, 2, 64, at).unwrap();
    assert_eq!([22, 24, 26, 28].map(|at| mmio.read16(at)), [5, 64, 3, 1]);
    assert_eq!(card.words(32), [0x2000_0000, 1, 0x4000_0000, 3]);
    assert_eq!(card.words(48)[..2], [0x6000_0000, 5]);
    doorbell.ring();
    // Of 4 bytes each, the third.
    assert_eq!(mmio.read16(0x1008), 5);
}

#[test]
fn a_doorbell_lies_among_the_doorbells_and_at_an_even_place() {
    let _alone = free_lines();
    for (multiplier, offset, is_there) in [
        (2, 5, true),
        (2, 6, false),
        (1, 4, true),
        (1, 3, false),
        (0, 9, true),
        (1 << 20, 1, false),
    ] {
        let card = Card::new(&[(0x60, multiplier)]);
        let mut registers = card.registers();
        card.mmio().write16(30, offset);
        let started = registers.start_queue(0, 0, 64, Addresses::default());
        assert_eq!(started.is_ok(), is_there, "{multiplier} {offset}");
    }
}

#[test]
fn a_card_that_lacks_a_structure_is_none() {
    let _alone = free_lines();
    for (name, words, is_one) in [
        ("whole", &[][..], true),
        ("no configuration", &[(0x78, 0x0514_b009)], true),
        ("no interrupt status", &[(0x68, 0x0514_7809)], false),
        ("a short common structure", &[(0x4c, 55)], false),
        ("one that is not aligned", &[(0x48, 2)], false),
        ("no doorbell", &[(0x5c, 1)], false),
        ("one beyond its range", &[(0x58, 0x8000_0000)], false),
        ("no range", &[(0x44, 3)], false),
    ] {
        let card = Card::new(words);
        assert_eq!(Registers::new(&card.function).is_some(), is_one, "{name}");
    }
    let without = Card::new(&[(0x78, 0x0514_b009)]);
    assert_eq!(without.registers().configuration(0), None);
}

/// A single message cannot tell of queues and of the configuration.
#[test]
fn without_messages_there_is_the_pin() {
    let _alone = free_lines();
    for words in [&[(0xb0, 0x11)][..], &[(0xb0, 0x05)]] {
        let card = Card::new(words);
        // No I/O APIC is in a process.
        assert!(Registers::new(&card.function).is_none());
        let messages = Card::new(&[]);
        let interrupts = Interrupts::Pin(Line::allocate().unwrap());
        let mut registers = Registers { interrupts, ..messages.registers() };
        messages.mmio().write16(16, 0xffff);
        assert_eq!(registers.attach_configuration(), Ok(()));
        assert_eq!(messages.mmio().read16(16), 0xffff, "there is nothing to attach");
        assert!(matches!(registers.pair_interrupt(0), Ok(Interrupt::Shared)));
        messages.mmio().write8(0x2000, 3);
        assert_eq!(registers.take_events(), Events::default());
        let Interrupts::Pin(line) = &registers.interrupts else { panic!("a pin") };
        line.raise();
        assert_eq!(registers.take_events(), Events { interrupt: true, configuration: true });
    }
}

#[test]
fn cards_are_known_by_their_numbers() {
    let _alone = free_lines();
    for (numbers, kind) in [
        (0x1041_1af4, Some(Kind::Network)),
        (0x1000_1af4, Some(Kind::Network)),
        (0x1042_1af4, Some(Kind::Block)),
        (0x1001_1af4, Some(Kind::Block)),
        (0x1044_1af4, Some(Kind::Entropy)),
        (0x1005_1af4, Some(Kind::Entropy)),
        (0x1053_1af4, Some(Kind::Socket)),
        (0x1012_1af4, Some(Kind::Socket)),
        (0x1041_1af5, None),
        (0x1049_1af4, None),
        (0x0fff_1af4, None),
    ] {
        for asked in [Kind::Network, Kind::Block, Kind::Entropy, Kind::Socket] {
            let card = Card::new(&[(0, numbers), (4, 1 << 20)]);
            let found = open(card.function, asked);
            assert_eq!(found.map(|one| one.kind()), kind.filter(|kind| *kind == asked));
            assert_eq!(card.function.is_enabled(), kind == Some(asked));
        }
    }
}

/// PCI 3.0, appendix D: class 2 is network controllers.
#[test]
fn a_card_of_no_use_is_named_with_what_to_do() {
    let card = |numbers, class| remedy(&only(&[(0, numbers), (8, class)]));
    assert_eq!(
        card(0x100e_8086, 0x0200_0003).as_deref(),
        Some("PCI card 8086:100e, which is no virtio card (QEMU: -device virtio-net-pci)")
    );
    let legacy = "PCI card 1af4:1000, without a modern interface that works \
                  (QEMU: leave out disable-modern=on)";
    assert_eq!(card(0x1000_1af4, 0x0280_0000).as_deref(), Some(legacy));
    assert_eq!((card(0x1001_1af4, 0x0100_0002), card(0x1000_1af4, 0x0302_0202)), (None, None));
}
