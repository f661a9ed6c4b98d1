//! The appliance as a bootable image.
fn main() {}
