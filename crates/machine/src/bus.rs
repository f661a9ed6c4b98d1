//! Device enumeration: by the firmware's tables, on the PCI bus, and by registers in memory.

pub(crate) mod acpi;
pub(crate) mod acpi_timer;
pub(crate) mod host_bridge;
pub(crate) mod mmio;
pub(crate) mod pci;
pub(crate) mod power_management;
pub(crate) mod virtio_mmio;
