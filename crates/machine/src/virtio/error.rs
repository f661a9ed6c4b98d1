//! Errors of virtio devices and drivers.

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Memory is short: ask for less.
    OutOfMemory,
    /// All interrupt lines are taken.
    OutOfInterrupts,
    /// The device lacks what its driver needs, which is named.
    Unsupported(&'static str),
    /// The device broke the rules: it must not be used further.
    Broken(Fault),
}

/// What a device did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It returned more buffers than it had.
    UsedIndex,
    /// It returned a buffer that was not next.
    UsedId,
    /// It claims to have filled a buffer beyond its end, or not at all.
    UsedLength,
    /// It spread a frame over no buffers, or over more than there are.
    Merged,
    /// It asks to be reset.
    NeedsReset,
}
