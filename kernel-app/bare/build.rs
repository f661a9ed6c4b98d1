//! Links the image freestanding, where `image.ld` says, and tells packages that depend on this one how
//! theirs are linked: `DEP_AQUEDUCT_IMAGE_LINK_ARGUMENTS`, with U+001F between two arguments.

mod link;

fn main() {
    let arguments = link::arguments(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    for argument in &arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:link_arguments={}", arguments.join("\u{1f}"));
}
