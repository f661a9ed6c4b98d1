//! The machine under the appliance, and the only crate with `unsafe` in it.
//!
//! Boots by the PVH protocol (QEMU `-kernel`, Xen, others), then gives safe code a few things: a
//! heap, a clock, entropy, a console, interrupts as flags, device memory, and a way to stop. One
//! CPU; interrupts are enabled only while [`interrupt::wait`] idles, so Rust code is never
//! interrupted and needs no locks.
#![no_std]
#![cfg_attr(feature = "runtime", feature(alloc_error_handler))]
// Without the runtime much of the machine has no user; it is still checked and tested on a host.
#![cfg_attr(not(feature = "runtime"), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
mod apic;
#[cfg(feature = "runtime")]
pub mod boot;
mod bytes;
pub mod clock;
pub mod console;
mod cpu;
mod dma;
pub mod entropy;
#[cfg(feature = "runtime")]
mod exception;
pub mod interrupt;
pub mod memory;
pub mod mmio;
pub mod paging;
mod pci;
pub mod port;
pub mod power;
#[cfg(feature = "runtime")]
pub mod provoke;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "runtime")]
mod start_info;
mod symbols;
#[cfg(feature = "runtime")]
mod trace;
#[cfg(any(test, feature = "runtime"))]
mod unpack;
pub mod virtio;
pub mod xen;

#[cfg(feature = "runtime")]
pub use runtime::catch_panic;

/// Names the function that runs once the machine is up: `machine::entry!(main)` with
/// `fn main() -> !`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn machine_main() -> ! {
            let main: fn() -> ! = $main;
            main()
        }
    };
}
