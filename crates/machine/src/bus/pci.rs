//! PCI bus (PCI local bus specification 3.0), as far as drivers need it: functions, capabilities,
//! message-signalled interrupts.
//! Firmware has placed the registers already, or [`super::host_bridge`] does.

use crate::arch::port;
use crate::bus::acpi;
use crate::bus::host_bridge;
use crate::bus::mmio::{self, Mmio};
use crate::interrupt::Message;
use alloc::vec::Vec;
use hermit_sync::{OnceCell, OneShotMutex};

/// How configuration space is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Config {
    /// In memory (PCI Express base specification, 7.2.2), for buses 0 to `last_bus`.
    Memory { base: u64, last_bus: u8 },
    /// Through two ports (PCI local bus specification, 3.2.2.3.2).
    Ports,
    /// What a test put there.
    #[cfg(test)]
    Fake(&'static tests::Space),
}

impl Config {
    /// The way that the machine offers; `None` when it has no PCI bus. Looked for once: tables may be long.
    pub(crate) fn find() -> Option<Self> {
        static FOUND: OnceCell<Option<Config>> = OnceCell::new();
        *FOUND.get_or_init(Self::look)
    }

    fn look() -> Option<Self> {
        // A machine without a host bridge at these ports reads as all ones.
        let ports = || (Self::Ports.read(0, 0, 0, 0) != NOBODY).then_some(Self::Ports);
        let dsdt = || host_bridge::configuration_space(acpi::table(b"DSDT")?);
        let memory = |(base, last_bus)| Self::memory(base, last_bus);
        let listed = acpi::table(b"MCFG").and_then(listed).and_then(memory);
        listed.or_else(ports).or_else(|| dsdt().and_then(memory))
    }

    fn memory(base: u64, last_bus: u8) -> Option<Self> {
        let end = base.checked_add((u64::from(last_bus) + 1) << 20)?;
        (end <= 1 << 32).then_some(Self::Memory { base, last_bus })
    }

    /// Reads the four bytes at `register` of a function; all ones when there is none.
    pub(crate) fn read(&self, bus: u8, device: u8, function: u8, register: u8) -> u32 {
        match *self {
            Self::Memory { last_bus, .. } if bus > last_bus => NOBODY,
            Self::Memory { base, .. } => {
                space(base, bus, device, function).read32((register & !3).into())
            }
            Self::Ports => {
                let _turn = select(bus, device, function, register);
                // SAFETY: reading configuration space changes nothing in memory.
                unsafe { port::read32(PORT_DATA) }
            }
            #[cfg(test)]
            Self::Fake(space) => space.read(bus, device, function, register & !3),
        }
    }

    /// Writes the four bytes at `register` of a function.
    pub(crate) fn write(&self, bus: u8, device: u8, function: u8, register: u8, value: u32) {
        match *self {
            Self::Memory { last_bus, .. } if bus > last_bus => {}
            Self::Memory { base, .. } => {
                space(base, bus, device, function).write32((register & !3).into(), value);
            }
            Self::Ports => {
                let _turn = select(bus, device, function, register);
                // SAFETY: this module's callers enable devices and their messages, no more.
                unsafe { port::write32(PORT_DATA, value) }
            }
            #[cfg(test)]
            Self::Fake(space) => space.write(bus, device, function, register & !3, value),
        }
    }
}

/// All functions of all buses, bridges left out.
pub(crate) fn functions(config: Config) -> Vec<Function> {
    const BUSES: usize = 256;
    let mut found = Vec::new();
    let mut buses = heapless::Vec::<u8, BUSES>::from_array([0]);
    let mut next = 0;
    while let Some(&bus) = buses.get(next) {
        next += 1;
        for function in on_bus(config, bus) {
            match function.secondary_bus() {
                // Firmware numbers buses downwards from the root: no bus is met twice.
                Some(below) if below > bus && !buses.contains(&below) => {
                    // There is room: each bus is in it once.
                    let _ = buses.push(below);
                }
                Some(_) => {}
                None => found.push(function),
            }
        }
    }
    found
}

/// One function of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    config: Config,
    bus: u8,
    device: u8,
    function: u8,
}

/// A range of registers that has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unplaced {
    /// How long it is; 0 for what has an address, is none, or is in ports.
    pub(crate) bytes: u64,
    /// How many base address registers it takes.
    pub(crate) registers: u8,
}

/// Answers in memory.
const MEMORY: u32 = 1 << 1;

impl Function {
    /// Whether it answers in memory.
    pub(crate) fn is_enabled(&self) -> bool {
        self.read(4) & MEMORY != 0
    }

