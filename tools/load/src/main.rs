//! `aqueduct-load`: puts load on a server and says how long its answers took (docs/load.md).
#![forbid(unsafe_code)]

mod allowed;
mod machine;
mod options;
mod progress;
mod results;
mod run;

use options::Options;
use std::io::Write;
use std::process::ExitCode;

/// The run was made, and some requests failed.
const SOME_FAILED: u8 = 1;
/// There was no run: what was asked for is not allowed, or the server was not reached.
const NO_RUN: u8 = 2;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    if let Ok(Some(text)) = options.as_ref().map(Options::printed) {
        let printed = std::io::stdout().write_all(&text);
        return printed.map_or(ExitCode::from(NO_RUN), |()| ExitCode::SUCCESS);
    }
    let outcome = options.and_then(|options| run::run(&options));
    match outcome {
        Ok(report) if report.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(SOME_FAILED),
        Err(sentence) => {
            eprintln!("aqueduct-load: {sentence}");
            ExitCode::from(NO_RUN)
        }
    }
}
