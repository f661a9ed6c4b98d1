//! Device tree: how the kernel is told of memory, ACPI and its command line (Devicetree specification 0.4, chapter 3).

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;
use vm_fdt::{Error, FdtWriter};

/// The ACPI root pointer's length.
const ROOT_POINTER_BYTES: u64 = 36;

/// The tree, as a flattened blob. The nodes whose names begin with the kernel's are its own.
pub(crate) fn build(
    kernel_words: &str,
    root_pointer: u64,
    memory: &[Range<u64>],
    tsc_kilohertz: u32,
) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    // The kernel asks for it, to know another loader of its own by it.
    tree.property_string("compatible", "aqueduct")?;
    // Addresses and lengths have two cells each.
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    let chosen = tree.begin_node("chosen")?;
    tree.property_string("bootargs", kernel_words)?;
    tree.end_node(chosen)?;
    for range in memory {
        let node = tree.begin_node(&format!("memory@{:x}", range.start))?;
        tree.property_string("device_type", "memory")?;
        tree.property_array_u64("reg", &[range.start, range.end - range.start])?;
        tree.end_node(node)?;
    }
    let node = tree.begin_node(&format!("hermit,rsdp@{root_pointer:x}"))?;
    tree.property_array_u64("reg", &[root_pointer, ROOT_POINTER_BYTES])?;
    tree.end_node(node)?;
    // Where the CPU does not tell, the kernel guesses, and all its time is wrong.
    let node = tree.begin_node("hermit,tsc")?;
    tree.property_u32("khz", tsc_kilohertz)?;
    tree.end_node(node)?;
    tree.end_node(root)?;
    tree.finish()
}
