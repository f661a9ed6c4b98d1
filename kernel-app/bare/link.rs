// How an image is linked: freestanding, where `image.ld` says. For build scripts.

/// The linker's arguments, by way of the C compiler; `root` is the workspace's.
pub(crate) fn arguments(root: &str) -> Vec<String> {
    let script = format!("{root}/crates/machine-runtime/image.ld");
    println!("cargo:rerun-if-changed={script}");
    let fixed = [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--eh-frame-hdr",
        "-Wl,--build-id=none",
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,norelro",
    ];
    fixed.into_iter().map(String::from).chain([format!("-Wl,-T,{script}")]).collect()
}
