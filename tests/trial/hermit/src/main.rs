//! The trial appliance on the Hermit kernel.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the kernel's first task finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::service::{ServiceEntry, Table};
use hermit_system::Start;

#[allow(unsafe_code, reason = "names the symbol that the start calls")]
mod entry {
    hermit_system::entry!(super::main);
}

fn main(start: Start) -> ! {
    aqueduct_hermit::run(&Trial, &start)
}

/// The product's services with the routes of `trial`.
struct Trial;

impl Table for Trial {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        trial::entries(|routes, _context| routes)
    }
}
