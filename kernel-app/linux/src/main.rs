//! The appliance as a Linux process.
#![forbid(unsafe_code)]

use aqueduct::app::Appliance;
use std::process::ExitCode;

fn main() -> ExitCode {
    aqueduct_linux::run(&Appliance, "aqueduct", std::env::args_os().skip(1))
}
