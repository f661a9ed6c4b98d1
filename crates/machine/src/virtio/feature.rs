//! Feature bits of every kind of device (virtio 1.2, section 6).

/// Doorbells and interrupts by ring position.
pub const EVENT_IDX: u64 = 1 << 29;
/// Not the legacy interface. Always negotiated.
pub const VERSION_1: u64 = 1 << 32;
/// The device reaches memory as the platform lets it: through an IOMMU, where one is on. Accepted wherever it is
/// offered, since there a device may refuse a driver that does not; what no IOMMU translates is where it was.
pub const ACCESS_PLATFORM: u64 = 1 << 33;