    /// Lets it answer in memory, write to memory, and raise its interrupt pin.
    pub(crate) fn enable(&self) {
        const MASTER: u32 = 1 << 2;
        const NO_PIN: u32 = 1 << 10;
        // The upper half, the status, keeps its value where zeros are written.
        self.write(4, self.read(4) & 0xffff & !NO_PIN | MEMORY | MASTER);
    }

    pub(crate) fn read(&self, register: u8) -> u32 {
        self.config.read(self.bus, self.device, self.function, register)
    }

    fn write(&self, register: u8, value: u32) {
        self.config.write(self.bus, self.device, self.function, register, value);
    }

    /// Where the capabilities of a kind are in configuration space.
    pub(crate) fn capabilities(&self, kind: u8) -> impl Iterator<Item = u8> {
        const HAS_CAPABILITIES: u32 = 1 << 20;
        /// As many as fit in configuration space: a list that runs in a circle ends there.
        const CAPABILITIES_MAX: usize = 48;
        let list = self.read(4) & HAS_CAPABILITIES != 0;
        let first = if list { self.read(0x34) as u8 & !3 } else { 0 };
        let next = |at: u8| (self.read(at) >> 8) as u8 & !3;
        // One that starts late would reach beyond the space.
        let valid = |&at: &u8| (0x40..=0xe8).contains(&at);
        core::iter::successors(Some(first).filter(valid), move |&at| Some(next(at)).filter(valid))
            .take(CAPABILITIES_MAX)
            .filter(move |&at| self.read(at) as u8 == kind)
    }

    /// The physical address of a range of registers in memory, 0 to 5.
    pub(crate) fn bar(&self, index: u8) -> Option<u64> {
        let register = 0x10 + 4 * Some(index).filter(|&index| index < 6)?;
        let low = self.read(register);
        if low & PORTS != 0 {
            return None;
        }
        let high = if low & WIDE != 0 { self.read(register + 4) } else { 0 };
        let address = u64::from(low & !0xf) | u64::from(high) << 32;
        (address != 0).then_some(address)
    }

    /// How much address space a range asks for that has none; `None` beyond the last. Only for a function that is
    /// not enabled.
    pub(crate) fn unplaced_bytes(&self, index: u8) -> Option<Unplaced> {
        let register = 0x10 + 4 * Some(index).filter(|&index| index < 6)?;
        let before = self.read(register);
        let registers = if before & 7 == WIDE { 2 } else { 1 };
        if before & PORTS != 0 || self.bar(index).is_some() {
            return Some(Unplaced { bytes: 0, registers });
        }
        self.write(register, u32::MAX);
        let size = self.read(register) & !0xf;
        self.write(register, before);
        Some(Unplaced { bytes: u64::from(size.wrapping_neg()), registers })
    }

    /// Gives a range its address.
    pub(crate) fn set_bar(&self, index: u8, address: u64) {
        let register = 0x10 + 4 * index;
        let wide = self.read(register) & 7 == WIDE;
        self.write(register, address as u32);
        if wide {
            self.write(register + 4, (address >> 32) as u32);
        }
    }

    /// How long a range in memory is that has an address. Asking takes the device off the bus for a moment: only for one that
    /// nobody uses yet (PCI 3.0, section 6.2.5.1).
    pub(crate) fn range_bytes(&self, index: u8) -> Option<u64> {
        self.bar(index)?;
        let register = 0x10 + 4 * index;
        let is_wide = self.read(register) & WIDE != 0;
        let ask = |register: u8| {
            let before = self.read(register);
            self.write(register, u32::MAX);
            let answer = self.read(register);
            self.write(register, before);
            answer
        };
        let command = self.read(4) & 0xffff;
        self.write(4, command & !MEMORY);
        let low = ask(register) & !0xf;
        let high = if is_wide { ask(register + 4) } else { u32::MAX };
        self.write(4, command);
        let bytes = (u64::from(high) << 32 | u64::from(low)).wrapping_neg();
        bytes.is_power_of_two().then_some(bytes)
    }

    /// Some of the registers in a range in memory. `None` where the range cannot be as long: it starts
    /// at a multiple of its size (PCI 3.0, section 6.2.5.1), which to ask for would take the device off
    /// the bus for a moment.
    pub(crate) fn registers(&self, index: u8, offset: u32, bytes: usize) -> Option<Mmio> {
        let range = self.bar(index)?;
        let end = u64::from(offset).checked_add(bytes as u64)?;
        if end > 1 << range.trailing_zeros() || !mmio::is_for_devices(range, range + end) {
            return None;
        }
        // SAFETY: firmware put the device's registers there, and this is its only driver.
        Some(unsafe { Mmio::map(range + u64::from(offset), bytes) })
    }

