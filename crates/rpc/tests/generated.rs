//! Generated code is checked in: is it that of the schema beside it?

use std::path::Path;

/// Schema, generated code.
const GENERATED: &[(&str, &str)] = &[
    ("schema/rpc.capnp", "src/rpc_capnp.rs"),
    ("schema/persistent.capnp", "src/persistent_capnp.rs"),
    ("tests/schema/sim.capnp", "tests/sim/sim_capnp.rs"),
    ("../../tests/rpc-demo/demo.capnp", "../../tests/rpc-demo/src/demo_capnp.rs"),
    ("../../kernel-app/schema/appliance.capnp", "../../kernel-app/src/appliance_capnp.rs"),
    ("../endpoints/schema/network.capnp", "../endpoints/src/network_capnp.rs"),
];

#[test]
fn generated_code_is_that_of_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (schema, generated) in GENERATED {
        let schema_bytes = std::fs::read(root.join(schema)).unwrap();
        let text = std::fs::read_to_string(root.join(generated)).unwrap();
        let expected = format!("// schema {:016x}", fingerprint(&schema_bytes));
        assert_eq!(
            text.lines().next(),
            Some(&*expected),
            "{generated} is stale: run `cargo xtask codegen`"
        );
    }
}

/// FNV-1a; `examples/codegen.rs` has the same.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
