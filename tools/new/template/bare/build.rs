//! Links the image as `aqueduct-bare` says.

fn main() {
    let arguments = std::env::var("DEP_AQUEDUCT_IMAGE_LINK_ARGUMENTS").expect("aqueduct-bare's");
    for argument in arguments.split('\u{1f}') {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
