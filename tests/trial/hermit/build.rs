//! Links the application as `aqueduct-hermit` says.

fn main() {
    // Without a kernel the crate can still be checked.
    if let Ok(kernel) = std::env::var("DEP_AQUEDUCT_HERMIT_KERNEL") {
        println!("cargo:rustc-link-arg-bins={kernel}");
    }
}
