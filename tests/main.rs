//! The tests that need a running appliance, and the runner of all tests: what `cargo xtask test` starts.
#![forbid(unsafe_code)]

mod boot;
mod hermit;
mod interop;
mod runner;
mod xen;

use command::failure::Result;
use lab::harness::Case;
use std::process::ExitCode;

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.next_if(|word| word == runner::CASE_VERB).is_some() {
        return runner::case_main(lexopt::Parser::from_args(words), &all_cases());
    }
    runner::main(lexopt::Parser::from_args(words), &all_cases())
}

/// In the order in which they run.
fn all_cases() -> Vec<&'static Case> {
    [
        boot::CASES,
        interop::http::CASES,
        interop::gateways::CASES,
        interop::services::CASES,
        interop::groups::CASES,
        hermit::CASES,
        interop::tls::CASES,
        interop::vsock::CASES,
        interop::unix::CASES,
        interop::shared_memory::CASES,
        interop::ivshmem::CASES,
        interop::names::CASES,
        interop::postgres::CASES,
        interop::load::CASES,
        interop::load_image::CASES,
        interop::service_unit::CASES,
        interop::side_by_side::CASES,
        interop::oci_image::CASES,
        interop::own_appliance::CASES,
        interop::crates::CASES,
        interop::newcomer::CASES,
        interop::debian_package::CASES,
        interop::definitions::CASES,
        xen::CASES,
    ]
    .into_iter()
    .flatten()
    .collect()
}
