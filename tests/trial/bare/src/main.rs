//! The trial appliance as a bootable image.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

mod faults;

use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::service::{ServiceEntry, Table};

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    aqueduct_bare::entry!(super::main);
}

fn main() -> ! {
    aqueduct_bare::run(&Trial)
}

/// The trial appliance, on a machine whose faults can be provoked.
struct Trial;

impl Table for Trial {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        trial::entries(|routes, context| faults::routes(routes, &context.spawner))
    }
}
