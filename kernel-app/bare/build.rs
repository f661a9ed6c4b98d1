//! Links the image freestanding, where `image.ld` says, and tells packages that depend on this one how
//! theirs are linked: `DEP_AQUEDUCT_IMAGE_LINK_ARGUMENTS`, with U+001F between two arguments.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/machine-runtime/image.ld");
    println!("cargo:rerun-if-changed={script}");
    let script = format!("-Wl,-T,{script}");
    let arguments = [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--eh-frame-hdr",
        "-Wl,--build-id=none",
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,norelro",
        &script,
    ];
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:link_arguments={}", arguments.join("\u{1f}"));
}
