//! `cargo xtask`: build, run, test, bench. One file per verb, and the few things they share.
#![forbid(unsafe_code)]

mod accel;
mod bench;
mod bundle;
mod child;
mod codegen;
mod debian;
mod failure;
mod fuzz;
mod guest;
mod help;
mod http;
mod image;
mod lab;
mod link;
mod load;
mod lossy;
mod peer;
mod peers;
mod places;
mod qemu;
mod qmp;
mod run;
mod test;
mod tidy;
mod tools;
mod xen;

#[path = "../../tests/boot/mod.rs"]
mod boot_tests;
#[path = "../../tests/interop/http/mod.rs"]
mod http_tests;
#[path = "../../tests/interop/services/mod.rs"]
mod service_tests;
#[path = "../../tests/xen/mod.rs"]
mod xen_tests;

use failure::{Result, fail};
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
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().map(|verb| verb.to_string_lossy().into_owned());
    let rest = lexopt::Parser::from_args(arguments);
    match verb.as_deref() {
        Some("image") => image::main(rest),
        Some("bundle") => bundle::main(rest),
        Some("run") => run::main(rest),
        Some("test") => test::main(rest),
        Some("bench") => bench::main(rest),
        Some("tidy") => tidy::main(rest),
        Some("codegen") => codegen::main(rest),
        Some("fuzz") => fuzz::main(rest),
        Some("xen") => xen::main(rest),
        Some(bench::WORKER_VERB) => bench::worker_main(rest),
        Some(bench::HOLD_VERB) => bench::hold_main(rest),
        Some(bench::NATIVE_VERB) => bench::native_main(rest),
        Some(test::CASE_VERB) => test::case_main(rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{}", help::TEXT);
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => fail!("there is no verb `{other}`; see `cargo xtask help`"),
    }
}
