//! Links the application with the kernel that `AQUEDUCT_HERMIT_KERNEL` names, and tells packages that depend on this one
//! how theirs are linked: `DEP_AQUEDUCT_HERMIT_KERNEL`.

fn main() {
    println!("cargo:rerun-if-env-changed=AQUEDUCT_HERMIT_KERNEL");
    // Without one the crate can still be checked.
    let Ok(kernel) = std::env::var("AQUEDUCT_HERMIT_KERNEL") else { return };
    println!("cargo:rerun-if-changed={kernel}");
    println!("cargo:rustc-link-arg-bins={kernel}");
    println!("cargo:kernel={kernel}");
}
