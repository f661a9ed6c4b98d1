//! Runtime of the bootable image: boot code, exception and interrupt entries, the global allocator,
//! panics that unwind, backtraces.
//!
//! It is what a freestanding binary lacks and a process on a host has. The machine itself is the crate
//! `machine`, which knows nothing of this one: [`boot`] tells it where things are in the image.
#![cfg(feature = "image")]
#![no_std]
#![feature(alloc_error_handler)]

extern crate alloc;

mod backtrace;
mod boot;
mod exception;
#[cfg(feature = "getrandom")]
mod getrandom;
mod panic;
mod sample;

pub use panic::{Note, catch_panic, note_panics};

/// Names the function that runs once the machine is up: `machine_runtime::entry!(main)` with
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
