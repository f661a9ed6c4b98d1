//! PVH entry: from the hypervisor's first instruction to the application's `main` (Xen,
//! docs/misc/pvh.pandoc).

use crate::panic::HEAP;
use core::arch::global_asm;
use machine::image_layout::{Handler, Handlers, Image};

global_asm!(include_str!("boot.s"), options(att_syntax));
global_asm!(include_str!("interrupt.s"), options(att_syntax));

unsafe extern "Rust" {
    /// What [`entry!`](crate::entry) defines in the binary.
    safe fn machine_main() -> !;
}

/// Called once by the assembly above, on the boot stack, with the first 4 GiB identity-mapped.
#[unsafe(no_mangle)]
extern "C" fn machine_start(start_info_address: u64) -> ! {
    // SAFETY: this is the start; the address comes from the hypervisor and the rest from the linker.
    unsafe { machine::boot::bring_up(start_info_address, image()) }
    machine_main()
}

/// Where the linker script and the assembly have put what the machine has to know of.
fn image() -> Image {
    unsafe extern "C" {
        static image_start: u8;
        static boot_end: u8;
        static text_start: u8;
        static text_end: u8;
        static symbols: u8;
        static stack_guards: u8;
        static boot_stack_end: u8;
        static exception_stack_end: u8;
        static double_fault_stack_end: u8;
        static gdt: u8;
        safe static exception_entries: [Handler; 32];
        safe static interrupt_entries: [Handler; 56];
        fn interrupt_sample();
        fn interrupt_unclaimed();
        fn interrupt_ignored();
        fn interrupt_idle();
    }
    const PAGE_BYTES: u64 = machine::memory::PAGE_BYTES as u64;
    let at = |symbol: *const u8| symbol as u64;
    Image {
        boot: at(&raw const image_start)..at(&raw const boot_end),
        text: at(&raw const text_start)..at(&raw const text_end),
        symbols: at(&raw const symbols),
        stacks: [
            at(&raw const stack_guards) + PAGE_BYTES..at(&raw const boot_stack_end),
            at(&raw const boot_stack_end) + PAGE_BYTES..at(&raw const exception_stack_end),
            at(&raw const exception_stack_end) + PAGE_BYTES..at(&raw const double_fault_stack_end),
        ],
        segments: at(&raw const gdt),
        handlers: Handlers {
            exceptions: &exception_entries,
            lines: &interrupt_entries,
            // SAFETY: it keeps all registers, those of vectors among them, and is written so.
            sample: unsafe { Handler::new(interrupt_sample) },
            // SAFETY: it acknowledges, and is written so.
            unclaimed: unsafe { Handler::new(interrupt_unclaimed) },
            // SAFETY: it only returns.
            ignored: unsafe { Handler::new(interrupt_ignored) },
        },
        idle: interrupt_idle,
        heap: &HEAP,
    }
}
