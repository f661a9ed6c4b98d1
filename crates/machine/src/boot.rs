//! The boot sequence: the order in which the machine comes up.

use crate::arch::{idt, instructions, page_tables};
use crate::bus::acpi;
use crate::cpu::Cpu;
use crate::hypervisor::{kvm, native, xen};
use crate::image_layout::{self, Image};
use crate::{clock, console, hypervisor, start_info, symbols};

/// Brings the machine up, for an image that has just been entered by the PVH protocol.
///
/// # Safety
/// Called once, before anything else: on the boot stack, with the first 4 GiB identity-mapped and
/// writable. `image` is true; `start_info_address` is what the hypervisor passed, and all it leads to is
/// still as the hypervisor left it.
pub unsafe fn bring_up(start_info_address: u64, image: Image) {
    instructions::enable_vectors();
    let image = image_layout::install(image).expect("an image");
    Cpu::current().task_state.start(image);
    idt::start(&image.handlers);
    hypervisor::choose(xen::find().or_else(kvm::find).unwrap_or(&native::NATIVE));
    console::start();
    let hypervisor = hypervisor::current();
    hypervisor.begin_clock();
    // SAFETY: the caller vouches for the address.
    unsafe { start_info::install(start_info_address) }
    start_memory(image);
    idt::set_interrupts(&image.handlers);
    acpi::start(start_info::rsdp());
    hypervisor.start_interrupts(&image.handlers);
    clock::start();
    console::start_interrupt();
    hypervisor.start_power();
}

/// Gives the heap all RAM, and each part of the image the access that it needs. Called once, when all below
/// 4 GiB is mapped where it is.
fn start_memory(image: &Image) {
    const HIGH: u64 = 1 << 32;
    /// Page 0 stays unmapped and unused.
    const LOWEST: u64 = 0x1000;
    let image_end = symbols::image_end(image);
    let in_use = [(image.boot.start, image_end), start_info::module_pages()];
    for region in start_info::ram() {
        // SAFETY: mapped, and nothing else is in use.
        unsafe { image.heap.claim(region.start.max(LOWEST), region.end().min(HIGH), in_use) }
    }
    image.heap.refill_reserve();
    page_tables::start(image, image_end);
    for region in start_info::ram() {
        // SAFETY: mapped now, and nothing else is in use.
        unsafe { image.heap.claim(region.start.max(HIGH), region.end(), in_use) }
    }
}
