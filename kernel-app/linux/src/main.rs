//! The appliance as a Linux process.
fn main() {}