    /// The I/O APIC pin that firmware gave its interrupt pin. Its real wiring is in AML, but
    /// chipsets raise this pin too.
    pub(crate) fn pin(&self) -> Option<u32> {
        let line = self.read(0x3c) & 0xff;
        (line != 0 && line != 0xff).then_some(line)
    }

    /// Its table of message-signalled interrupts (MSI-X).
    pub(crate) fn message_table(&self) -> Option<MessageTable> {
        const MSI_X: u8 = 0x11;
        let capability = self.capabilities(MSI_X).next()?;
        let messages = (self.read(capability) >> 16 & 0x7ff) as u16 + 1;
        let place = self.read(capability + 4);
        let bytes = usize::from(messages) * MESSAGE_BYTES;
        let registers = self.registers((place & 7) as u8, place & !7, bytes)?;
        Some(MessageTable { function: *self, capability, messages, registers })
    }

    /// The bus below it, if it is a bridge.
    fn secondary_bus(&self) -> Option<u8> {
        const BRIDGE: u32 = 1;
        let header = self.read(0xc) >> 16 & 0x7f;
        (header == BRIDGE).then(|| (self.read(0x18) >> 8) as u8)
    }
}

/// What a function writes, and where, to raise each of its interrupts (PCI 3.0, section 6.8.2).
pub(crate) struct MessageTable {
    function: Function,
    capability: u8,
    messages: u16,
    registers: Mmio,
}

impl MessageTable {
    pub(crate) fn messages(&self) -> u16 {
        self.messages
    }

    /// Sets and unmasks a message.
    pub(crate) fn set(&self, index: u16, message: Message) {
        let entry = usize::from(index) * MESSAGE_BYTES;
        self.registers.write32(entry, message.address as u32);
        self.registers.write32(entry + 4, (message.address >> 32) as u32);
        self.registers.write32(entry + 8, message.data);
        self.registers.write32(entry + 12, 0);
    }

    /// From now on the function sends messages and leaves its pin alone.
    pub(crate) fn enable(&self) {
        const ENABLE: u32 = 1 << 31;
        const MASK_ALL: u32 = 1 << 30;
        let control = self.function.read(self.capability);
        self.function.write(self.capability, control & !MASK_ALL | ENABLE);
    }
}

/// Kinds of a base address register (6.2.5.1).
const PORTS: u32 = 1;
const WIDE: u32 = 4;
const MESSAGE_BYTES: usize = 16;
const NOBODY: u32 = u32::MAX;
const PORT_ADDRESS: u16 = 0xcf8;
const PORT_DATA: u16 = 0xcfc;

/// Where configuration space is, and its last bus (PCI firmware specification 3.3, section 4.1.2).
fn listed(mcfg: &[u8]) -> Option<(u64, u8)> {
    let base = acpi::u64_at(mcfg, 44)?;
    let [first_bus, last_bus] = acpi::u16_at(mcfg, 54)?.to_le_bytes();
    (first_bus == 0).then_some((base, last_bus))
}

fn on_bus(config: Config, bus: u8) -> Vec<Function> {
    const MANY_FUNCTIONS: u32 = 1 << 23;
    let mut found = Vec::new();
    for device in 0..32 {
        let mut functions = 1;
        for function in 0..8 {
            let candidate = Function { config, bus, device, function };
            if function >= functions || candidate.read(0) == NOBODY {
                continue;
            }
            if function == 0 && candidate.read(0xc) & MANY_FUNCTIONS != 0 {
                functions = 8;
            }
            found.push(candidate);
        }
    }
    found
}

/// The four KiB of a function's configuration space.
fn space(base: u64, bus: u8, device: u8, function: u8) -> Mmio {
    let offset = u64::from(bus) << 20 | u64::from(device) << 15 | u64::from(function) << 12;
    // SAFETY: the MCFG table says that this is configuration space.
    unsafe { Mmio::map(base + offset, 4096) }
}

/// Says which register the data port is until the result is dropped.
fn select(bus: u8, device: u8, function: u8, register: u8) -> impl Sized {
    static TURN: OneShotMutex<()> = OneShotMutex::new(());
    let turn = TURN.lock();
    // SAFETY: only chooses what the data port means, and this function is the only one to do so.
    unsafe { port::write32(PORT_ADDRESS, port_address(bus, device, function, register)) }
    turn
}

/// A register by the address port's name (3.2.2.3.2).
fn port_address(bus: u8, device: u8, function: u8, register: u8) -> u32 {
    const ENABLE: u32 = 1 << 31;
    let function = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
    ENABLE | function | u32::from(register & !3)
}

#[cfg(test)]
pub(crate) mod tests;
