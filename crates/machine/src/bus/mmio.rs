//! Memory-mapped device registers.

use crate::arch::page_tables;
use crate::start_info;
use core::ptr::NonNull;

/// A mapped, uncached range of device registers. Offsets are checked; an access outside the range
/// or one that is not aligned panics, since only the driver's own numbers can be at fault.
#[derive(Debug)]
pub(crate) struct Mmio {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: every access is a single volatile one; what a device makes of them is the driver's.
unsafe impl Send for Mmio {}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $words:literal) => {
        #[doc = concat!("Reads ", $words, " at `offset` bytes.")]
        pub(crate) fn $read(&self, offset: usize) -> $type {
            let register = self.register::<$type>(offset);
            // SAFETY: inside the mapped range and aligned, by the check above.
            unsafe { register.read_volatile() }
        }

        #[doc = concat!("Writes ", $words, " at `offset` bytes.")]
        pub(crate) fn $write(&self, offset: usize, value: $type) {
            let register = self.register::<$type>(offset);
            // SAFETY: inside the mapped range and aligned, by the check above.
            unsafe { register.write_volatile(value) }
        }
    };
}

impl Mmio {
    /// The registers at a physical address, mapped uncached.
    ///
    /// # Safety
    /// It is a device's range, not RAM that anything else uses, and nobody else drives the device.
    pub(crate) unsafe fn map(physical: u64, bytes: usize) -> Self {
        // SAFETY: the caller vouches that it is a device's.
        Self { start: unsafe { page_tables::map_device(physical, bytes) }, bytes }
    }

    /// A part of the same registers, for whoever needs no others; panics beyond their end.
    pub(crate) fn window(&self, offset: usize, bytes: usize) -> Self {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset, "registers {offset:#x}");
        let start = NonNull::new(self.start.as_ptr().wrapping_add(offset));
        Self { start: start.expect("no device is at address 0"), bytes }
    }

    access!(read8, write8, u8, "a byte");
    access!(read16, write16, u16, "two bytes");
    access!(read32, write32, u32, "four bytes");

    fn register<T>(&self, offset: usize) -> *mut T {
        let fits = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.bytes);
        assert!(fits && offset.is_multiple_of(size_of::<T>()), "register {offset:#x}");
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.as_ptr().add(offset).cast() }
    }
}

/// Whether device registers may be there: no RAM, none of the machine's interrupt controllers, and
/// where page tables can map them.
pub(crate) fn is_for_devices(start: u64, end: u64) -> bool {
    is_beside_all(start, end, start_info::ram().map(|region| (region.start, region.end())))
}

fn is_beside_all(start: u64, end: u64, mut ram: impl Iterator<Item = (u64, u64)>) -> bool {
    const INTERRUPT_CONTROLLERS: (u64, u64) = (0xfec0_0000, 0xfef0_0000);
    let is_beside = |(low, high): (u64, u64)| end <= low || high <= start;
    start < end
        && end <= page_tables::FRESH_START
        && is_beside(INTERRUPT_CONTROLLERS)
        && ram.all(is_beside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::dma::host;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A device that lies about where it is gets no memory of others.
    #[test]
    fn registers_are_beside_ram_and_interrupt_controllers() {
        let ram = [(0x1000, 0x8000_0000), (1 << 32, 1 << 33)];
        for (start, end, is_theirs) in [
            (0x8000_0000, 0x8000_1000, true),
            (0x7fff_f000, 0x8000_1000, false),
            (0x4000_0000, 0x4000_1000, false),
            (0xffff_f000, (1 << 32) + 1, false),
            (0xffff_f000, 1 << 32, true),
            (0, 1 << 34, false),
            ((1 << 33) - 1, (1 << 33) + 1, false),
            (1 << 33, (1 << 33) + 1, true),
            (0xfebf_f000, 0xfec0_0000, true),
            (0xfebf_f000, 0xfec0_0001, false),
            (0xfee0_0000, 0xfee0_1000, false),
            (0xfeef_ffff, 0xff00_0000, false),
            (0xfef0_0000, 0xff00_0000, true),
            (0x9000_0000, 0x9000_0000, false),
            (0x9000_0001, 0x9000_0000, false),
            ((1 << 46) - 1, 1 << 46, true),
            ((1 << 46) - 1, (1 << 46) + 1, false),
        ] {
            assert_eq!(is_beside_all(start, end, ram.into_iter()), is_theirs, "{start:#x}");
        }
        assert!(is_for_devices(0x1000, 0x2000), "a process was told of no RAM");
        assert!(!is_for_devices(0xfec0_0000, 0xfec0_1000));
    }

    #[test]
    fn nothing_beyond_the_registers_is_reached() {
        let base = host::low(64).as_ptr() as u64;
        // SAFETY: a test's memory, which it reaches by registers only.
        let registers = unsafe { Mmio::map(base, 16) };
        registers.write32(12, 0x0403_0201);
        assert_eq!((registers.read8(15), registers.read16(14)), (4, 0x0403));
        let window = registers.window(12, 4);
        window.write16(0, 0x0605);
        window.write8(3, 7);
        assert_eq!((window.read32(0), registers.read32(12)), (0x0703_0605, 0x0703_0605));
        registers.window(16, 0);
        let reaches: [&dyn Fn(); 9] = [
            &|| {
                let _ = registers.read8(16);
            },
            &|| {
                let _ = registers.read16(15);
            },
            &|| {
                let _ = registers.read16(1);
            },
            &|| {
                let _ = registers.read32(2);
            },
            &|| registers.write32(16, 0),
            &|| registers.write32(usize::MAX & !3, 0),
            &|| window.write8(4, 0),
            &|| {
                let _ = registers.window(17, 0);
            },
            &|| {
                let _ = registers.window(12, 5);
            },
        ];
        for (number, reach) in reaches.into_iter().enumerate() {
            assert!(catch_unwind(AssertUnwindSafe(reach)).is_err(), "{number}");
        }
    }
}
