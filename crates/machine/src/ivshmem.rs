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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::pci::tests::only;
    use crate::interrupt::tests::free_lines;
    use crate::memory::dma::host;
    use std::string::ToString;

    #[test]
    fn a_device_of_no_use_says_why() {
        for (reason, words) in [
            (Unusable::NoInterrupts, "ivshmem-doorbell"),
            (Unusable::NoPlace, "no address"),
            (Unusable::OutOfResources, "no memory is left"),
        ] {
            assert!(reason.to_string().contains(words), "{reason}");
        }
    }

    #[test]
    fn who_is_rung_at_learns_of_it_once() {
        let server = fake::Server::new(PAGE_BYTES);
        let [first, second] = [1, 2].map(|id| server.device(id));
        first.ring(2);
        assert!(!first.take_interrupt());
        assert!(second.take_interrupt() && !second.take_interrupt());
    }

    #[test]
    fn memory_is_whole_pages_where_a_device_may_be() {
        for (place, bytes) in [
            (0xe000_0000_u32, 4095),
            (0xe000_0000, 100),
            (0xfec0_0000, 4096),
            (0xfebf_0000, 0x1_1000),
            (0, 4096),
            (0xe000_0000, !0xfff),
        ] {
            let function = only(&[(0, IDENTITY), (0x18, place)]);
            assert_eq!(map(&function, bytes).err(), Some(Unusable::NoPlace), "{place:#x} {bytes}");
        }
    }

    #[test]
    fn devices_without_doorbells_by_message_and_without_a_place_are_refused() {
        let _alone = free_lines();
        let open = |words: &[(u8, u32)]| {
            let words = [&[(0, IDENTITY), (4, 2)], words].concat();
            open(&only(&words)).err()
        };
        assert_eq!(open(&[(8, 0xff_ff00), (0x18, 0xe000_0000)]), Some(Unusable::NoInterrupts));
        assert_eq!(open(&[(8, 1)]), Some(Unusable::NoPlace), "no memory");
        assert_eq!(open(&[(8, 1), (0x18, 0xe000_0000)]), Some(Unusable::NoPlace), "no registers");
        let registers = (0x10, host::low(16).as_ptr() as u32);
        let plain = [(8, 1), registers, (0x18, 0xe000_0000)];
        assert_eq!(open(&plain), Some(Unusable::NoInterrupts));
    }

    /// QEMU's docs/specs/ivshmem-spec: the peer in the upper half, the vector in the lower one.
    #[test]
    fn others_are_rung_at_by_their_number() {
        let _alone = free_lines();
        let base = host::low(16).as_ptr() as u64;
        // SAFETY: a test's memory, which it reaches by registers only.
        let registers = unsafe { Mmio::map(base, 16) };
        let bells = Registers { registers, line: Line::allocate().unwrap() };
        bells.ring(0xfffe);
        assert_eq!(bells.registers.read32(12), 0xfffe_0000);
        assert!(!bells.take());
        bells.line.raise();
        assert!(bells.take() && !bells.take());
    }
}
