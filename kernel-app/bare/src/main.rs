//! The appliance as a bootable image.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

mod appliance;
mod card;
mod guest;
mod interfaces;

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    machine::entry!(super::main);
}

use alloc::string::String;
use aqueduct::log_ring::{self, Outlet};

const LOG: Outlet = Outlet { write: machine::console::write, now: machine::clock::now };

fn main() -> ! {
    log_ring::install(LOG, log::LevelFilter::Info);
    match appliance::run() {
        Ok(()) => machine::power::off(),
        Err(message) => fail(&message),
    }
}

/// Says why the machine cannot do its work, and stops it with a failure code.
fn fail(message: &String) -> ! {
    log::error!("{message}");
    machine::power::fail()
}
