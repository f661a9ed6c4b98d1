//! What is under the machine.

pub(crate) mod kvm;
pub mod xen;
