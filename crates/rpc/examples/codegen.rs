//! Remakes the generated code that is checked in: `cargo run -p rpc --example codegen`.
//! Needs the schema compiler (Debian: `capnproto`). `cargo xtask codegen` calls it.
use std::path::Path;

/// Schema, folder of the result.
const GENERATED: &[(&str, &str)] =
    &[("schema/rpc.capnp", "src"), ("tests/schema/sim.capnp", "tests/sim")];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (schema, folder) in GENERATED {
        let schema = root.join(schema);
        let prefix = schema.parent().expect("a file in a folder");
        let outcome = capnpc::CompilerCommand::new()
            .src_prefix(prefix)
            .file(&schema)
            .output_path(root.join(folder))
            .run();
        if let Err(error) = outcome {
            eprintln!("{}: {error}", schema.display());
            std::process::exit(1);
        }
        println!("{} -> {folder}", schema.display());
    }
}
