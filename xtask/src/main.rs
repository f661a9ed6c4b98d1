//! `cargo xtask`: build, run, test, bench. One thin file per verb; the work is done by the crates in `tools/`.
#![forbid(unsafe_code)]

mod bench;
mod bundle;
mod capability;
mod codegen;
mod fuzz;
mod help;
mod image;
mod run;
mod test;
mod tidy;
mod wasm;
mod xen;

use command::failure::{Result, fail};
use std::{ffi::OsString, process::ExitCode};

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
    let words: Vec<OsString> = arguments.collect();
    let parser = || lexopt::Parser::from_args(&words);
    match verb.as_deref() {
        Some("image") => image::main(parser()),
        Some("bundle") => bundle::main(parser()),
        Some("capability") => capability::main(parser()),
        Some("run") => run::main(parser()),
        Some("test") => test::main(&words),
        // One case alone, in the namespace that this process is in.
        Some("case") => test::main(&[&[OsString::from("case")], words.as_slice()].concat()),
        Some("bench") => bench::main(&words),
        Some("tidy") => tidy::main(parser()),
        Some("codegen") => codegen::main(parser()),
        Some("fuzz") => fuzz::main(parser()),
        Some("wasm") => wasm::main(parser()),
        Some("xen") => xen::main(parser()),
        None | Some("help" | "--help" | "-h") => {
            print!("{}", help::TEXT);
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => bench::worker(other, &words)
            .unwrap_or_else(|| fail!("there is no verb `{other}`; see `cargo xtask help`")),
    }
}
