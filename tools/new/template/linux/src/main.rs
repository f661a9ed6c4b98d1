//! The appliance as a Linux process.
#![forbid(unsafe_code)]

use my_appliance::MyAppliance;
use std::process::ExitCode;

fn main() -> ExitCode {
    aqueduct_linux::run(&MyAppliance, "my-appliance", std::env::args_os().skip(1))
}
