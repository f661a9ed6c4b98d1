//! Handover: another kernel takes the machine over, and this image is left behind.
//!
//! The image is then a loader: it reserves memory, puts the other kernel there with what it wants to know of the machine,
//! and [enters](enter) it. Nothing is interrupted on the way, and no interrupt is left pending.

mod tables;

use crate::arch::tsc;
use crate::bus::{acpi, power_management};
use crate::cpu::Cpu;
use crate::memory::{PAGE_BYTES, Pages};
use crate::{arch, console, hypervisor, image_layout, start_info, symbols};
use core::arch::asm;
use core::ops::Range;
use core::slice;
use tables::Tables;

pub use crate::bus::power_management::PowerPorts;

/// Port of the serial line that is the console.
pub const SERIAL_PORT: u16 = arch::serial::BASE;
/// What the beginning of reserved memory is for: the page tables with which the other kernel starts.
pub const TABLES_BYTES: usize = 8 * PAGE_BYTES;

/// Where the other kernel starts.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its first instruction, called as a C function.
    pub address: u64,
    /// The stack pointer.
    pub stack: u64,
    /// The function's arguments.
    pub arguments: [u64; 2],
}

/// RAM as the hypervisor lists it, by addresses.
pub fn ram() -> impl Iterator<Item = Range<u64>> {
    start_info::ram().map(|region| region.start..region.end())
}

/// ACPI's root system description pointer, as it lies in memory (ACPI 6.5, section 5.2.5.3).
pub fn root_pointer() -> Option<&'static [u8; 36]> {
    acpi::root_pointer()
}

/// Where the power button shows, which is armed, and how to switch off; `None` on machines that have no ports for it.
pub fn power_ports() -> Option<PowerPorts> {
    power_management::ports()
}

/// The rate of the time stamp counter, as this image's clock has it.
pub fn tsc_kilohertz() -> u32 {
    /// Long beside the time that it takes to ask, and short beside a start.
    const NANOS_MIN: u64 = 1_000_000;
    let hypervisor = hypervisor::current();
    let (ticks, nanos) = (tsc::ticks(), hypervisor.nanos());
    let end = loop {
        let now = hypervisor.nanos();
        if now >= nanos + NANOS_MIN {
            break now;
        }
    };
    let ticks = u128::from(tsc::ticks() - ticks);
    (ticks * 1_000_000 / u128::from(end - nanos)) as u32
}

/// Memory for the other kernel and all that is handed to it: zeroed, contiguous, where it physically is, from a multiple of
/// 2 MiB on. `None` when there is not as much.
pub fn reserve(bytes: usize) -> Option<&'static mut [u8]> {
    const ALIGN_PAGES: usize = (2 << 20) / PAGE_BYTES;
    let pages = Pages::new(bytes.div_ceil(PAGE_BYTES), ALIGN_PAGES)?;
    let bytes = pages.bytes();
    // SAFETY: the pages are zeroed, and from here on this slice's alone.
    Some(unsafe { slice::from_raw_parts_mut(pages.leak().as_ptr(), bytes) })
}

/// Enters the other kernel with interrupts off, by page tables that map the image and the reserved memory where they are,
/// writable and executable, and nothing else.
///
/// # Safety
/// What is at the entry is a kernel that wants to be started so, all that it is told is true, and nobody comes back
/// to this image.
pub unsafe fn enter(memory: &'static mut [u8], entry: Entry) -> ! {
    let image = image_layout::running().expect("an image");
    console::flush();
    hypervisor::current().console().want_interrupt(false);
    arch::io_apic::mask_all();
    Cpu::current().apic.reset();
    let root = memory.as_ptr() as u64;
    let end = root + memory.len() as u64;
    let mut tables = Tables::new(&mut memory[..TABLES_BYTES], root);
    for part in [0..symbols::image_end(image), root..end] {
        tables.map(&part).expect("memory for page tables");
    }
    let Entry { address, stack, arguments: [first, second] } = entry;
    // SAFETY: the tables map this code where it is, and all that the other kernel was given; the caller vouches for that.
    unsafe {
        asm!(
            "cli",
            "mov cr3, {root}",
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "jmp {address}",
            root = in(reg) root,
            stack = in(reg) stack,
            address = in(reg) address,
            in("rdi") first,
            in("rsi") second,
            options(noreturn),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that goes on by 0.6 ms with each look has gone on by 1.2 ms when it is enough.
    #[test]
    fn the_counters_rate_is_what_it_counts_in_a_millisecond_or_so() {
        crate::idle::fake::step(600_000);
        let begin = tsc::ticks();
        let kilohertz = u64::from(tsc_kilohertz());
        let ticks = tsc::ticks() - begin;
        assert!(kilohertz > 0 && kilohertz <= ticks * 10 / 12 + 1, "{kilohertz} in {ticks} ticks");
    }

    #[test]
    fn memory_for_another_kernel_is_whole_zeroed_pages_from_2_mib_on() {
        let memory = reserve(PAGE_BYTES + 1).unwrap();
        assert_eq!((memory.len(), memory.as_ptr() as usize % (2 << 20)), (2 * PAGE_BYTES, 0));
        assert!(memory.iter().all(|&byte| byte == 0));
        assert!(reserve(0).is_none() && reserve(usize::MAX).is_none());
        assert_eq!((ram().count(), power_ports()), (0, None), "a process was told of nothing");
    }
}
