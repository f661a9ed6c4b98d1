//! The trial appliance as a Linux process.
#![forbid(unsafe_code)]

use aqueduct::Platform;
use aqueduct::service::{ServiceEntry, Table};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Scripts of a time when the routes for tests had to be asked for still say it.
    let arguments = std::env::args_os().skip(1).filter(|word| word != "--debug-endpoints");
    aqueduct_linux::run(&Trial, "aqueduct-trial", arguments)
}

/// The trial appliance.
struct Trial;

impl Table for Trial {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        trial::entries(|routes, _| routes)
    }
}
