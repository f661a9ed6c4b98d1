//! `cargo xtask`: build, run, test, bench. One thin file per verb; the work is done by the crates in `tools/`.
#![forbid(unsafe_code)]

mod bundle;
mod codegen;
mod fuzz;
mod help;
mod image;
mod run;
mod test;
mod tidy;
mod xen;

use command::failure::{Result, fail};
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
    if verb.as_deref() == Some("test") {
        return test::main(arguments);
    }
    let rest = lexopt::Parser::from_args(arguments);
    match verb.as_deref() {
        Some("image") => image::main(rest),
        Some("bundle") => bundle::main(rest),
        Some("run") => run::main(rest),
        Some("bench") => bench::main(rest),
        Some("tidy") => tidy::main(rest),
        Some("codegen") => codegen::main(rest),
        Some("fuzz") => fuzz::main(rest),
        Some("xen") => xen::main(rest),
        Some(bench::WORKER_VERB) => bench::worker_main(rest),
        Some(bench::HOLD_VERB) => bench::hold_main(rest),
        Some(bench::NATIVE_VERB) => bench::native_main(rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{}", help::TEXT);
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => fail!("there is no verb `{other}`; see `cargo xtask help`"),
    }
}
