//! Tells build scripts of packages that depend on this one how an image is linked, freestanding and where `image.ld` says:
//! `DEP_AQUEDUCT_MACHINE_RUNTIME_LINK_ARGUMENTS`, for the linker by way of the C compiler, with U+001F between two arguments.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/image.ld");
    println!("cargo:rerun-if-changed={script}");
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
        concat!("-Wl,-T,", env!("CARGO_MANIFEST_DIR"), "/image.ld"),
    ];
    println!("cargo:link_arguments={}", arguments.join("\u{1f}"));
}
