//! The appliance as a bootable image.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

use aqueduct::app::Appliance;

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    aqueduct_bare::entry!(super::main);
}

fn main() -> ! {
    aqueduct_bare::run(&Appliance)
}
