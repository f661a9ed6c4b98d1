//! The appliance on the Hermit kernel.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the kernel's first task finds `main`.
#![deny(unsafe_code)]

use aqueduct::app::Appliance;
use hermit_system::Start;

#[allow(unsafe_code, reason = "names the symbol that the start calls")]
mod entry {
    hermit_system::entry!(super::main);
}

fn main(start: Start) -> ! {
    aqueduct_hermit::run(&Appliance, &start)
}
