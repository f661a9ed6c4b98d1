//! `cargo xtask codegen`: remakes the code that is generated from schemas and checked in.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use lab::peers;
use std::process::ExitCode;

/// Remakes the code that is generated from Cap'n Proto's schemas and checked in
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask codegen")]
pub(crate) struct Words {}

pub(crate) fn main(words: &Words, install: Install) -> Result<ExitCode> {
    let Words {} = words;
    programs::need(&[&peers::CAPNP], install)?;
    cargo::build(
        cargo::command().args(["run", "--package", "aqueduct-rpc", "--example", "codegen"]),
        "what generates code",
    )?;
    compile_demo()?;
    Ok(ExitCode::SUCCESS)
}

/// The demo's schema, as the tests of the page's client read it.
fn compile_demo() -> Result {
    let mut compile = programs::command(&peers::CAPNP)?;
    compile.current_dir(paths::root());
    compile.args(["compile", "-o-", "--src-prefix=tests/rpc-demo", "tests/rpc-demo/demo.capnp"]);
    let output = compile.output().or_say(|| "cannot start capnp".into())?;
    if !output.status.success() {
        fail!("capnp: {}", String::from_utf8_lossy(&output.stderr));
    }
    files::write(&paths::root().join("wasm/tests/demo.schema"), output.stdout)
}
