//! From the hypervisor's first instruction to the application's `main`.

use crate::arch::pvh::StartInfo;
use crate::arch::{exception, instructions as cpu, paging};
use crate::hypervisor::xen;
use crate::{clock, console, interrupt, memory, power};
use core::cell::OnceCell;

core::arch::global_asm!(include_str!("arch/x86_64/boot.s"), options(att_syntax));

unsafe extern "Rust" {
    /// What [`entry!`](crate::entry) defines in the binary.
    safe fn machine_main() -> !;
}

struct Info(OnceCell<StartInfo>);

// SAFETY: one CPU, which fills it before anything reads it.
unsafe impl Sync for Info {}

static INFO: Info = Info(OnceCell::new());

/// The command line as the hypervisor gave it; empty when it is not UTF-8.
pub fn command_line() -> &'static str {
    start_info().command_line()
}

/// The first boot module (`-initrd` in QEMU, `ramdisk=` in Xen), empty when there is none.
pub fn module() -> &'static [u8] {
    start_info().module()
}

/// What the hypervisor said at the start.
pub(crate) fn start_info() -> &'static StartInfo {
    INFO.0.get().expect("machine_start came first")
}

/// Called once by the assembly above, on the boot stack, with the first 4 GiB identity-mapped.
#[unsafe(no_mangle)]
extern "C" fn machine_start(start_info_address: u64) -> ! {
    cpu::enable_vectors();
    exception::install();
    xen::install();
    console::install();
    let countdown = clock::begin();
    // SAFETY: the address comes from the hypervisor, and nothing has been written yet.
    let info = INFO.0.get_or_init(|| unsafe { StartInfo::copy_from(start_info_address) });
    // SAFETY: called once, before anything allocates.
    unsafe { memory::install(info) };
    paging::install(info);
    interrupt::install();
    clock::install(countdown);
    console::install_interrupt();
    power::install();
    machine_main()
}
