//! Loader: puts the appliance on the Hermit kernel into memory, and enters it.
//!
//! It is an image like the appliance's own, so that the same hypervisors start it in the same way (PVH). The application,
//! linked with Hermit's kernel, is in it, and this is what the kernel finds in memory, from low to high addresses:
//!
//! | from | what |
//! |---|---|
//! | a multiple of 2 MiB | page tables, then the first stack, ACPI's root pointer and the device tree |
//! | 2 MiB on | the application and the kernel, one ELF image |
//! | behind it, at a page | the boot module |
//!
//! The kernel takes what is behind the last of these as free memory, and leaves alone what is before.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

mod device_tree;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::num::{NonZeroU16, NonZeroU64};
use core::ops::Range;
use hermit_entry::boot_info::{BootInfo, HardwareInfo, LoadInfo, PlatformInfo, RawBootInfo};
use hermit_entry::elf::{KernelObject, LoadedKernel};
use hermit_system::handover::{Handover, Power};
use machine::handover::{self, Entry, SERIAL_PORT, TABLES_BYTES};
use machine::{power, start_info};

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    machine_runtime::entry!(super::main);
}

/// The application with the kernel. Words of it are read where they lie.
static APPLICATION: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/application.elf")));

#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

const PAGE_BYTES: usize = machine::memory::PAGE_BYTES;
/// The kernel maps memory by pages of this size.
const LARGE_BYTES: usize = 2 << 20;
/// The low end of the kernel's first stack, which is what it expects as stack pointer, and how long that is (its
/// `KERNEL_STACK_SIZE`).
const STACK: usize = TABLES_BYTES;
const STACK_BYTES: usize = 32 << 10;
const ROOT_POINTER: usize = STACK + STACK_BYTES;
const DEVICE_TREE: usize = ROOT_POINTER + PAGE_BYTES;

fn main() -> ! {
    let (memory, kernel) = match load() {
        Ok(loaded) => loaded,
        Err(message) => {
            machine::console::write(&format!("loader: {message}\n"));
            power::fail()
        }
    };
    // On the stack, which is part of this image and stays mapped.
    let boot_information = RawBootInfo::from(kernel.boot_information);
    let first_cpu = 0;
    let entry = Entry {
        address: kernel.entry,
        stack: memory.as_ptr() as u64 + STACK as u64,
        arguments: [(&raw const boot_information) as u64, first_cpu],
    };
    enter(memory, entry)
}

#[allow(unsafe_code, reason = "leaves this program for good")]
fn enter(memory: &'static mut [u8], entry: Entry) -> ! {
    // SAFETY: `load` has put there what this entry wants, by the interface of `hermit-entry`.
    unsafe { handover::enter(memory, entry) }
}

/// A kernel in memory.
struct Kernel {
    entry: u64,
    boot_information: BootInfo,
}

/// Fills reserved memory with the kernel and what it wants to know.
fn load() -> Result<(&'static mut [u8], Kernel), String> {
    let kernel = KernelObject::parse(&APPLICATION.0).map_err(|error| error.to_string())?;
    let module = start_info::module();
    let module_start = LARGE_BYTES + kernel.mem_size().next_multiple_of(PAGE_BYTES);
    let bytes = (module_start + module.len()).next_multiple_of(LARGE_BYTES);
    let memory = handover::reserve(bytes).ok_or("there is too little memory")?;
    let start = memory.as_ptr() as u64;
    let (at, end) = (|offset: usize| start + offset as u64, start + bytes as u64);
    memory[module_start..][..module.len()].copy_from_slice(module);
    let image = &mut memory[LARGE_BYTES..][..kernel.mem_size()];
    let LoadedKernel { load_info, entry_point } =
        kernel.load_kernel(as_uninitialised(image), at(LARGE_BYTES));
    let module_range = at(module_start)..at(module_start + module.len());
    describe(memory, module_range, end)?;
    let hardware_info = HardwareInfo {
        // What is before the end is not counted as memory that could be free.
        phys_addr_range: end..end,
        serial_port_base: NonZeroU16::new(SERIAL_PORT),
        device_tree: NonZeroU64::new(at(DEVICE_TREE)),
    };
    // The module is part of the image, so that the kernel keeps off it.
    let load_info = LoadInfo { kernel_image_addr_range: at(LARGE_BYTES)..end, ..load_info };
    let boot_information = BootInfo { hardware_info, load_info, platform_info: PlatformInfo::Fdt };
    Ok((memory, Kernel { entry: entry_point, boot_information }))
}

/// Writes ACPI's root pointer and the device tree, which has the memory behind `end` and the words for the application.
fn describe(memory: &mut [u8], module: Range<u64>, end: u64) -> Result<(), String> {
    let start = memory.as_ptr() as u64;
    let root_pointer = handover::root_pointer().ok_or("Hermit needs ACPI's tables")?;
    memory[ROOT_POINTER..][..root_pointer.len()].copy_from_slice(root_pointer);
    let free: Vec<_> = handover::ram()
        .map(|range| range.start.max(end)..range.end & !(PAGE_BYTES as u64 - 1))
        .filter(|range| range.start < range.end)
        .collect();
    let ports = handover::power_ports().map(|ports| Power {
        status_port: ports.status,
        off_port: ports.control,
        off_value: ports.off,
    });
    let handover = Handover {
        module,
        memory_bytes: free.iter().map(|range| range.end - range.start).sum(),
        power: ports.unwrap_or_default(),
    };
    let words = handover.kernel_words(start_info::command_line());
    let (root_pointer, rate) = (start + ROOT_POINTER as u64, handover::tsc_kilohertz());
    let tree = device_tree::build(&words, root_pointer, &free, rate)
        .map_err(|error| format!("the device tree: {error}"))?;
    let place = memory[DEVICE_TREE..LARGE_BYTES].get_mut(..tree.len());
    place.ok_or("the device tree is too long")?.copy_from_slice(&tree);
    Ok(())
}

#[allow(
    unsafe_code,
    reason = "the loader of `hermit-entry` asks for memory that need not be initialised"
)]
fn as_uninitialised(memory: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: of the same layout; who gets it writes bytes of a file and zeros there.
    unsafe { &mut *(core::ptr::from_mut(memory) as *mut [MaybeUninit<u8>]) }
}
