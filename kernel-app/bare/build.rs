//! Links the image as `machine-runtime` says, and tells packages that depend on this one how theirs are linked:
//! `DEP_AQUEDUCT_IMAGE_LINK_ARGUMENTS`, with U+001F between two arguments.

fn main() {
    let arguments =
        std::env::var("DEP_AQUEDUCT_MACHINE_RUNTIME_LINK_ARGUMENTS").expect("machine-runtime's");
    for argument in arguments.split('\u{1f}') {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:link_arguments={arguments}");
}
