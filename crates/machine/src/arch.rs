//! What depends on the instruction set. Callers name what they use (`arch::apic`), not the set.

mod x86_64;

pub(crate) use x86_64::*;
