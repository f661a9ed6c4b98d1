//! Feature bits of every kind of device (virtio 1.2, section 6).

/// Doorbells and interrupts by ring position.
pub const EVENT_IDX: u64 = 1 << 29;
/// Not the legacy interface. Always negotiated.
pub const VERSION_1: u64 = 1 << 32;
