//! The bare machine as a platform: what an image needs besides its [`Table`].
//!
//! An image is a package with a `main.rs` and a `build.rs` as this one's. Cards, their network stacks
//! and what Xen adds are found when it boots.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod address_monitor;
#[cfg(feature = "disk")]
mod disks;
mod guest;
mod interfaces;
#[cfg(feature = "vsock")]
mod no_card;
mod profiler;
#[cfg(feature = "shared-memory")]
mod shared_memory;
#[cfg(feature = "vsock")]
mod sockets;
mod startup;
mod status;
mod xenstore_registry;

use aqueduct::log_ring::{self, Outlet};
use aqueduct::service::Table;
use log::LevelFilter;

/// Names the function that runs once the machine is up: `aqueduct_bare::entry!(main)` with `fn main() -> !`, which calls [`run`].
pub use machine_runtime::entry;

const LOG: Outlet = Outlet { write: machine::console::write, now: machine::clock::now };

/// Serves what the table says until the machine is asked to stop, and switches it off; what is wrong with
/// its configuration stops it at once, with a failure code.
pub fn run(table: &impl Table) -> ! {
    log_ring::install(LOG, early_level(machine::start_info::command_line()));
    log::info!("aqueduct {}", aqueduct::VERSION);
    match startup::run(table) {
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
fn fail(message: &str) -> ! {
    // A line has a length, and there may be many faults.
    for line in message.lines() {
        log::error!("{line}");
    }
    machine::power::fail()
}
