//! The load generator as a bootable image.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::service::{ServiceEntry, Table};
use load_guest::Verdict;
use machine::power::{self, Stop};

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    aqueduct_bare::entry!(super::main);
}

fn main() -> ! {
    aqueduct_bare::run(&Generator)
}

struct Generator;

impl Table for Generator {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        load_guest::entries(switch_off)
    }
}

fn switch_off(verdict: Verdict) {
    match verdict {
        Verdict::Succeeded => power::request_stop(Stop::Off),
        Verdict::Failed => power::fail(),
    }
}
