//! Where devices are: firmware's tables, the PCI bus, registers in memory.

pub(crate) mod acpi;
pub(crate) mod mmio;
pub(crate) mod pci;
