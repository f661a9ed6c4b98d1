//! `cargo xtask codegen`: remakes the code that is generated from schemas and checked in.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use lab::peers;
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    programs::need(&[&peers::CAPNP], install)?;
    cargo::build(
        cargo::command().args(["run", "--package", "rpc", "--example", "codegen"]),
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
