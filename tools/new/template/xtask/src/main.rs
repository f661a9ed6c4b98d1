//! `cargo xtask`: run, image, bundle, test. Verbs of this appliance's own are added by `verbs::main_with`.
#![forbid(unsafe_code)]

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    verbs::main(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), "my-appliance")
}
