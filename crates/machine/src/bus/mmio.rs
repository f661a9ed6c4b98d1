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
    const INTERRUPT_CONTROLLERS: (u64, u64) = (0xfec0_0000, 0xfef0_0000);
    let is_beside = |(low, high): (u64, u64)| end <= low || high <= start;
    start < end
        && end <= page_tables::FRESH_START
        && is_beside(INTERRUPT_CONTROLLERS)
        && start_info::ram().map(|region| (region.start, region.end())).all(is_beside)
}
