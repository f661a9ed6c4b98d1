//! Links the loader as the image is linked, and puts the application into it that `AQUEDUCT_HERMIT_APPLICATION` names; an
//! empty one where nobody names any, so that the crate can be checked by itself.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let arguments =
        env::var("DEP_AQUEDUCT_MACHINE_RUNTIME_LINK_ARGUMENTS").expect("machine-runtime's");
    for argument in arguments.split('\u{1f}') {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-env-changed=AQUEDUCT_HERMIT_APPLICATION");
    let application = env::var("AQUEDUCT_HERMIT_APPLICATION").map_or_else(
        |_| Vec::new(),
        |file| {
            println!("cargo:rerun-if-changed={file}");
            fs::read(&file).unwrap_or_else(|error| panic!("cannot read {file}: {error}"))
        },
    );
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo's"));
    fs::write(folder.join("application.elf"), application).expect("a file in OUT_DIR");
}
