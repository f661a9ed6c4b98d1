//! The appliance as a bootable image.
#![no_std]
#![no_main]
// `forbid` would refuse the symbol by which the machine's boot code finds `main`.
#![deny(unsafe_code)]

extern crate alloc;

mod appliance;
mod guest;
mod interfaces;
mod notice;
mod trials;
mod watch;
mod xenstore_registry;

#[allow(unsafe_code, reason = "names the symbol that the boot code calls")]
mod entry {
    machine::entry!(super::main);
}

use alloc::string::String;
use aqueduct::log_ring::{self, Outlet};
use log::LevelFilter;

const LOG: Outlet = Outlet { write: machine::console::write, now: machine::clock::now };

fn main() -> ! {
    log_ring::install(LOG, early_level(machine::boot::command_line()));
    match appliance::run() {
        Ok(()) => machine::power::off(),
        Err(message) => fail(&message),
    }
}

/// The command line's level, for what is logged before the configuration is read; a word that is
/// wrong stops the boot there.
fn early_level(command_line: &str) -> LevelFilter {
    let words = command_line.split_ascii_whitespace();
    let level = words.filter_map(|word| word.strip_prefix("log=")?.parse().ok()).next_back();
    level.unwrap_or(LevelFilter::Info)
}

/// Says why the machine cannot do its work, and stops it with a failure code.
fn fail(message: &String) -> ! {
    log::error!("{message}");
    machine::power::fail()
}
