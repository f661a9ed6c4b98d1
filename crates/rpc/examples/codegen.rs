//! Makes Rust of a schema: `cargo run -p aqueduct-rpc --example codegen -- SCHEMA.capnp OUT_FOLDER ...`,
//! or, without arguments, remakes what is checked in of this crate. `cargo xtask codegen` calls it
//! for the others. Needs the schema compiler (Debian: `capnproto`).
//!
//! The result is what the standard `capnpc` plugin writes, but with `Box` and `to_string` by their
//! full names, since a crate without std has them in no prelude; the crate that holds it says
//! `extern crate alloc`. Its first line says which schema it was made of, so that a test can tell
//! when it is stale.
use std::error::Error;
use std::path::{Path, PathBuf};

/// Schema, folder of the result.
const OURS: &[(&str, &str)] = &[
    ("schema/rpc.capnp", "src"),
    ("schema/persistent.capnp", "src"),
    ("tests/schema/sim.capnp", "tests/sim"),
    ("../../tests/rpc-demo/demo.capnp", "../../tests/rpc-demo/src"),
    ("../../kernel-app/schema/appliance.capnp", "../../kernel-app/src"),
    ("../endpoints/schema/network.capnp", "../endpoints/src"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let asked = arguments.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    let ours = OURS.iter().map(|(schema, folder)| (root.join(schema), root.join(folder)));
    let all: Vec<_> = if arguments.is_empty() { ours.collect() } else { asked.collect() };
    for (schema, folder) in all {
        generate(&schema, &folder)?;
        println!("{}", schema.display());
    }
    Ok(())
}

fn generate(schema: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let prefix = schema.parent().ok_or("a schema is a file")?;
    capnpc::CompilerCommand::new()
        .src_prefix(prefix)
        .file(schema)
        .output_path(folder)
        .default_parent_module(Vec::new())
        .run()?;
    let stem = schema.file_stem().and_then(|stem| stem.to_str()).ok_or("a name in UTF-8")?;
    let made = folder.join(format!("{}_capnp.rs", stem.replace('-', "_")));
    let text = std::fs::read_to_string(&made)?
        .replace(": Box<::capnp", ": ::alloc::boxed::Box<::capnp")
        .replace("-> Box<::capnp", "-> ::alloc::boxed::Box<::capnp")
        .replace(" not implemented\".to_string()", " not implemented\".into()")
        .replace("\"Method not implemented.\".to_string()", UNKNOWN_METHOD);
    let hash = fingerprint(&std::fs::read(schema)?);
    std::fs::write(&made, format!("// schema {hash:016x}\n{text}"))?;
    Ok(())
}

const UNKNOWN_METHOD: &str = "::alloc::string::String::from(\"Method not implemented.\")";

/// FNV-1a; `tests/generated.rs` has the same.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
