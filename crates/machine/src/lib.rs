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

mod arch;
#[cfg(feature = "runtime")]
mod backtrace;
#[cfg(feature = "runtime")]
pub mod boot;
mod bus;
pub mod clock;
pub mod console;
pub mod entropy;
#[cfg(feature = "runtime")]
pub mod fault_injection;
mod hypervisor;
pub mod interrupt;
pub mod memory;
#[cfg(feature = "runtime")]
mod panic;
pub mod power;
mod symbols;
pub mod virtio;

pub use hypervisor::xen;
#[cfg(feature = "runtime")]
pub use panic::catch_panic;

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
