//! Hardware abstraction layer of the appliance: boot, memory, interrupts, buses, virtio, ivshmem and Xen.
//!
//! Gives safe code a few things: a heap, a clock, entropy, a console, interrupts as flags, device
//! memory, and a way to stop. One CPU; interrupts are enabled only while [`idle::wait`] idles, so Rust
//! code is never interrupted and needs no locks. The exception is [`profile`], whose interrupt only looks.
//!
//! With `machine-runtime`, which has the boot code and what else only an image needs, it is the only
//! crate with `unsafe` in it. All of it is built and tested on a host, too: there is no hypervisor then,
//! and no device but fake ones.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod arch;
pub mod boot;
mod bus;
pub mod clock;
pub mod console;
mod cpu;
pub mod entropy;
pub mod fault_injection;
pub mod handover;
mod hypervisor;
pub mod idle;
pub mod image_layout;
mod interrupt;
pub mod ivshmem;
pub mod memory;
pub mod power;
pub mod profile;
pub mod start_info;
pub mod symbols;
pub mod virtio;

pub use hypervisor::xen;
