//! Inter-VM shared memory: the device of QEMU's `docs/specs/ivshmem-spec`, revision 1, with doorbells.
//!
//! Range 0 has its registers, range 1 its table of messages (MSI-X), range 2 the memory.

#[cfg(any(test, feature = "fake"))]
pub mod fake;

use crate::arch::page_tables;
use crate::bus::host_bridge;
use crate::bus::mmio::{self, Mmio};
use crate::bus::pci::{self, Config, Function};
use crate::interrupt::Line;
use crate::memory::PAGE_BYTES;
pub use crate::memory::shared::SharedRange;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// A device, ready for use.
pub struct Ivshmem {
    id: u16,
    memory: SharedRange,
    bells: Box<dyn Bells>,
}

/// How others are rung at, and who rang is heard.
trait Bells {
    fn ring(&self, peer: u16);
    fn take(&self) -> bool;
}

/// Why a device is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It has no interrupts: QEMU's `ivshmem-plain`, or a revision before 1.
    NoInterrupts,
    /// Its registers or its memory have no place.
    NoPlace,
    /// The machine has no interrupt line or no memory left for it.
    OutOfResources,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInterrupts => "it has no interrupts (QEMU: -device ivshmem-doorbell)",
            Self::NoPlace => "its registers or its memory have no address",
            Self::OutOfResources => "no interrupt line or no memory is left for it",
        })
    }
}

/// All devices that there are. Call once: a device has one driver.
pub fn devices() -> Vec<Result<Ivshmem, Unusable>> {
    let functions = Config::find().map(pci::functions).unwrap_or_default();
    functions.iter().filter(|function| function.read(0) == IDENTITY).map(open).collect()
}

impl Ivshmem {
    /// The number by which others ring here.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The memory.
    pub fn memory(&self) -> SharedRange {
        self.memory.clone()
    }

    /// Rings at another; nothing happens if nobody has that number.
    pub fn ring(&self, peer: u16) {
        self.bells.ring(peer);
    }

    /// Whether somebody rang since this was last asked. It is known only after a wait: interrupts are off otherwise.
    pub fn take_interrupt(&self) -> bool {
        self.bells.take()
    }
}

impl fmt::Debug for Ivshmem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ivshmem({}, {:?})", self.id, self.memory)
    }
}

/// Red Hat's, and the device's.
const IDENTITY: u32 = 0x1110_1af4;
/// The first revision whose doorbell comes by messages alone.
const REVISION: u32 = 1;

/// Ranges.
const REGISTERS: u8 = 0;
const MEMORY: u8 = 2;

/// Registers.
const OWN_ID: usize = 8;
const DOORBELL: usize = 12;
const REGISTERS_BYTES: usize = 16;

/// All others ring by this one.
const VECTOR: u32 = 0;

fn open(function: &Function) -> Result<Ivshmem, Unusable> {
    if function.read(8) & 0xff < REVISION {
        return Err(Unusable::NoInterrupts);
    }
    host_bridge::place(function);
    let memory_bytes = function.range_bytes(MEMORY).ok_or(Unusable::NoPlace)?;
    function.enable();
    let registers = function.registers(REGISTERS, 0, REGISTERS_BYTES).ok_or(Unusable::NoPlace)?;
    let table = function.message_table().ok_or(Unusable::NoInterrupts)?;
    let line = Line::allocate().ok_or(Unusable::OutOfResources)?;
    table.set(VECTOR as u16, line.message());
    table.enable();
    let memory = map(function, memory_bytes)?;
    // Numbers have 16 bits, as the doorbell has room for.
    let id = registers.read32(OWN_ID) as u16;
    Ok(Ivshmem { id, memory, bells: Box::new(Registers { registers, line }) })
}

fn map(function: &Function, bytes: u64) -> Result<SharedRange, Unusable> {
    let start = function.bar(MEMORY).ok_or(Unusable::NoPlace)?;
    let length = usize::try_from(bytes).map_err(|_| Unusable::NoPlace)?;
    let end = start.checked_add(bytes).ok_or(Unusable::NoPlace)?;
    let fills_pages = bytes.is_multiple_of(PAGE_BYTES as u64);
    if !fills_pages || !mmio::is_for_devices(start, end) {
        return Err(Unusable::NoPlace);
    }
    // SAFETY: the range is the device's memory, whose length it said, and this is its only driver.
    let mapped = unsafe { page_tables::map_cached(start, bytes) };
    let mapped = mapped.ok_or(Unusable::OutOfResources)?;
    // SAFETY: mapped for ever at fresh addresses, a multiple of the page size.
    Ok(unsafe { SharedRange::new(mapped, length) })
}

struct Registers {
    registers: Mmio,
    line: Line,
}

impl Bells for Registers {
    fn ring(&self, peer: u16) {
        self.registers.write32(DOORBELL, u32::from(peer) << 16 | VECTOR);
    }

    fn take(&self) -> bool {
        self.line.take()
    }
}
